from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_bundle

from edge_inspect.edge.cli import main


def test_bench_says_its_floor_and_its_total(bundle_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    assert main(["bench", str(bundle_path), "--frames", "5", "--precision", "fp32", "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    assert result["precision"] == "fp32" and result["frames"] == 5 and result["frame"] == "640x480"
    assert result["raw_ms_p50"] > 0 and 0 < result["end_to_end_ms_p50"] <= result["end_to_end_ms_p99"]
    assert result["precision_reason"] is None
    ratio = result["end_to_end_ms_p50"] / result["raw_ms_p50"]
    assert result["end_to_end_over_raw"] == pytest.approx(ratio, rel=0.01)


def test_without_a_precision_bench_measures_the_one_that_the_box_chooses(tmp_path: Path) -> None:
    bundle, out = tiny_bundle.write(tmp_path / "slow", slow="int8"), tmp_path / "bench.json"
    assert main(["bench", str(bundle.path), "--frames", "5", "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    if result["engine"] == "openvino":
        assert result["precision"] == "fp32" and result["precision_reason"].startswith("fp32 takes ")
    else:
        assert result["precision_reason"] is None


def test_wrong_use_is_said(bundle_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(bundle_path), "--frames", "0"]) == 2
    assert "--frames 0 and --size 640x480 must be at least 1" in capsys.readouterr().err
    assert main(["bench", str(bundle_path / "none")]) == 2
    assert "no such bundle" in capsys.readouterr().err
