"""Tests use public names: ruff's SLF001 finds `thing._name`, and this file finds private imports and patched names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_names(source: str) -> Iterator[str]:
    """Private names that a test imports from the program, or patches by name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("edge_inspect"):
            yield from (alias.name for alias in node.names if is_private(alias.name))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setattr":
            texts = [each.value for each in node.args[:2] if isinstance(each, ast.Constant)]
            names = [text.rsplit(".", 1)[-1] for text in texts if isinstance(text, str)]
            yield from filter(is_private, names)


def test_tests_import_and_patch_public_names_only() -> None:
    found = {
        str(path.relative_to(TESTS)): sorted(names)
        for path in TESTS.rglob("*.py")
        if (names := set(private_names(path.read_text())))
    }
    assert found == {}, (
        "test public names; give the class a public property, or test the smaller class (CONTRIBUTING.md)"
    )


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("from edge_inspect.edge.station.ring import FrameRing, _Ring", ["_Ring"]),
        ("from edge_inspect.edge.health import machine\nmonkeypatch.setattr(machine, '_FRESH_S', 1)", ["_FRESH_S"]),
        ("patch.setattr('edge_inspect.edge.files._now', 1)", ["_now"]),
        ("from edge_inspect.edge.files import sha256\nmonkeypatch.setattr(os, 'sync', None)", []),
        ("from edge_inspect.edge import __version__\nfrom pathlib import _Flavour", []),
    ],
)
def test_private_names_are_found(source: str, names: list[str]) -> None:
    assert list(private_names(source)) == names
