"""`calibrate diff`, as its user runs it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_bundle import contents, fields, write

from edge_inspect.calibrate.cli import main
from edge_inspect.calibrate.signing import make_keys
from edge_inspect.edge.bundle.bundle import write_bundle
from edge_inspect.edge.demo.line import CATEGORY

Run = Callable[..., tuple[list[str], dict[str, Any]]]


@pytest.fixture
def diff(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs it; gives the lines for a person and the JSON."""

    def run(*arguments: object) -> tuple[list[str], dict[str, Any]]:
        capsys.readouterr()
        file = tmp_path / "diff.json"
        assert main(["diff", *map(str, arguments), "--json", str(file)]) == 0
        return capsys.readouterr().out.splitlines(), json.loads(file.read_text())

    return run


def other(path: Path, report: dict[str, Any] | None = None, **changes: Any) -> Path:
    files = contents() | ({"report/calibration.json": json.dumps(report).encode()} if report else {})
    return write_bundle(path, {**fields(), **changes}, files).path


def values(found: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {row["key"]: (row["a"], row["b"]) for row in found["differences"]}


def test_a_bundle_and_its_zip_do_not_differ(tmp_path: Path, diff: Run) -> None:
    folder = write(tmp_path / "flange").path
    archive = shutil.make_archive(str(folder), "zip", folder)
    lines, found = diff(folder, archive)
    assert lines == [f"A  {folder}", f"B  {archive}", "no difference"]
    assert found["same"] is True and found["differences"] == [] and found["images"] is None
    assert found["a"]["digest"] == found["b"]["digest"]


def test_what_changed_is_said_by_its_key(tmp_path: Path, diff: Run) -> None:
    a = write(tmp_path / "a").path
    changed = fields(false_reject_rate=0.01, thresholds={p: {"image": 0.6, "pixel": 0.25} for p in ("fp32", "int8")})
    changed["model"]["teacher"] = "resnet34"
    changed["input"]["fit"]["region"] = [1, 2, 30, 40]
    changed["provenance"]["steps"] = 20
    b = other(tmp_path / "b", **changed | {"preferred": "fp32"})
    lines, found = diff(a, b)
    assert values(found) == {
        "model.teacher": ("resnet18", "resnet34"),
        "input.fit.region": (None, [1, 2, 30, 40]),
        "decision.false_reject_rate": (0.001, 0.01),
        "decision.thresholds.fp32.image": (0.5, 0.6),
        "decision.thresholds.int8.image": (0.5, 0.6),
        "preferred": ("int8", "fp32"),
        "provenance.steps": (None, 20),
    }
    assert found["same"] is False
    assert "  decision.thresholds.int8.image  0.5       ->  0.6           +20.0%" in lines
    assert "  input.fit.region                none      ->  1, 2, 30, 40" in lines
    assert len({line.index("->") for line in lines if "->" in line}) == 1


def test_files_report_and_signature_are_compared(tmp_path: Path, diff: Run) -> None:
    def report(latency: float, scores: list[float]) -> dict[str, Any]:
        int8 = {"latency_ms_median": latency, "good_scores": scores}
        return {"precisions": {"int8": int8}, "defects": {"int8": {"rejected": 3}}, "int8_plans": [{"plan": latency}]}

    a, b = other(tmp_path / "a", report(40.0, [0.1, 0.2, 0.9])), other(tmp_path / "b", report(30.0, [0.3, 0.2]))
    assert main(["sign", str(b), "--key", str(make_keys(tmp_path).private)]) == 0
    lines, found = diff(a, b)
    told = values(found)
    assert told.pop("manifest.sig")[0] is None
    assert told == {
        "report.precisions.int8.latency_ms_median": (40.0, 30.0),
        "report.precisions.int8.good_scores.count": (3, 2),
        "report.precisions.int8.good_scores.median": (0.2, 0.25),
        "report.precisions.int8.good_scores.largest": (0.9, 0.3),
    }
    assert any(
        line.split() == ["report.precisions.int8.latency_ms_median", "40", "->", "30", "-25.0%"] for line in lines
    )
    (b / "manifest.sig").write_text("damaged")
    assert values(diff(a, b)[1])["manifest.sig"] == (None, "damaged")


def test_another_network_and_a_precision_more_are_said(tmp_path: Path, diff: Run) -> None:
    a = write(tmp_path / "a").path
    fp32 = fields()
    fp32 |= {"precisions": ["fp32"], "preferred": "fp32", "golden": {"tolerance": {"fp32": 0.001}}}
    fp32["decision"]["thresholds"].pop("int8")
    files = contents() | {"model.fp32.onnx": b"another network" * 100_000}
    files.pop("model.int8.onnx")
    told = values(diff(a, write_bundle(tmp_path / "b", fp32, files).path)[1])
    assert told["decision.thresholds.int8.image"] == (0.5, None)
    assert told["precisions"] == (["int8", "fp32"], ["fp32"])
    assert told["files.model.int8.onnx"][1] is None
    assert told["files.model.fp32.onnx"][1].startswith("1.50 MB, sha256 ")


@pytest.mark.parametrize(
    "report", [b"no JSON", b"\xff", b"[1]", b'{"precisions": {"int8": {"good_scores": ["x", NaN]}}}']
)
def test_a_strange_report_is_no_crash(tmp_path: Path, capsys: pytest.CaptureFixture[str], report: bytes) -> None:
    strange = write_bundle(tmp_path / "b", fields(), contents() | {"report/calibration.json": report}).path
    status = main(["diff", str(strange), str(strange)])
    said = capsys.readouterr()
    if status == 2:
        assert "report/calibration.json is not valid JSON" in said.err
    else:
        assert said.out.splitlines()[-1] == "no difference"


def test_json_alone_on_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "flange").path
    assert main(["diff", str(folder), str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["same"] is True


@pytest.mark.parametrize("images", ["none", "nothing"])
def test_no_images_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str], images: str) -> None:
    (tmp_path / "nothing").mkdir()
    folder = write(tmp_path / "flange").path
    assert main(["diff", str(folder), str(folder), "--images", str(tmp_path / images)]) == 2
    assert str(tmp_path / images) in capsys.readouterr().err


