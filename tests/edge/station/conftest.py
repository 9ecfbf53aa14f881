"""Fixtures: bundles of different scores, and stations that begin with one of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from box_parts import Line
from tiny_bundle import write

from edge_inspect.edge.outbox.memory import MemoryOutbox


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles that give different scores: `a`, `b`, `c`; `dim` fails on dark frames; `cut` is damaged."""
    folder = tmp_path_factory.mktemp("bundles")
    for seed, name in enumerate("abc", start=21):
        write(folder / name, seed=seed)
    write(folder / "dim", seed=31, fails_in_the_dark=True)
    shutil.copytree(folder / "b", folder / "cut")
    (folder / "cut" / "model.int8.onnx").write_bytes((folder / "b" / "model.int8.onnx").read_bytes()[:-1])
    return folder


@pytest.fixture
def make(bundles: Path, tmp_path: Path, outbox: MemoryOutbox) -> Callable[..., Line]:
    return lambda *arguments, **more: Line(bundles, tmp_path, outbox, *arguments, **more)
