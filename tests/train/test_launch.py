"""Several categories in one call, and their shares under torch's launcher."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edge_inspect.edge.errors import UsageError
from edge_inspect.models.teacher import Teacher
from edge_inspect.train import checkpoint
from edge_inspect.train.cli import main
from edge_inspect.train.launch import own_device, own_share, wanted_categories


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three products of eight pictures each."""
    rng = np.random.default_rng(0)
    for name in ("bolt", "cap", "nut"):
        folder = tmp_path / "data" / name / "good"
        folder.mkdir(parents=True)
        for i in range(8):
            cv2.imwrite(str(folder / f"{i}.png"), rng.integers(0, 255, (64, 64, 3), np.uint8))
    return tmp_path / "data"


def test_names_are_one_several_or_all(data: Path) -> None:
    assert wanted_categories("bolt", data) == ["bolt"]
    assert wanted_categories("nut, bolt", data) == ["nut", "bolt"]
    assert wanted_categories("all", data) == ["bolt", "cap", "nut"]
    for wrong in ("", "bolt,", "nut,nut"):
        with pytest.raises(UsageError, match="give names with commas between them, each once, or all"):
            wanted_categories(wrong, data)


def test_every_category_has_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [str(i) for i in range(7)]
    assert own_share(names) == names
    monkeypatch.setenv("WORLD_SIZE", "3")
    shares = []
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        shares += own_share(names)
    assert sorted(shares) == names
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(UsageError, match="RANK='first' is no number"):
        own_share(names)


def test_a_device_named_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert own_device("cpu") == "cpu"
    assert own_device("cuda:3") == "cuda:3"


def test_two_launched_processes_share_the_work_and_a_broken_category_stops_no_other(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "cap" / "good" / "3.png").write_bytes(b"no picture")
    out, weights = tmp_path / "runs", tmp_path / "teacher.pth"
    torch.save(Teacher("test_efficientnet").network.state_dict(), weights)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python"]
    fit = ["fit", "--data", str(data), "--category", "all", "--model", "rd", "--memory", "off", "--size", "64"]
    fit += ["--teacher", "test_efficientnet", "--teacher-weights", str(weights), "--steps", "1", "--device", "cpu"]
    fit += ["--out", str(out)]
    program = [sys.executable, "-m", "edge_inspect.train.cli", *fit]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launch, *program], capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode != 0
    assert "cap: " in done.stderr
    assert "3.png" in done.stderr
    assert "not trained: cap; the reasons are above" in done.stderr
    assert sorted(path.parent.name for path in out.glob(f"*/{checkpoint.DESCRIPTION}")) == ["bolt", "nut"]
    assert main(fit) == 1
    assert capsys.readouterr().err.count("already exists") == 2
