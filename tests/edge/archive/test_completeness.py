"""`archive check`: gaps, restarted counts and missing defects, against brute force."""

from __future__ import annotations

from datetime import timedelta

import pytest
from archive_parts import NOON, STATION, Fed, part, parts
from bridge_parts import defect
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from station_parts import health

from edge_inspect.edge.archive.completeness import StationCompleteness, check
from edge_inspect.edge.archive.received_messages import ArchivedStatus
from edge_inspect.edge.archive.span import Span

ALL = Span()


def found(engine: Engine, span: Span = ALL) -> list[StationCompleteness]:
    with engine.connect() as connection:
        return check(connection, span)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequences=st.sets(st.integers(1, 40), min_size=1, max_size=30))
def test_gaps_are_those_between_the_parts(engine: Engine, sequences: set[int]) -> None:
    with engine.begin() as connection:
        for table in ("verdicts", "defects", "regions", "counts", "stations"):
            connection.execute(text(f"DELETE FROM {table}"))
    Fed(engine).give([part(sequence) for sequence in sorted(sequences, key=lambda number: number % 7)])
    (station,) = found(engine)
    missing = set(range(min(sequences), max(sequences) + 1)) - sequences
    assert {number for first, last in station.gaps for number in range(first, last + 1)} == missing
    assert station.missing == len(missing) and station.complete is not bool(missing)
    assert (station.parts, station.first, station.last) == (len(sequences), min(sequences), max(sequences))


def test_a_new_outbox_is_no_gap_unless_its_first_parts_are_missing(engine: Engine) -> None:
    later = NOON + timedelta(hours=1)
    fed = Fed(engine)
    fed.give([part(100), part(101)])
    fed.give([part(1, later), part(2, later + timedelta(seconds=1))])
    (station,) = found(engine)
    assert (station.gaps, station.restarts, station.complete) == ([], 1, True)
    fed.give([part(3, later + timedelta(hours=1), boot_id="c"), part(4, later + timedelta(hours=2), boot_id="c")])
    fed.give([part(3, later + timedelta(hours=3), boot_id="d")])
    (station,) = found(engine)
    assert (station.gaps, station.restarts) == ([(1, 2)], 2)


def test_a_rejected_part_without_its_defect_is_missing_it(engine: Engine) -> None:
    made = part(2, ok=False)
    fed = Fed(engine)
    fed.give([part(1), made, part(3)])
    (station,) = found(engine)
    assert station.without_defect == 1 and not station.complete
    assert "1 rejected parts without their defect" in next(station.lines())
    fed.give([defect(made, 5)])
    assert found(engine)[0].complete


def test_parts_that_were_announced_and_have_not_come_are_missing(engine: Engine) -> None:
    fed = Fed(engine)
    fed.give(parts(20))
    announced = health().model_copy(update={"sequence": 25})
    fed.stations[STATION].announce(ArchivedStatus.model_validate_json(announced.to_json()), retained=False)
    fed.give(parts(1, first=20))
    (station,) = found(engine)
    assert (station.gaps, station.missing) == ([(21, 25)], 5)
    assert list(station.lines())[1] == "    missing #21 to #25"


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (Span(since=NOON + timedelta(seconds=5)), 16),
        (Span(until=NOON + timedelta(seconds=5)), 4),
        (Span(station="plant/+/a"), 20),
        (Span(station="plant/+/b"), None),
    ],
)
def test_a_time_and_stations_can_be_chosen(engine: Engine, span: Span, expected: int | None) -> None:
    Fed(engine).give(parts(20))
    assert [station.parts for station in found(engine, span)] == ([] if expected is None else [expected])


def seconds(first: float | None, last: float | None) -> Span:
    return Span(*(None if each is None else NOON + timedelta(seconds=each) for each in (first, last)))


@pytest.mark.parametrize(
    ("span", "parts_there", "gaps"),
    [
        (seconds(10, None), 8, [(8, 12)]),  # begins inside the gap
        (seconds(None, 10), 7, [(8, 12)]),  # ends inside the gap
        (seconds(9, 11), 0, [(8, 12)]),
        (seconds(13, 18), 5, [(8, 12)]),  # the gap may reach to its begin
        (seconds(14, 18), 4, []),
        (seconds(2, 7), 5, []),
    ],
)
def test_a_gap_at_the_edge_of_the_time_is_found(
    engine: Engine, span: Span, parts_there: int, gaps: list[tuple[int, int]]
) -> None:
    Fed(engine).give([part(number) for number in range(1, 21) if not 8 <= number <= 12])
    (station,) = found(engine, span)
    assert (station.parts, station.gaps, station.restarts) == (parts_there, gaps, 0)


def test_a_station_without_parts_in_the_time_is_left_out_unless_it_has_a_gap_there(engine: Engine) -> None:
    Fed(engine).give([part(1), part(2), part(3, NOON + timedelta(hours=2))])
    assert found(engine, seconds(60, 120)) == []
    assert [station.parts for station in found(engine, seconds(None, 0))] == [0]


@pytest.mark.parametrize(
    ("span", "is_short"),
    [
        (seconds(None, 3600), True),  # the newest part is of second 20, and the station was heard an hour later
        (seconds(1800, None), True),
        (seconds(1800, 2400), True),
        (seconds(None, 10), False),
        (seconds(3700, None), False),
    ],
)
def test_announced_parts_are_missing_in_the_time_in_which_they_may_have_been_decided(
    engine: Engine, span: Span, is_short: bool
) -> None:
    fed = Fed(engine)
    fed.give(parts(20))
    announced = health().model_copy(update={"sequence": 25, "at": NOON + timedelta(hours=1)})
    fed.stations[STATION].announce(ArchivedStatus.model_validate_json(announced.to_json()), retained=False)
    fed.give(parts(1, first=20))
    assert [gap for station in found(engine, span) for gap in station.gaps] == ([(21, 25)] if is_short else [])
