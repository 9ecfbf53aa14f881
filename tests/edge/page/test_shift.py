from __future__ import annotations

from datetime import datetime, time, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.edge.contract.ids import format_uuid7
from edge_inspect.edge.page.shift import SavedShift, Shift, ShiftCounts, shift_at

TIMES = [time(6), time(14), time(22)]
SINCE = datetime(2026, 5, 1, 6, tzinfo=timezone.utc)
LATER = SINCE + timedelta(hours=1)


def identity(number: int) -> str:
    return format_uuid7(1_800_000_000_000 + number, 0)


def counts(saved: SavedShift | None = None) -> ShiftCounts:
    made = ShiftCounts(saved)
    made.begin(SINCE)
    return made


def add(to: ShiftCounts, *numbers: int, newer: int = 0) -> None:
    for number in numbers:
        to.add(number, identity(number + newer), LATER, rejected=number % 5 == 0)


@pytest.mark.parametrize(
    ("at", "begin", "name"),
    [
        ("2026-05-04 06:00:00", "2026-05-04 06:00", "06:00-14:00"),
        ("2026-05-04 13:59:59", "2026-05-04 06:00", "06:00-14:00"),
        ("2026-05-04 22:30:00", "2026-05-04 22:00", "22:00-06:00"),
        ("2026-05-04 03:00:00", "2026-05-03 22:00", "22:00-06:00"),
        ("2026-01-01 00:00:00", "2025-12-31 22:00", "22:00-06:00"),
    ],
)
def test_the_shift_at_a_moment(at: str, begin: str, name: str) -> None:
    shift = shift_at(datetime.fromisoformat(at).astimezone(), TIMES)
    assert shift == Shift(datetime.fromisoformat(begin).astimezone(), name)


@given(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)), st.sets(st.times(), min_size=1, max_size=6))
def test_every_moment_lies_in_its_shift(moment: datetime, times: set[time]) -> None:
    rising = sorted(each.replace(second=0, microsecond=0) for each in times)
    shift = shift_at(moment.astimezone(), sorted(set(rising)))
    assert timedelta(0) <= moment.astimezone() - shift.since <= timedelta(hours=25)


def test_one_time_of_day_is_a_shift_of_a_day() -> None:
    assert shift_at(datetime(2026, 5, 4, 5, 59).astimezone(), [time(6)]).name == "06:00-06:00"


def test_a_repeat_is_counted_once() -> None:
    made = counts()
    add(made, 1, 2, 3, 3, 2, 4, 5, 5)
    assert (made.inspected, made.rejected, made.missed) == (5, 1, 0)


def test_what_does_not_come_is_missed_until_it_comes() -> None:
    made = counts()
    add(made, 10, 11, 15)
    assert (made.inspected, made.missed) == (3, 3)
    add(made, 13)
    assert (made.inspected, made.missed) == (4, 2)
    add(made, 12, 14)
    assert (made.inspected, made.missed) == (6, 0)


def test_parts_before_the_first_that_was_followed_are_not_counted() -> None:
    made = counts()
    add(made, 10, 3, 4, 11)
    assert (made.inspected, made.missed) == (2, 0)


def test_a_new_outbox_counts_from_1_again() -> None:
    made = counts()
    add(made, 100, 101)
    add(made, 1, 2, 3, newer=1000)
    assert (made.inspected, made.missed) == (5, 0)
    # What the old outbox had sent before comes late, and is taken for what it is: a number that is far away.
    add(made, 4, newer=1000)
    assert (made.inspected, made.missed) == (6, 0)


def test_wild_numbers_of_another_program_do_not_stay() -> None:
    made = counts()
    add(made, 1, 2)
    made.add(2**53, identity(50), LATER, rejected=False)
    add(made, 3, 4, newer=100)
    assert made.missed == 0 and made.inspected == 5


def test_a_new_shift_begins_at_0_and_knows_what_it_has_seen() -> None:
    made = counts()
    add(made, 1, 2, 5)
    assert made.begin(SINCE + timedelta(hours=8)) and not made.begin(SINCE + timedelta(hours=8))
    assert (made.inspected, made.rejected, made.missed) == (0, 0, 0)
    # Number 5 again, and 3, which belongs to the last shift.
    add(made, 5, 3)
    assert made.inspected == 0
    made.add(6, identity(6), SINCE + timedelta(hours=7), rejected=False)
    assert (made.inspected, made.missed) == (0, 0), "it was inspected in the last shift"
    made.add(8, identity(8), SINCE + timedelta(hours=9), rejected=True)
    assert (made.inspected, made.rejected, made.missed) == (1, 1, 1)


def test_a_box_whose_clock_was_never_set_has_parts_all_the_same() -> None:
    made = counts()
    made.add(1, identity(1), datetime(1970, 1, 1, tzinfo=timezone.utc), rejected=False)
    assert made.inspected == 1


@pytest.mark.parametrize("ahead", [timedelta(days=2), timedelta(days=400), timedelta(days=27_000)])
def test_a_new_outbox_is_counted_after_a_clock_that_was_ahead(ahead: timedelta) -> None:
    made = ShiftCounts(now=LATER.timestamp)
    made.begin(SINCE)
    present = round(LATER.timestamp() * 1000)
    dated = [
        (number, format_uuid7(present + round(ahead.total_seconds() * 1000) + number, 0)) for number in range(1, 9)
    ]
    for number, each in [*dated, *dated]:  # repeats are counted once all the same
        made.add(number, each, LATER + ahead, rejected=False)
    assert made.inspected == 8
    again = ShiftCounts(SavedShift.model_validate_json(made.saved().model_dump_json()), now=LATER.timestamp)
    for number in (1, 2, 2, 3):
        again.add(number, format_uuid7(present + number, 0), LATER, rejected=False)
    assert (again.inspected, again.missed) == (11, 0)


def test_the_counters_survive() -> None:
    made = counts()
    add(made, 1, 2, 5)
    again = counts(SavedShift.model_validate_json(made.saved().model_dump_json()))
    add(again, 2, 5, 6)
    assert (again.inspected, again.rejected, again.missed) == (4, 1, 2)


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 2))))
def test_whatever_comes_the_counters_are_possible(messages: list[tuple[int, int]]) -> None:
    made = counts()
    for number, newer in messages:
        add(made, number, newer=1000 * newer)
    assert 0 <= made.rejected <= made.inspected <= len(messages) and 0 <= made.missed <= 60
    assert counts(made.saved()).saved() == made.saved()


def test_limits_are_shown_where_the_usual_share_is_known() -> None:
    made = counts()
    add(made, *range(1, 101))
    shift = Shift(SINCE, "06:00-14:00")
    assert made.show(shift, None)["low"] is None
    shown = made.show(shift, 0.05)
    assert (shown["inspected"], shown["rejected"], shown["share"], shown["high"]) == (100, 20, 0.2, 0.13)
    assert shown["since"] == "2026-05-01T06:00:00.000000Z" and counts().show(shift, 0.05)["share"] is None
