"""`edge-inspect selftest`, and the check of golden frames wherever a bundle is run by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_bundle

from edge_inspect.edge import selftest
from edge_inspect.edge.bundle.bundle import GoldenFrame, open_bundle, pack_golden, write_bundle
from edge_inspect.edge.bundle.manifest import GOLDEN
from edge_inspect.edge.cli import main
from edge_inspect.edge.frame.images import write_image


def with_other_maps(path: Path, by: float, precisions: tuple[str, ...] = ("int8", "fp32")) -> Path:
    """Write a tiny bundle whose golden maps are off by `by`, with a tolerance that lets others than these through."""
    made = tiny_bundle.write(path.with_name("right"))
    fields = made.manifest.model_dump(mode="json", exclude={"format", "files"})
    fields["golden"] = {"tolerance": {each: 0.1 if each in precisions else 9.0 for each in ("int8", "fp32")}}
    contents = {name: made.file(name) for name in made.manifest.files if name != GOLDEN}
    golden = [GoldenFrame(frame=each.frame, score=each.score, map=each.map + by) for each in made.golden()]
    return write_bundle(path, fields, {**contents, GOLDEN: pack_golden(golden)}).path


def test_the_bundle_that_ships_is_small_and_every_precision_of_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert selftest.BUNDLE.stat().st_size < 400_000
    assert main(["selftest", "--json"]) == 0
    output = capsys.readouterr()
    trials = json.loads(output.out)["trials"]
    assert {trial["precision"] for trial in trials} == {"fp32", "fp16", "int8"} and all(t["ok"] for t in trials)
    assert "this box can run fp32 on openvino" in output.err


@pytest.mark.parametrize(
    ("wrong", "can"), [(("int8",), "it can run fp32 on openvino"), (("int8", "fp32"), "it can run nothing")]
)
def test_a_box_that_computes_wrongly_is_told_what_it_can_do(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    wrong: tuple[str, ...],
    can: str,
) -> None:
    monkeypatch.setattr(selftest.try_all, "__defaults__", (with_other_maps(tmp_path / "wrong", 1.0, wrong),))
    assert main(["selftest"]) == 1
    said = capsys.readouterr().err
    assert said.count("FAILED") == len(wrong) and can in said


def test_a_damaged_bundle_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "selftest.zip"
    damaged.write_bytes(selftest.BUNDLE.read_bytes()[:100_000])
    monkeypatch.setattr(selftest.try_all, "__defaults__", (damaged,))
    assert main(["selftest"]) == 2
    assert str(damaged) in capsys.readouterr().err


@pytest.mark.parametrize("command", ["image", "bench"])
def test_image_and_bench_refuse_an_engine_that_computes_wrongly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    bundle = with_other_maps(tmp_path / "wrong", 1.0)
    write_image(tmp_path / "part.png", np.zeros((48, 80, 3), np.uint8))
    more = [str(tmp_path / "part.png")] if command == "image" else ["--frames", "1", "--size", "80x48"]
    for precision in ("int8", "fp32"):
        assert main([command, str(bundle), *more, "--precision", precision]) == 2
        output = capsys.readouterr()
        assert output.out == "" and "does not reproduce the golden frames" in output.err


@pytest.mark.parametrize("command", ["image", "bench"])
def test_image_and_bench_go_on_in_the_precision_that_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, command: str
) -> None:
    bundle = with_other_maps(tmp_path / "wrong", 1.0, ("int8",))
    write_image(tmp_path / "part.png", np.zeros((48, 80, 3), np.uint8))
    more = [str(tmp_path / "part.png")] if command == "image" else ["--frames", "1", "--size", "80x48"]
    assert main([command, str(bundle), *more]) == 0
    output = capsys.readouterr()
    if command == "image":
        assert "trying fp32" in caplog.text
    else:
        assert "fp32" in output.err and "does not reproduce the golden frames" in output.err


def test_a_copy_of_the_bundle_is_a_bundle_like_any_other(tmp_path: Path) -> None:
    shutil.copy(selftest.BUNDLE, tmp_path)
    bundle = open_bundle(tmp_path / selftest.BUNDLE.name)
    assert bundle.manifest.precisions == ["int8", "fp16", "fp32"] and len(bundle.golden()) == 2
