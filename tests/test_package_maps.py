"""The docstring of each package is its map: every file of it on a line, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(
    path.parent for name in ("edge", "models", "train", "calibrate") for path in (ROOT / name).rglob("__init__.py")
)
LINE = re.compile(r"^ *(\w+(?:\.py|\.cuh?|/))  +\S", re.MULTILINE)


def files(package: Path) -> list[str]:
    """What a map has to name: modules, sources of kernels, and packages inside, which end in a slash."""
    modules = [path.name for path in package.iterdir() if path.suffix in (".py", ".cu", ".cuh")]
    inside = [f"{path.parent.name}/" for path in package.glob("*/__init__.py")]
    return sorted({*modules, *inside} - {"__init__.py"})


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_map_names_every_file_once_and_no_other(package: Path) -> None:
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
    assert sorted(LINE.findall(text)) == files(package)


@pytest.mark.parametrize("package", ["edge", "models", "train", "calibrate"])
def test_the_package_says_that_it_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
