"""What the next bundle's watch takes for usual: simulated lines that drift as they did in shadow, and then change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import small_bundle

from edge_inspect.calibrate.line.next_bundle import make_next
from edge_inspect.calibrate.line.parts import LineParts
from edge_inspect.calibrate.line.reference import picture_reference, score_reference, wander, wide_limits
from edge_inspect.calibrate.line.scores import sort_out
from edge_inspect.edge.bundle.bundle import Bundle, write_bundle
from edge_inspect.edge.decision import Decision
from edge_inspect.edge.health.calibration_watch import CalibrationWatch
from edge_inspect.edge.health.picture import PictureFigures, PictureNorm, PictureRange, Spread

Drift = Callable[[np.ndarray], np.ndarray]
DRIFTS: dict[str, Drift] = {
    "none": lambda n: np.zeros(n.size),
    "a sine": lambda n: np.sin(2 * np.pi * n / 2000),
    "a saw, as of a lamp that is cleaned": lambda n: 1 - 2 * (n % 1500) / 1500,
    "day and night": lambda n: np.where(n % 1000 < 500, 1.0, -1.0),
}
LIMITS = {"image": 0.5, "pixel": 0.3, "scores": {"mean": 0.25, "deviation": 0.02}}
PARTS, BAD = 4000, 0.02


class Line:
    """Parts whose light drifts by 4 %, and their scores with it by a deviation; 2 of 100 are bad."""

    def __init__(self, seed: int, drift: Drift) -> None:
        self._rng, self._drift, self._passed = np.random.default_rng(seed), drift, 0

    def parts(self, count: int, lamp: float = 1.0) -> tuple[np.ndarray, list[PictureFigures]]:
        rng, drift = self._rng, self._drift(self._passed + np.arange(count))
        self._passed += count
        scores = rng.gumbel(0.3, 0.02, count) + 0.025 * drift
        scores[rng.random(count) < BAD] += rng.uniform(0.2, 1)
        levels = lamp * (60 + 2.4 * drift) + rng.normal(0, 2.5, count)
        places = rng.normal(0.5, 0.01, (count, 3))
        return scores, [
            PictureFigures(level, 0, 0.28 * (1 + sharp - 0.5), 0, x, y)
            for level, (sharp, x, y) in zip(levels.tolist(), places.tolist(), strict=True)
        ]


def next_bundle(folder: Path, line: Line, *, pictures: bool = True) -> Bundle:
    parent = write_bundle(
        folder / "v1", small_bundle.fields(thresholds={"fp32": LIMITS, "int8": LIMITS}), small_bundle.contents()
    )
    scores, figures = line.parts(PARTS)
    parts = LineParts("scores", "fp32", scores, ("a",), in_order=pictures, pictures=figures if pictures else ())
    return make_next(parent, parts, folder / "v2", bad_share=BAD, rate=None).bundle


def first_alarm(
    watch: CalibrationWatch, threshold: float, scores: np.ndarray, figures: list[PictureFigures]
) -> int | None:
    for i, (score, seen) in enumerate(zip(scores.tolist(), figures, strict=True), 1):
        watch.see(seen, live=False)
        watch.add(Decision(score <= threshold, score, threshold, ()))
        if watch.changes():
            return i
    return None


@pytest.mark.parametrize("name", DRIFTS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_was_seen_in_shadow_is_no_alarm_and_a_lamp_that_loses_light_is(
    tmp_path: Path, name: str, seed: int
) -> None:
    line = Line(seed, DRIFTS[name])
    bundle = next_bundle(tmp_path, line)
    threshold = bundle.manifest.decision.thresholds["fp32"].image
    watch = CalibrationWatch(bundle, "fp32", BAD)
    assert first_alarm(watch, threshold, *line.parts(10_000)) is None
    found = first_alarm(watch, threshold, *line.parts(200, lamp=0.85))
    assert found is not None and watch.cause() == "light"


@pytest.mark.parametrize("name", [name for name in DRIFTS if name != "none"])
def test_without_the_order_of_the_parts_a_drift_is_an_alarm(tmp_path: Path, name: str) -> None:
    line = Line(4, DRIFTS[name])
    bundle = next_bundle(tmp_path, line, pictures=False)
    scores = bundle.manifest.decision.thresholds["fp32"].scores
    assert scores is not None and scores.wander == 0
    watch = CalibrationWatch(bundle, "fp32", BAD)
    assert first_alarm(watch, 9.0, *line.parts(4000)) is not None
    assert watch.changes() == ["score_drift"]


def test_what_is_no_good_part_does_not_count() -> None:
    line = Line(5, DRIFTS["none"])
    scores, figures = line.parts(1000)
    bad = np.arange(0, 1000, 50)
    scores[bad] = 3.0
    for i in bad:
        figures[i] = PictureFigures(2.0, 0.9, 0.01, 0, 0.1, 0.9)  # an empty belt
    parts = LineParts("scores", "fp32", scores, ("a",), in_order=True, pictures=figures)
    good = sort_out(scores, 0.04).good
    seen = picture_reference(parts, good)
    assert seen is not None and seen.norm is not None
    assert seen.level_low > 45 and seen.saturated_high == 0 and seen.norm.images == good.size
    assert seen.norm.level.deviation == pytest.approx(2.5, rel=0.1) and seen.norm.x.wander < 0.01
    reference = score_reference(parts, good)
    assert reference.mean == pytest.approx(good.mean()) and reference.wander < 0.4


@pytest.mark.parametrize("known", [0, 1, 60])
def test_parts_without_figures_are_left_to_the_parent(known: int) -> None:
    scores, figures = Line(6, DRIFTS["none"]).parts(100)
    pictures = [picture if i < known else None for i, picture in enumerate(figures)]
    seen = picture_reference(LineParts("scores", "fp32", scores, ("a",), pictures=pictures), np.sort(scores))
    assert (seen is None) == (known < 2)
    assert seen is None or (seen.norm is not None and seen.norm.images == known)


@pytest.mark.parametrize("name", DRIFTS)
def test_the_wander_is_that_of_the_drift(name: str) -> None:
    drift = DRIFTS[name](np.arange(PARTS))
    assert wander(5 + drift, 0.02) == pytest.approx(abs(drift).max(), abs=0.15)
    assert wander(np.full(50, 3.0), 0.02) == pytest.approx(0)


@pytest.mark.parametrize(("wandered", "said"), [(0.0, False), (4.0, False), (12.0, True)])
def test_light_that_went_far_in_shadow_is_said(wandered: float, said: bool) -> None:
    still = Spread(mean=0.5, deviation=0.01)
    norm = PictureNorm(
        images=2000, level=Spread(mean=60, deviation=2.5, wander=wandered), sharpness=still, x=still, y=still
    )
    told = wide_limits(PictureRange(level_low=30, saturated_high=0, sharpness_low=0.1, norm=norm))
    assert bool(told) == said and all("light" in each for each in told)
    assert wide_limits(PictureRange(level_low=30, saturated_high=0, sharpness_low=0.1, norm=None)) == []
