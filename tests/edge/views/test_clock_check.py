from __future__ import annotations

import random

import pytest

from edge_inspect.edge.views.clock_check import ClockCheck


def verdicts(
    offset: float, begin: float, seconds: float, delays: list[float], drift: float = 0.0
) -> list[tuple[float, float]]:
    """Times of decision by the box's clock, and arrivals, which are in order; one verdict each 50 ms."""
    times: list[tuple[float, float]] = []
    arrival = begin
    for number in range(int(seconds / 0.05)):
        moment = begin + number * 0.05
        arrival = max(arrival, moment + delays[number % len(delays)])
        times.append((moment * (1 + drift) + offset, arrival))
    return times


def steps(check: ClockCheck, times: list[tuple[float, float]]) -> list[float]:
    return [step for decided, now in times if (step := check.step(decided, now)) is not None]


@pytest.fixture
def delays() -> list[float]:
    chance = random.Random(1)
    return [0.002 + chance.expovariate(100) for _ in range(97)]


def test_delays_and_drift_are_no_step(delays: list[float]) -> None:
    for drift in (0.0, 0.0004, -0.0004):
        check = ClockCheck(0.02)
        assert steps(check, verdicts(1e9, 0.0, 600.0, [*delays, 1.0], drift)) == []
        # Verdicts that waited for half a minute, and an hour without a part.
        assert steps(check, verdicts(1e9, 600.0, 60.0, [30.0, *delays * 20], drift)) == []
        assert steps(check, verdicts(1e9, 4200.0, 10.0, delays, drift)) == []


def test_where_delays_vary_nothing_is_noticed_that_is_not_there() -> None:
    chance = random.Random(2)
    check = ClockCheck(0.01)
    assert steps(check, verdicts(1e9, 0.0, 3600.0, [chance.uniform(0, 0.3) for _ in range(9973)])) == []
    assert steps(check, verdicts(1e9 + 1, 3600.0, 1.0, [0.1])) != []


@pytest.mark.parametrize("step", [0.05, 0.5, 100.0])
def test_a_step_forward_is_noticed_within_a_second(delays: list[float], step: float) -> None:
    check = ClockCheck(0.02)
    assert steps(check, verdicts(1e9, 0.0, 20.0, delays)) == []
    found = steps(check, verdicts(1e9 + step, 20.0, 1.0, delays))
    assert found[:1] == [pytest.approx(step, abs=0.03)]
    assert steps(check, verdicts(1e9 + step, 21.0, 20.0, delays)) == []


def test_a_backlog_is_no_step(delays: list[float]) -> None:
    """A thousand verdicts that waited come within a second, then new ones."""
    for before in (0.0, 20.0):
        check = ClockCheck(0.02)
        assert steps(check, verdicts(1e9, -before, before, delays)) == []
        backlog = [(1e9 + number * 0.05, 50.0 + number * 0.001) for number in range(1000)]
        assert steps(check, backlog) == []
        assert steps(check, verdicts(1e9, 51.0, 20.0, delays)) == []
