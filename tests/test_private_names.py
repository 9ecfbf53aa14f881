"""Tests use public names: what has a meaning by itself is public, and the rest is tested through it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("models", "train", "calibrate")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_names(source: str) -> Iterator[str]:
    """Private names that are imported, reached on anything but a test's own object, or replaced by monkeypatch."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("edge_inspect."):
            yield from (alias.name for alias in node.names if is_private(alias.name))
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                yield node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setattr":
            told = [part for part in node.args[:2] if isinstance(part, ast.Constant) and isinstance(part.value, str)]
            yield from (name for part in told if is_private(name := str(part.value).rpartition(".")[2]))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from edge_inspect.train.journal import PAGE, _span", ["_span"]),
        ("module._path('x')", ["_path"]),
        ("patch.setattr(module, '_path', None)", ["_path"]),
        ("patch.setattr('edge_inspect.train.journal._span', None)", ["_span"]),
        ("self._rng = engine.__class__", []),
        ("from edge_inspect.train.journal import PAGE", []),
    ],
)
def test_private_names_are_found_however_they_are_reached(source: str, found: list[str]) -> None:
    assert list(private_names(source)) == found


@pytest.mark.parametrize("package", PACKAGES)
def test_tests_use_public_names(package: str) -> None:
    tests = sorted((ROOT / "tests" / package).rglob("*.py"))
    assert tests
    found = {str(path.relative_to(ROOT)): [*private_names(path.read_text(encoding="utf-8"))] for path in tests}
    assert {path: names for path, names in found.items() if names} == {}
