"""The next bundle: thresholds from a line's own parts, with their source, and everything else as it was."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_bundle

from edge_inspect.calibrate.cli import main
from edge_inspect.calibrate.thresholds.threshold import tail_threshold
from edge_inspect.edge.bundle.bundle import Bundle, open_bundle, write_bundle
from edge_inspect.edge.bundle.manifest import THRESHOLD_SOURCE
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.messages import BundleReference, FrameSize, Verdict
from edge_inspect.edge.evidence.saved_part import SavedMap, SavedPart
from edge_inspect.edge.station.shadow import ShadowScore, ShadowStart

RNG = np.random.default_rng(37)
GOOD = RNG.gumbel(0.3, 0.02, 1960)
SCORES = RNG.permutation([*GOOD, *RNG.uniform(0.5, 1.5, 40)])
LIMITS = {
    "fp32": {"image": 0.5, "pixel": 0.35, "scores": {"mean": 0.3, "deviation": 0.025}},
    "int8": {"image": 0.55, "pixel": 0.4, "scores": {"mean": 0.32, "deviation": 0.03}},
}


@pytest.fixture
def parent(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "flange-v1", small_bundle.fields(thresholds=LIMITS), small_bundle.contents())


def collected(folder: Path, bundle: Bundle, scores: np.ndarray = SCORES, precision: Any = "fp32") -> Path:
    """The file of a station in shadow, with a line that a power cut has cut."""
    reference = BundleReference(name=bundle.manifest.name, digest=bundle.digest)
    start = ShadowStart(
        station="a", bundle=reference, precision=precision, parts=9000, began=utc_now(), wish="configuration"
    )
    lines = [ShadowScore(id=uuid7(), sequence=i + 1, score=score) for i, score in enumerate(scores.tolist())]
    text = "\n".join(line.model_dump_json() for line in (start, *lines))
    (folder / "shadow.jsonl").write_text(text + '\n{"id": "019f')
    return folder / "shadow.jsonl"


def run(*arguments: object) -> int:
    return main(["threshold", *map(str, arguments)])


def test_the_next_bundle_says_where_its_threshold_comes_from(
    parent: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "flange-v2"
    assert run(parent.path, "--scores", collected(tmp_path, parent), "--out", out, "--json", tmp_path / "j") == 0
    made = open_bundle(out)
    decision, source = made.manifest.decision, made.manifest.provenance[THRESHOLD_SOURCE]
    assert source["parent"] == {"name": "flänge-v1", "digest": parent.digest}
    assert (source["parts"], source["bad_share"], source["precision"], source["stations"]) == (
        2000,
        0.02,
        "fp32",
        ["a"],
    )
    assert 35 <= source["left_out"] <= 45 and decision.held_out_images == 2000 - source["left_out"]
    assert decision.false_reject_rate == 0.002
    wanted = tail_threshold(np.random.default_rng(1).gumbel(0.3, 0.02, 5000).tolist(), 0.002).threshold
    found = decision.thresholds["fp32"]
    assert found.image == pytest.approx(wanted, rel=0.2)
    assert found.pixel == min(0.35, found.image) and "of the line" in str(found.method)
    assert found.scores is not None and found.scores.mean == pytest.approx(GOOD.mean(), abs=0.002)
    int8 = decision.thresholds["int8"]
    assert int8.image == pytest.approx(found.image + 0.05), "as far above that of FP32 as in the parent"
    assert int8.scores is not None and int8.scores.mean == pytest.approx(found.scores.mean + 0.05)
    assert int8.method == "that of fp32 moved by +0.05, as in the parent"
    told = json.loads((tmp_path / "j").read_text())
    assert told["digest"] == made.digest and told["left_out"] == source["left_out"] and told["threshold_before"] == 0.5
    capsys.readouterr()
    assert main(["show", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "2000 parts of the line" in shown and parent.digest[:16] in shown


def test_everything_else_is_the_parents(parent: Bundle, tmp_path: Path) -> None:
    archive = tmp_path / "flange.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for path in parent.path.rglob("*"):
            opened.write(path, path.relative_to(parent.path))
    assert run(archive, "--scores", collected(tmp_path, parent), "--out", tmp_path / "next", "--bad-share", 0.05) == 0
    made = open_bundle(tmp_path / "next")
    assert made.manifest.files == parent.manifest.files
    assert made.manifest.golden == parent.manifest.golden and made.manifest.input == parent.manifest.input
    assert made.manifest.name == "next" and made.digest != parent.digest
    assert all(made.file(name) == parent.file(name) for name in parent.manifest.files)


def test_flaws_that_the_parent_was_tried_with_are_counted_anew(bundle: Bundle, tmp_path: Path) -> None:
    far = np.random.default_rng(2).normal(1e3, 1, 400)
    scores = collected(tmp_path, bundle, far, bundle.manifest.preferred)
    assert run(bundle.path, "--scores", scores, "--out", tmp_path / "next") == 0
    made, before = open_bundle(tmp_path / "next").manifest.decision, bundle.manifest.decision
    assert before.flaws and [(f.width, f.drawn) for f in made.flaws] == [(f.width, f.drawn) for f in before.flaws]
    assert all(flaws.found == 0 for flaws in made.flaws) and made.defects == []


def test_without_the_scores_of_the_parent_thresholds_move_alike(tmp_path: Path) -> None:
    limits = {precision: {"image": 0.5, "pixel": 0.25} for precision in ("fp32", "int8")}
    parent = write_bundle(tmp_path / "p", small_bundle.fields(thresholds=limits), small_bundle.contents())
    assert run(parent.path, "--scores", collected(tmp_path, parent, precision="int8"), "--out", tmp_path / "next") == 0
    thresholds = open_bundle(tmp_path / "next").manifest.decision.thresholds
    assert thresholds["fp32"].image == pytest.approx(thresholds["int8"].image) != 0.5


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_a_file_of_numbers_is_taken_too(parent: Bundle, tmp_path: Path, end: str) -> None:
    (tmp_path / "scores.txt").write_bytes(end.join(f"{score:.6f}" for score in SCORES).encode())
    assert run(parent.path, "--scores", tmp_path / "scores.txt", "--out", tmp_path / "next") == 0
    source = open_bundle(tmp_path / "next").manifest.provenance[THRESHOLD_SOURCE]
    assert source["precision"] == "int8" and source["stations"] == [] and source["parts"] == 2000


def put_case(folder: Path, bundle: Bundle, score: float, *, sample: bool = True) -> None:
    reference = BundleReference(name=bundle.manifest.name, digest=bundle.digest)
    verdict = Verdict(
        boot_id="b", sequence=1, captured_at=utc_now(), decided_at=utc_now(), ok=True, shadow=True, score=score,
        threshold=0.5, bundle=reference, precision="fp32", engine="openvino", latency_ms=1,
        frame=FrameSize(width=8, height=8),
    )  # fmt: skip
    part = SavedMap(low=0, high=1, scale_x=1, scale_y=1, origin_x=0, origin_y=0, valid=(0, 0, 8, 8))
    case = SavedPart(station="a", borderline=False, verdict=verdict, regions=(), map=part, sample=sample)
    path = folder / "2026-11-29" / "a" / "verdicts" / f"{verdict.id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(case.model_dump_json())


def test_of_evidence_only_what_was_saved_evenly_counts(parent: Bundle, tmp_path: Path) -> None:
    for score in GOOD[:120]:
        put_case(tmp_path / "evidence", parent, float(score))
    for _ in range(60):
        put_case(tmp_path / "evidence", parent, 2.0, sample=False)
    assert run(parent.path, "--evidence", tmp_path / "evidence", "--out", tmp_path / "next") == 0
    decision = open_bundle(tmp_path / "next").manifest.decision
    assert decision.held_out_images == 120 and decision.false_reject_rate == 0.02
    assert decision.thresholds["fp32"].image < 0.5


WRONG: dict[str, tuple[list[str], str]] = {
    "share": (["--bad-share", "0.5"], "--bad-share 0.5 must be"),
    "negative share": (["--bad-share", "-0.1"], "--bad-share -0.1 must be"),
    "rate": (["--false-reject-rate", "1"], "--false-reject-rate 1 must lie"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_a_sentence(parent: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    options, said = WRONG[case]
    assert run(parent.path, "--scores", collected(tmp_path, parent), "--out", tmp_path / "next", *options) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "next").exists()


def test_scores_that_do_not_fit_are_refused_by_name(
    parent: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_bundle(tmp_path / "other", small_bundle.fields(min_area_px=9), small_bundle.contents())
    for scores, said in (
        (collected(tmp_path, parent), "give the bundle that judged"),
        (tmp_path / "nothing.jsonl", "No such file"),
        (tmp_path, "it is a folder"),
    ):
        assert run(other.path, "--scores", scores, "--out", tmp_path / "next") == 2
        error = capsys.readouterr().err
        assert said in error and str(scores) in error
    for content, said in (
        (b"0.1\nnan\n", "line 2"),
        (b"0.1\n" * 49, "49 scores"),
        (b"", "0 scores"),
        (b"\xff", "line 1"),
    ):
        (tmp_path / "file").write_bytes(content)
        assert run(parent.path, "--scores", tmp_path / "file", "--out", tmp_path / "next") == 2
        assert said in capsys.readouterr().err
    assert run(parent.path, "--evidence", tmp_path / "no evidence", "--out", tmp_path / "next") == 2
    assert "50 are the least" in capsys.readouterr().err
    assert run(parent.path, "--scores", collected(tmp_path, parent), "--out", parent.path) == 2
    assert "already exists" in capsys.readouterr().err


def test_it_runs_on_a_box_without_torch_and_scipy(parent: Bundle, tmp_path: Path) -> None:
    code = """
import sys
for name in ("torch", "torchvision", "timm", "onnx", "scipy", "tqdm", "models", "train"):
    sys.modules[name] = None
from edge_inspect.calibrate.cli import main
sys.exit(main(["threshold", *sys.argv[1:]]))
"""
    options = ["--scores", str(collected(tmp_path, parent)), "--out", str(tmp_path / "next")]
    command = [sys.executable, "-c", code, str(parent.path), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
