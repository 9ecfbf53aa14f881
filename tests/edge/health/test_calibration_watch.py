"""What a station says of a line that changes: the warning, its likely cause and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import small_bundle

from edge_inspect.edge.bundle.bundle import Bundle, write_bundle
from edge_inspect.edge.decision import Decision
from edge_inspect.edge.demo.line import render_part
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.health.calibration_watch import CalibrationWatch
from edge_inspect.edge.health.picture import examine, picture_range

GOOD = [render_part(seed).frame for seed in range(16)]
THRESHOLD = 0.5


@pytest.fixture(params=[True, False], ids=["norm", "start"])
def bundle(request: pytest.FixtureRequest, tmp_path: Path) -> Bundle:
    """One that says what its images showed, and one that leaves it to the start."""
    limits = {"image": THRESHOLD, "pixel": 0.25, "rate_low": 0.001, "rate_high": 0.05}
    limits["scores"] = {"mean": 0.3, "deviation": 0.05}
    fields: dict[str, Any] = small_bundle.fields(thresholds={"fp32": limits, "int8": limits}, held_out_images=100)
    if request.param:
        fields["input"]["pictures"] = picture_range([examine(frame) for frame in GOOD]).model_dump()
    return write_bundle(tmp_path / "bundle", fields, small_bundle.contents())


def run_on(watch: CalibrationWatch, frames: list[Frame], scores: np.ndarray) -> int | None:
    """Parts that pass; returns the number of the first after which there is a warning."""
    first = None
    figures = [examine(frame) for frame in frames]
    for i, score in enumerate(scores.tolist()):
        watch.see(figures[i % len(figures)], live=False)
        watch.add(Decision(score <= THRESHOLD, score, THRESHOLD, ()))
        if first is None and watch.changes():
            first = i + 1
    return first


def good_scores(rng: np.random.Generator, parts: int) -> np.ndarray:
    return rng.gumbel(0.3 - 0.5772 * 0.039, 0.039, parts)


def test_a_lamp_that_loses_light_without_any_reject(bundle: Bundle) -> None:
    rng = np.random.default_rng(1)
    watch = CalibrationWatch(bundle, "fp32", 0.02)
    assert run_on(watch, GOOD, good_scores(rng, 400)) is None
    assert watch.cause() is None and watch.remedy() is None and watch.warnings() == []
    dim = [(frame * 0.85).astype(np.uint8) for frame in GOOD]
    assert run_on(watch, dim, good_scores(rng, 200)) is not None
    assert watch.warnings() == ["light_changed"] and watch.cause() == "light"
    assert "% darker than before" in watch.sentence("light_changed") and "lamp" in watch.sentence("light_changed")


@pytest.mark.parametrize(
    ("spoil", "cause", "word"),
    [
        (lambda frame: (frame * 0.7).astype(np.uint8), "light", "lamp"),
        (lambda frame: cv2.GaussianBlur(frame, (0, 0), 2), "focus", "lens"),
        (lambda frame: np.roll(frame, 90, axis=0), "position", "mount"),
        (lambda frame: frame, "parts", "calibrate threshold"),
    ],
)
def test_a_shift_that_rejects_everything_is_told_with_its_cause(
    bundle: Bundle, spoil: Any, cause: str, word: str
) -> None:
    rng = np.random.default_rng(2)
    watch = CalibrationWatch(bundle, "fp32", 0.02)
    assert run_on(watch, GOOD, good_scores(rng, 400)) is None
    spoiled = [spoil(frame) for frame in GOOD]
    first = run_on(watch, spoiled, good_scores(rng, 200) + 0.6)
    assert first is not None and first <= 30
    assert watch.cause() == cause and word in str(watch.remedy())
    assert watch.changes()[0] == "many_rejects" and "score_drift" in watch.changes()
    said = watch.sentence("many_rejects")
    assert word in said and "usual" in said
    rejects = watch.rejects()
    assert rejects.evidence == rejects.limit and rejects.share > rejects.usual == pytest.approx(0.07)
    run_on(watch, spoiled, good_scores(rng, 10) + 0.6)
    assert watch.sentence("many_rejects") == said, "a status is said once"


def test_no_alarm_in_10_000_parts_with_the_usual_defects(bundle: Bundle) -> None:
    rng = np.random.default_rng(4)
    scores = good_scores(rng, 10_000)
    bad = rng.random(scores.size) < 0.02
    scores[bad] += rng.uniform(0.2, 1.5, int(bad.sum()))
    watch = CalibrationWatch(bundle, "fp32", 0.02)
    assert run_on(watch, GOOD, scores) is None


def test_what_is_over_is_not_said(bundle: Bundle) -> None:
    rng = np.random.default_rng(6)
    watch = CalibrationWatch(bundle, "fp32", 0.02)
    run_on(watch, GOOD, good_scores(rng, 200) + 0.6)
    assert "many_rejects" in watch.changes()
    run_on(watch, GOOD, good_scores(rng, 600))
    assert watch.changes() == [] and watch.cause() is None
