"""Delays after wrong passwords: guessing becomes slow, and nobody is kept out for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.edge.page.login_limits import LoginLimits, TooEarly, group


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def guesses(limits: LoginLimits, clock: Clock, seconds: float, places: list[str]) -> int:
    """How many passwords these addresses can try within a time, if each tries as often as it may."""
    count, end = 0, clock.now + seconds
    while clock.now < end:
        for place in places:
            if limits.wait_s("anna", place) == 0:
                limits.note_wrong("anna", place)
                count += 1
        clock.now += 1
    return count


def test_one_address_gets_a_few_hundred_guesses_a_day() -> None:
    clock = Clock()
    assert guesses(LoginLimits(clock), clock, 86400, ["192.0.2.1"]) < 350


def test_many_addresses_share_the_delay_of_the_user_whom_they_guess() -> None:
    clock = Clock()
    places = [f"192.0.2.{i}" for i in range(50)]
    assert guesses(LoginLimits(clock), clock, 3600, places) < 50 * 20


def test_a_few_mistakes_cost_nothing_and_the_delay_grows_to_a_bound() -> None:
    clock, limits, waits = Clock(), LoginLimits(), []
    limits = LoginLimits(clock)
    for _ in range(30):
        limits.note_wrong("anna", "192.0.2.1")
        waits.append(limits.wait_s("anna", "192.0.2.1"))
        clock.now += waits[-1]
        assert limits.wait_s("anna", "192.0.2.1") == 0
    assert waits[:3] == [0, 0, 0] and waits[3] > 0
    assert waits == sorted(waits) and max(waits) == 300


@pytest.mark.parametrize("own", ["198.51.100.7", "2001:db8::7", "device 0123"])
def test_an_attack_on_a_user_never_keeps_the_user_out_at_another_place(own: str) -> None:
    clock = Clock()
    limits = LoginLimits(clock)
    for i in range(5000):
        limits.note_wrong("anna", f"192.0.2.{i % 200}")
    assert limits.wait_s("anna", own) == 0
    limits.note_wrong("anna", own)
    wait = limits.wait_s("anna", own)
    for i in range(100):
        limits.note_wrong("anna", f"192.0.2.{i}")
    assert limits.wait_s("anna", own) == wait <= 300
    clock.now += wait
    assert limits.wait_s("anna", own) == 0


def test_attempts_that_are_refused_lengthen_nothing() -> None:
    clock = Clock()
    limits = LoginLimits(clock)
    for _ in range(8):
        limits.note_wrong("anna", "192.0.2.1")
    wait = limits.wait_s("anna", "192.0.2.1")
    for _ in range(100):
        with pytest.raises(TooEarly), limits.one_attempt("anna", "192.0.2.1"):
            pytest.fail("the attempt was examined")
    assert limits.wait_s("anna", "192.0.2.1") == wait


def test_an_address_has_one_attempt_examined_at_a_time() -> None:
    limits = LoginLimits()
    with limits.one_attempt("anna", "2001:db8::1"):
        with pytest.raises(TooEarly), limits.one_attempt("otto", "2001:db8::2"):
            pytest.fail("two at once")
        with limits.one_attempt("anna", "192.0.2.1"):
            pass
    with limits.one_attempt("anna", "2001:db8::1"):
        pass


def test_the_right_password_and_an_hour_of_quiet_are_forgiven() -> None:
    clock = Clock()
    limits = LoginLimits(clock)
    for _ in range(10):
        limits.note_wrong("anna", "192.0.2.1")
    limits.note_right("192.0.2.1")
    assert limits.wait_s("anna", "192.0.2.1") == 0
    limits.note_wrong("anna", "192.0.2.1")
    assert limits.wait_s("anna", "192.0.2.1") > 0, "the user's count stays"
    clock.now += 3601
    assert limits.wait_s("anna", "192.0.2.1") == 0


def test_memory_is_bounded() -> None:
    limits = LoginLimits()
    for i in range(20000):
        limits.note_wrong(f"user{i}", f"device {i}")
    assert len(limits) <= 2 * 4096


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("2001:DB8::1", "2001:db8:0:0::1", True),
        ("unknown", "192.0.2.1", False),
    ],
)
def test_one_computer_counts_as_one_address(first: str, second: str, same: bool) -> None:
    assert (group(first) == group(second)) is same


@given(st.text(max_size=60))
def test_any_text_is_some_address(text: str) -> None:
    assert group(group(text)) or text == ""
