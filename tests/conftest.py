"""A small product, made once for all processes of a test run: rendered parts, a checkpoint of them, and its bundle."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.demo.line import CATEGORY, write_dataset

SIZE = "96"

# The same examples everywhere: a change is refused for what it did. `--hypothesis-profile default` looks further.
settings.register_profile("steady", derandomize=True)
settings.load_profile("steady")


LONGEST = ("test_commands.py", "test_tutorial.py", "test_demo_chain.py", "test_products.py")
"""Files of which one test takes a minute or more. They begin first, so that no process works on them alone at last."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)


MadeOnce = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Gives the folder of a name, which the first process that asks for it fills; others wait for that. Only to read.

    A session of pytest-xdist has several processes, each with session fixtures of its own.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    root = root / "made"
    root.mkdir(exist_ok=True)

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        folder, done = root / name, root / f"{name}.done"
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # another process may have failed on its way
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return make


@pytest.fixture(scope="session")
def data(made_once: MadeOnce) -> Path:
    """A folder of one category, `flange`: 16 good parts to learn from, 4 good and 4 defective ones to test with."""
    return made_once("data", lambda folder: write_dataset(folder, train_good=16, test_good=4, test_defects=1, seed=3))


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weight file of the teacher `small_teacher.SMALL`."""
    from small_teacher import write_weights

    return write_weights(tmp_path_factory.mktemp("teacher") / "small.safetensors", seed=9)


@pytest.fixture(scope="session")
def run(data: Path, small_weights: Path, made_once: MadeOnce) -> Path:
    """A checkpoint at 96x96 after six steps: of no use, but real."""
    from small_teacher import SMALL

    from edge_inspect.train.cli import main

    options = ["--size", SIZE, "--fit", "crop", "--steps", "6", "--batch", "4", "--hold-out", "0.25", "--model", "rd"]
    options += ["--teacher", SMALL, "--teacher-weights", str(small_weights), "--memory", "off"]
    asked = ["fit", "--data", str(data), "--category", CATEGORY, *options]

    def fill(folder: Path) -> None:
        assert main([*asked, "--out", str(folder / CATEGORY)]) == 0

    return made_once("runs", fill) / CATEGORY


@pytest.fixture(scope="session")
def bundle_path(data: Path, run: Path, made_once: MadeOnce) -> Path:
    """The checkpoint's bundle."""
    from edge_inspect.calibrate.cli import main

    good = data / CATEGORY / "train" / "good"
    asked = ["bundle", str(run), "--good", str(good), "--calibration-images", "8", "--search-seconds", "0"]

    def fill(folder: Path) -> None:
        assert main([*asked, "--out", str(folder / CATEGORY)]) == 0

    return made_once("bundles", fill) / CATEGORY


@pytest.fixture(scope="session")
def bundle(bundle_path: Path) -> Bundle:
    """The bundle, opened."""
    return open_bundle(bundle_path)


@pytest.fixture
def program() -> list[str]:
    """How to start one of the project's programs: `[*program, "edge_inspect.edge.cli", ...]`."""
    return [sys.executable, "-m"]
