from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_bundle

from edge_inspect.edge.cli import main
from edge_inspect.edge.engines.base import FittedEngine
from edge_inspect.edge.engines.openvino import OpenVinoEngine
from edge_inspect.edge.step_times import step_times


def test_bench_says_its_floor_and_its_total(bundle_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    assert main(["bench", str(bundle_path), "--frames", "5", "--precision", "fp32", "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    assert result["precision"] == "fp32" and result["frames"] == 5 and result["frame"] == "640x480"
    assert result["raw_ms_p50"] > 0 and 0 < result["end_to_end_ms_p50"] <= result["end_to_end_ms_p99"]
    assert result["precision_reason"] is None
    ratio = result["end_to_end_ms_p50"] / result["raw_ms_p50"]
    assert result["end_to_end_over_raw"] == pytest.approx(ratio, rel=0.01)
    assert (result["fps_of_waiting_frames"] or 0) > 0 or result["engine"] != "openvino"


def test_without_a_precision_bench_measures_the_one_that_the_box_chooses(tmp_path: Path) -> None:
    bundle, out = tiny_bundle.write(tmp_path / "slow", slow="int8"), tmp_path / "bench.json"
    assert main(["bench", str(bundle.path), "--frames", "5", "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    if result["engine"] == "openvino":
        assert result["precision"] == "fp32" and result["precision_reason"].startswith("fp32 takes ")
    else:
        assert result["precision_reason"] is None


@pytest.mark.parametrize("tiles", [(1, 1), (2, 1)])
def test_the_profile_has_every_step_and_the_layers_of_network_and_head(
    tiles: tuple[int, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "tiny", tmp_path / "bench.json"
    tiny_bundle.write(path, tiles=tiles)
    command = ["bench", str(path), "--engine", "openvino", "--precision", "fp32", "--frames", "3", "--size", "96x64"]
    assert main([*command, "--profile", "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    steps, layers = result["steps_ms"], result["layers"]
    assert list(steps) == ["decode", "fit", "engine", "head", "regions", "message", "outbox"]
    assert steps["decode"] > 0 and steps["outbox"] > 0
    # The tiny network has two convolutions a side; the head multiplies matrices.
    of_network = [each for each in layers if each["part"] == "network" and each["kind"].startswith("Convolution")]
    assert sum(each["layers"] for each in of_network) == 2 * len(tiny_bundle.SCALES)
    assert {each["part"] for each in layers} == {"input", "network", "head"}
    assert steps["head"] == pytest.approx(sum(each["ms"] for each in layers if each["part"] == "head"), abs=1e-3)
    said = capsys.readouterr().err
    assert "step outbox, ms" in said and f"{of_network[0]['layers']} layer(s)" in said


def test_an_engine_that_knows_no_layers_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tiny_bundle.write(tmp_path / "tiny")
    with OpenVinoEngine(bundle, "fp32") as engine:
        monkeypatch.setattr(
            engine, "layer_times", lambda bundle, tile, runs: FittedEngine.layer_times(engine, bundle, tile, runs)
        )
        result = step_times(bundle, engine, (80, 48), 20)
    assert result["layers"] == [] and result["steps_ms"]["head"] is None and result["steps_ms"]["engine"] > 0


def test_wrong_use_is_said(bundle_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(bundle_path), "--frames", "0"]) == 2
    assert "--frames 0 and --size 640x480 must be at least 1" in capsys.readouterr().err
    assert main(["bench", str(bundle_path / "none")]) == 2
    assert "no such bundle" in capsys.readouterr().err
