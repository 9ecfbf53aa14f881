"""Modules of others with the names of our folders do not take our place: a user's `train.py`, PyPI's `train`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = ("edge", "models", "train", "calibrate")
ROOT = Path(__file__).parents[1]


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A folder with modules and packages of those names, which end the program that imports them."""
    for name in NAMES[:2]:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('the foreign {name} was imported')")
    for name in NAMES[2:]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('the foreign {name} was imported')")
    return tmp_path


@pytest.mark.parametrize("program", ["edge", "train", "calibrate"])
@pytest.mark.parametrize("place", ["working folder", "PYTHONPATH=.", "site-packages"])
def test_foreign_modules_of_our_names_are_left_alone(program: str, place: str, foreign: Path) -> None:
    if place == "site-packages":
        code = f"import sys; sys.path.insert(0, {str(foreign)!r}); sys.argv[1:] = ['--version']; "
        command = ["-c", f"{code}from edge_inspect.{program}.cli import main; sys.exit(main())"]
    else:
        command = ["-m", f"edge_inspect.{program}.cli", "--version"]
    before = ["."] if place == "PYTHONPATH=." else []
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*before, str(ROOT / "src")])}
    done = subprocess.run(
        [sys.executable, *command], cwd=foreign, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(("edge-inspect ", "edge-train ", "calibrate ")) and not done.stderr
