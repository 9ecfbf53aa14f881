"""The threshold after teaching: raised for good parts, kept below defects, lowered only within the interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.calibrate.teach.threshold_rule import taught_threshold
from edge_inspect.edge.bundle.manifest import DecisionPart, Thresholds

LIMITS = Thresholds(image=1.0, pixel=0.5, image_low=0.8, image_high=1.2, rate_low=0.001, rate_high=0.05)
DECISION = DecisionPart(
    sigma=4, top=1, min_area_px=4, false_reject_rate=0.02, held_out_images=200, method="x", thresholds={"fp32": LIMITS}
)
SCORES = st.lists(st.floats(0.01, 5), max_size=40)


def test_without_good_parts_above_it_the_threshold_stays() -> None:
    found = taught_threshold(DECISION, LIMITS, [], [0.5, 0.7, 0.9], [1.5])
    assert (found.image, found.above, found.missed, found.limited) == (1.0, 0, 0, False)
    assert found.rate_high == 0.05


@pytest.mark.parametrize("count", [2, 5, 30, 100])
def test_it_rises_for_labelled_good_parts_but_not_for_one_odd_part(count: int) -> None:
    good = [*np.linspace(1.1, 1.5, count).tolist(), 40.0]
    found = taught_threshold(DECISION, LIMITS, good, [], [])
    assert 1.0 < found.image <= 1.5 and 1 <= found.above <= max(2, 0.02 * (count + 1) + 1)
    assert taught_threshold(DECISION, LIMITS, [40.0], [], []).image == 1.0


@pytest.mark.parametrize("defect", [1.05, 1.2, 1.39])
def test_it_stays_below_a_defect_that_was_found(defect: float) -> None:
    good = np.linspace(1.1, 1.5, 30).tolist()
    found = taught_threshold(DECISION, LIMITS, good, [0.3], [defect, 9.0])
    assert found.limited and found.missed == 0 and found.image < defect
    assert found.above == sum(score > defect for score in good)


@pytest.mark.parametrize(("defect", "lowered"), [(0.95, True), (0.85, True), (0.79, False), (0.2, False)])
def test_it_falls_for_a_missed_defect_within_the_interval(defect: float, lowered: bool) -> None:
    found = taught_threshold(DECISION, LIMITS, [], [0.3, 0.6], [defect])
    assert (found.image < 1.0) == lowered and found.image >= 0.8
    assert (found.missed == 0) == lowered
    assert found.rate_high is not None and (found.rate_high > 0.05) == lowered


def test_it_does_not_fall_through_a_good_part() -> None:
    found = taught_threshold(DECISION, LIMITS, [], [0.9], [0.85, 0.95])
    assert 0.9 <= found.image < 0.95 and found.missed == 1


@pytest.mark.parametrize(("count", "aim"), [(30, 0.2), (100, 0.2), (30, 0.5)])
def test_with_a_memory_it_rises_only_as_far_as_the_aim(count: int, aim: float) -> None:
    wrong = np.linspace(0.5, 1.5, count).tolist()
    found = taught_threshold(DECISION, LIMITS, wrong, [], [], aim)
    assert found.above == pytest.approx(aim * count, abs=1)
    assert taught_threshold(DECISION, LIMITS, [score - 0.45 for score in wrong], [], [], aim).image == 1.0


@given(wrong=SCORES, right=SCORES, defects=SCORES, aim=st.sampled_from([0.0, 0.2]))
def test_whatever_is_labelled(wrong: list[float], right: list[float], defects: list[float], aim: float) -> None:
    right = [score for score in right if score <= 1.0]
    found = taught_threshold(DECISION, LIMITS, wrong, right, defects, aim)
    assert found.image >= 0.8
    assert all(score > found.image for score in defects if score > 1.0), "no defect that was found is lost"
    assert all(score <= found.image for score in right), "no labelled good part that passed is rejected"
    assert found.above == sum(score > found.image for score in wrong)
    low, high = found.still_rejected
    assert 0 <= low <= high <= 1
