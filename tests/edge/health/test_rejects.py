"""The reject chart: how often it is told in vain, and how soon where there is cause. Simulated, with the class."""

from __future__ import annotations

import numpy as np
import pytest
import small_bundle
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspect.edge.bundle.manifest import DecisionPart, Thresholds
from edge_inspect.edge.health.rejects import RejectChart, usual_share


def first_alarm(chart: RejectChart, rejects: np.ndarray) -> int | None:
    for i, rejected in enumerate(rejects.tolist()):
        chart.add(rejected=rejected)
        if chart.alarmed:
            return i + 1
    return None


@pytest.mark.parametrize("usual", [0.002, 0.02, 0.07, 0.22, 0.6])
def test_no_alarm_in_10_000_parts_of_the_usual_share(usual: float) -> None:
    rng = np.random.default_rng(int(1000 * usual))
    runs = 40  # less than one of 100 has an alarm
    alarms = sum(first_alarm(RejectChart(usual), rng.random(10_000) < usual) is not None for _ in range(runs))
    assert alarms <= 2


@pytest.mark.parametrize("usual", [0.002, 0.02, 0.07, 0.22, 0.6])
def test_a_shift_that_rejects_everything_is_told_within_40_parts(usual: float) -> None:
    found = first_alarm(RejectChart(usual), np.ones(40, bool))
    assert found is not None


@pytest.mark.parametrize(("usual", "share"), [(0.02, 0.2), (0.05, 0.3), (0.1, 0.4), (0.22, 0.6)])
def test_many_rejects_are_told_within_200_parts(usual: float, share: float) -> None:
    rng = np.random.default_rng(5)
    for _ in range(40):
        chart = RejectChart(usual)
        for rejected in (rng.random(1000) < usual / 2).tolist():
            chart.add(rejected=rejected)
        found = first_alarm(chart, rng.random(200) < share)
        assert found is not None


def test_the_mean_delay_is_the_one_in_the_docstring() -> None:
    rng = np.random.default_rng(3)
    for usual, looked_for, parts in ((0.05, 0.2083, 90), (0.02, 0.0926, 192)):
        delays = [first_alarm(RejectChart(usual), rng.random(5000) < looked_for) for _ in range(200)]
        assert np.mean([delay for delay in delays if delay]) == pytest.approx(parts, rel=0.15)


def test_the_alarm_ends_when_parts_are_good_again() -> None:
    chart = RejectChart(0.05)
    for _ in range(500):
        chart.add(rejected=True)
    assert chart.alarmed and chart.share == pytest.approx(1)
    for _ in range(75):
        chart.add(rejected=False)
    assert chart.alarmed
    chart.add(rejected=False)
    assert not chart.alarmed and chart.sum == 0


@given(st.floats(0.002, 0.9), st.lists(st.booleans(), max_size=300))
@settings(deadline=None)
def test_the_evidence_stays_within_its_limits(usual: float, rejects: list[bool]) -> None:
    chart = RejectChart(usual)
    for rejected in rejects:
        chart.add(rejected=rejected)
        assert 0 <= chart.sum <= chart.limit and 0 <= chart.share <= 1
        assert chart.alarmed or chart.sum < chart.limit


def test_the_usual_share_is_of_good_parts_and_of_defects() -> None:
    def usual(rate: float, high: float | None, defects: float) -> float:
        decision = DecisionPart(**small_bundle.fields(false_reject_rate=rate)["decision"])
        return usual_share(decision, Thresholds(image=1, pixel=1, rate_low=0, rate_high=high), defects)

    assert usual(0.01, 0.034, 0.02) == pytest.approx(0.054)
    assert usual(0.01, None, 0.02) == pytest.approx(0.04)
    assert usual(0.0001, 0.0002, 0) == 0.002
    assert usual(0.05, 1.0, 0.5) == 0.9
