"""`edge-inspect image`, as its user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge.bundle import Bundle
from edge.cli import main
from edge.demo.line import CATEGORY
from edge.engines import AnomalyMap
from edge.fit import Fit
from edge.images import list_images, read_image
from edge.inspection import draw_overlay, inspect_files


@pytest.fixture
def good(data: Path) -> Path:
    return data / CATEGORY / "test" / "good"


def test_a_line_a_file_on_standard_output(bundle_path: Path, good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["image", str(bundle_path), str(good)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(list_images(good))
    for line, path in zip(lines, list_images(good), strict=True):
        verdict, score, said = line.split()
        assert verdict in ("accept", "reject") and float(score) > 0 and said == str(path)


def test_the_verdict_follows_the_threshold_of_the_precision(bundle_path: Path, bundle: Bundle, good: Path) -> None:
    for precision in bundle.manifest.precisions:
        limit = bundle.manifest.decision.thresholds[precision].image
        for result in inspect_files(bundle_path, [good], precision, None):
            assert result["threshold"] == pytest.approx(limit, abs=1e-6)
            assert result["ok"] == (result["score"] <= result["threshold"])
            assert result["ok"] or result["regions"]


def test_json_is_one_object_and_nothing_else(
    bundle_path: Path, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["image", str(bundle_path), str(good), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["images"]
    assert [image["path"] for image in found] == [str(path) for path in list_images(good)]
    assert main(["image", str(bundle_path), str(good), "--json", str(tmp_path / "out.json")]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["images"] == found


def test_an_overlay_has_the_frames_size(bundle_path: Path, good: Path, tmp_path: Path) -> None:
    assert main(["image", str(bundle_path), str(good), "--overlay", str(tmp_path)]) == 0
    assert [path.stem for path in list_images(tmp_path)] == [path.stem for path in list_images(good)]
    assert all(read_image(path).shape == (480, 640, 3) for path in list_images(tmp_path))


def test_a_rejected_frame_shows_where(bundle: Bundle) -> None:
    from edge.decision import Decider

    frame = np.full((480, 640, 3), 90, np.uint8)
    limits = bundle.manifest.decision.thresholds["fp32"]
    values = np.zeros((96, 96), np.float32)
    values[40:50, 60:70] = 2 * limits.image
    placement = Fit(96, 96).apply(frame)[1]
    anomaly = AnomalyMap(values, placement, float(values.max()))
    decision = Decider(bundle, "fp32").decide(anomaly)
    drawn = draw_overlay(frame, anomaly, decision).astype(int)
    changed = np.abs(drawn - 90).max(axis=2) > 8
    x, y, width, height = decision.regions[0].bbox
    assert changed[y : y + height, x : x + width].mean() > 0.9
    changed[y - 8 : y + height + 8, x - 8 : x + width + 8] = False
    assert changed[8:-8, 8:-8].sum() == 0  # but for the border, which says reject


@pytest.mark.parametrize("name", ["nothing.png", "empty"])
def test_what_is_not_there_is_named(
    bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["image", str(bundle_path), str(tmp_path / name)]) == 2
    assert str(tmp_path / name) in capsys.readouterr().err
