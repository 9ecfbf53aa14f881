"""The score drift: how often it is told in vain, and how soon where there is one. Simulated, with the class itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edge_inspect.edge.health.drift import ScoreDrift

Draw = Callable[[np.random.Generator, int], np.ndarray]
PARTS, BUNDLES = 20_000, 30
DISTRIBUTIONS: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(0.3, 0.02, n),
    "gumbel": lambda rng, n: rng.gumbel(0.3, 0.02, n),  # the largest of many map values
    "lognormal": lambda rng, n: rng.lognormal(-1.2, 0.3, n),
}


def calibrated(draw: Draw, rng: np.random.Generator, images: int) -> ScoreDrift:
    scores = draw(rng, images)
    return ScoreDrift(float(scores.mean()), float(scores.std(ddof=1)), images)


def first_alarm(drift: ScoreDrift, scores: np.ndarray) -> int | None:
    for i, score in enumerate(scores.tolist()):
        drift.add(score)
        if drift.drifted:
            return i
    return None


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("images", [30, 200])
def test_less_than_one_false_alarm_in_100_000_parts(name: str, images: int) -> None:
    rng = np.random.default_rng([7, images])
    draw = DISTRIBUTIONS[name]
    alarms = sum(first_alarm(calibrated(draw, rng, images), draw(rng, PARTS)) is not None for _ in range(BUNDLES))
    # 600,000 parts: six would be the stated rate.
    assert alarms <= 3


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("shift", [-2.0, 2.0])
def test_a_shift_by_two_deviations_is_told_within_200_parts(name: str, shift: float) -> None:
    rng = np.random.default_rng(11)
    draw = DISTRIBUTIONS[name]
    deviation = float(draw(rng, 100_000).std())
    for _ in range(30):
        found = first_alarm(calibrated(draw, rng, 100), draw(rng, 200) + shift * deviation)
        assert found is not None


def test_a_lamp_that_ages_is_told_before_parts_are_rejected() -> None:
    rng = np.random.default_rng(13)
    drift = ScoreDrift(0.3, 0.02, 100)
    threshold = 0.3 + 3.1 * 0.02
    for hour in range(50):  # the scores of good parts rise by a tenth of a deviation every 200 parts
        rejected = 0
        for score in rng.normal(0.3 + 0.002 * hour, 0.02, 200).tolist():
            rejected += score > threshold
            drift.add(score)
        if drift.drifted:
            break
    assert drift.drifted and 0 < drift.shift < 1.5
    assert rejected <= 6  # of 200: false rejects have hardly begun


def test_one_strange_part_is_no_drift() -> None:
    drift = ScoreDrift(0.3, 0.02, 100)
    drift.add(1e9)
    assert not drift.drifted and drift.shift == pytest.approx(0.04)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("share", [0.0, 0.02, 0.1])
def test_usual_defects_are_no_drift_and_a_shift_is_told_among_them(name: str, share: float) -> None:
    rng = np.random.default_rng(17)
    draw = DISTRIBUTIONS[name]
    for _ in range(10):
        calibration = draw(rng, 200)
        mean, deviation = float(calibration.mean()), float(calibration.std(ddof=1))
        drift = ScoreDrift(mean, deviation, 200, defect_share=share)
        scores = draw(rng, 10_000)
        scores[rng.random(scores.size) < share] += 20 * deviation
        assert first_alarm(drift, scores) is None
        assert first_alarm(drift, draw(rng, 200) + 2 * deviation) is not None


def test_a_shift_that_rejects_every_part_is_told_and_ends() -> None:
    drift = ScoreDrift(0.3, 0.02, 100, defect_share=0.02)
    found = first_alarm(drift, np.full(200, 0.9))
    assert found is not None and found < 30
    for _ in range(300):
        drift.add(0.3)
    assert not drift.drifted
