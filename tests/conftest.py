"""A small product, once a session: rendered parts, a checkpoint trained on them, and its bundle."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import settings

from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.demo.line import CATEGORY, write_dataset

SIZE = "96"

# The same examples everywhere: a change is refused for what it did. `--hypothesis-profile default` looks further.
settings.register_profile("steady", derandomize=True)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one category, `flange`: 16 good parts to learn from, 4 good and 4 defective ones to test with."""
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder, train_good=16, test_good=4, test_defects=1, seed=3)
    return folder


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weight file of the teacher `small_teacher.SMALL`."""
    from small_teacher import write_weights

    return write_weights(tmp_path_factory.mktemp("teacher") / "small.safetensors", seed=9)


@pytest.fixture(scope="session")
def run(data: Path, small_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint at 96x96 after six steps: of no use, but real."""
    from small_teacher import SMALL

    from edge_inspect.train.cli import main

    out = tmp_path_factory.mktemp("runs") / "flange"
    options = ["--size", SIZE, "--fit", "crop", "--steps", "6", "--batch", "4", "--hold-out", "0.25", "--model", "rd"]
    options += ["--teacher", SMALL, "--teacher-weights", str(small_weights), "--memory", "off"]
    assert main(["fit", "--data", str(data), "--category", CATEGORY, "--out", str(out), *options]) == 0
    return out


@pytest.fixture(scope="session")
def bundle_path(data: Path, run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint's bundle."""
    from edge_inspect.calibrate.cli import main

    out = tmp_path_factory.mktemp("bundles") / "flange"
    good = data / CATEGORY / "train" / "good"
    options = ["--calibration-images", "8", "--search-seconds", "0"]
    assert main(["bundle", str(run), "--good", str(good), "--out", str(out), *options]) == 0
    return out


@pytest.fixture(scope="session")
def bundle(bundle_path: Path) -> Bundle:
    """The bundle, opened."""
    return open_bundle(bundle_path)


@pytest.fixture
def program() -> list[str]:
    """How to start one of the project's programs: `[*program, "edge_inspect.edge.cli", ...]`."""
    return [sys.executable, "-m"]