@pytest.fixture
def shifted(bundle_path: Path, tmp_path: Path) -> Callable[[float], Path]:
    """The real bundle with other thresholds."""

    def make(threshold: float) -> Path:
        copy = Path(shutil.copytree(bundle_path, tmp_path / f"shifted{threshold}"))
        manifest = yaml.safe_load((copy / "manifest.yaml").read_text())
        for limits in manifest["decision"]["thresholds"].values():
            limits.update(image=threshold, pixel=min(threshold, limits["pixel"]))
        (copy / "manifest.yaml").write_text(yaml.safe_dump(manifest))
        return copy

    return make


def test_verdicts_that_change_are_said_with_their_scores(
    data: Path, shifted: Callable[[float], Path], diff: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    images = data / CATEGORY / "test" / "good"
    low, high = shifted(0.0), shifted(1000.0)
    lines, found = diff(low, high, "--images", images, "--images", data / CATEGORY / "train" / "good")
    judged = found["images"]
    assert judged["count"] == judged["changed"] == 20 and judged["rejected"] == {"a": 20, "b": 0}
    first = judged["verdicts"][0]
    assert first["a"]["score"] == first["b"]["score"] > 0
    assert (first["a"]["ok"], first["b"]["ok"], first["b"]["threshold"]) == (False, True, 1000.0)
    assert "images: A rejects 20 and B 0 of 20; 20 have another verdict" in lines
    score = f"{first['a']['score']:.4f}"
    assert f"  reject -> accept  {score} >  0.0000  ->  {score} <= 1000.0000  {first['path']}" in lines
    lines, found = diff(high, low, "--images", images)
    assert found["images"]["rejected"] == {"a": 0, "b": 4}
    assert sum(line.startswith("  accept -> reject") for line in lines) == 4


def test_the_same_bundle_changes_no_verdict(bundle_path: Path, data: Path, diff: Run) -> None:
    lines, found = diff(bundle_path, bundle_path, "--images", data / CATEGORY / "test" / "good")
    assert found["same"] is True and found["images"]["changed"] == 0
    assert lines[2] == "no difference" and lines[3].endswith("0 have another verdict")


def test_many_changed_verdicts_stay_short(
    data: Path, shifted: Callable[[float], Path], diff: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_inspect.calibrate.comparison.SHOWN", 3)
    lines, _ = diff(shifted(0.0), shifted(1000.0), "--images", data / CATEGORY / "train" / "good")
    assert sum(line.startswith("  reject -> accept") for line in lines) == 4
    assert lines[-1] == "  reject -> accept  13 more; --json has them all"
