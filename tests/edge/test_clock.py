from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.edge.clock import ClockWatch, StampAge, show_time

NOW = 1_800_000_000.0


class Clocks:
    """A wall clock that can be set, and one that cannot."""

    def __init__(self, now: float = NOW) -> None:
        self.offset = now
        self.passed = 0.0

    def wall(self) -> float:
        return self.offset + self.passed

    def steady(self) -> float:
        return self.passed


@pytest.mark.parametrize(
    ("began", "step", "said"),
    [
        (NOW - 21 * 86400, 21 * 86400, "set forward by 21 days, 0:00:00; it is 2027-01-15T08:00:10Z now"),
        (12.0, NOW - 12, "set forward by 20833 days, 7:59:48; it is 2027-01-15T08:00:10Z now"),
        (NOW, -7200, "set back by 2:00:00; it is 2027-01-15T06:00:10Z now"),
        (NOW, 1.5, "set forward by 0:00:02"),
    ],
)
def test_a_step_is_said_once(caplog: pytest.LogCaptureFixture, began: float, step: float, said: str) -> None:
    clocks = Clocks(began)
    watch = ClockWatch(clocks.wall, clocks.steady)
    assert [record.message for record in caplog.records] == (
        [
            "the clock of this box says 1970-01-01T00:00:12Z: it was never set, and times in messages are wrong; "
            "set it, best by NTP"
        ]
        if began == 12
        else []
    )
    caplog.clear()
    clocks.passed += 10
    watch.look()
    assert (watch.steps, watch.last_step_s) == (0, None)
    clocks.offset += step
    watch.look()
    watch.look()
    assert len(caplog.records) == 1 and said in caplog.text
    assert (watch.steps, watch.last_step_s) == (1, step)


def test_slewing_is_no_step(caplog: pytest.LogCaptureFixture) -> None:
    clocks = Clocks()
    watch = ClockWatch(clocks.wall, clocks.steady)
    for _ in range(100_000):
        clocks.passed += 10
        clocks.offset += 0.005
        watch.look()
    assert not watch.steps and not caplog.records


def test_clocks_that_were_not_read_at_one_moment_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    clocks = Clocks()
    delay_s = 0

    def wall() -> float:
        clocks.passed += delay_s
        return clocks.wall()

    watch = ClockWatch(wall, clocks.steady)
    delay_s = 30  # the process was stopped between its two readings
    watch.look()
    delay_s = 0
    watch.look()
    assert not watch.steps and not caplog.records


def test_the_clocks_of_this_box_agree() -> None:
    watch = ClockWatch()
    for _ in range(100):
        watch.look()
    assert watch.steps == 0


@given(
    step=st.floats(-1e9, 1e9).filter(lambda step: abs(step) > 30),
    lies=st.lists(st.floats(0, 5), min_size=1, max_size=10),
    at=st.integers(0, 9),
)
def test_the_age_of_a_frame_does_not_hang_on_a_step(step: float, lies: list[float], at: int) -> None:
    """Frames are taken a tenth of a second apart and lie in the driver for a while; the clock is set at some moment."""
    clocks = Clocks()
    ages = StampAge(clocks.wall, clocks.steady)
    for number, lie in enumerate(lies):
        clocks.passed += 0.1
        stamp = clocks.wall()
        if number == at:
            clocks.offset += step
        clocks.passed += lie
        assert ages.age(stamp) == pytest.approx(lie, abs=1e-3)


def test_after_a_small_step_an_old_frame_is_as_old_as_it_is() -> None:
    clocks = Clocks()
    ages = StampAge(clocks.wall, clocks.steady)
    clocks.offset += 2
    assert ages.age(clocks.wall()) == 0
    clocks.passed += 61
    ages.age(clocks.wall())
    assert ages.age(clocks.wall() - 3) == pytest.approx(3)


@pytest.mark.parametrize("seconds", [-1e20, 1e20, 1e12])
def test_any_time_can_be_shown(seconds: float) -> None:
    assert show_time(seconds) == f"{seconds:.0f} s after 1970"
