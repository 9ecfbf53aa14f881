"""Months by id, and what is deleted when it is too old."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from archive_parts import STATION, Fed, opened, part, rows
from bridge_parts import defect
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from mosquitto import wait_until
from sqlalchemy import Engine

from edge_inspect.edge.archive.inbox import Inbox, Received
from edge_inspect.edge.archive.months import Month, delete_before, months_of, partitions
from edge_inspect.edge.archive.recorder import Recorder
from edge_inspect.edge.contract.ids import format_uuid7


@hypothesis_settings(deadline=None)
@given(st.datetimes(datetime(2020, 1, 1), datetime(2099, 12, 31)), st.integers(0, 2**74 - 1))
def test_an_id_lies_between_the_first_ids_of_its_month_and_the_next(moment: datetime, random: int) -> None:
    moment = moment.replace(tzinfo=timezone.utc)
    identity = format_uuid7(int(moment.timestamp() * 1000), random)
    month = Month.of(moment)
    assert months_of([identity]) == {month}
    assert month.first_id <= identity < month.next.first_id


@pytest.mark.parametrize("milliseconds", [0, 1_577_836_799_999, 4_102_444_800_000, 2**48 - 1])
def test_ids_of_impossible_times_have_no_month(milliseconds: int) -> None:
    assert months_of([format_uuid7(milliseconds, 0)]) == set()


def rejected(moment: datetime, sequence: int) -> list[object]:
    made = part(sequence, moment, ok=False)
    return [made, defect(made, 7)]


def test_whole_months_are_deleted_and_counts_are_kept(engine: Engine) -> None:
    moments = [datetime(2026, month, 28, tzinfo=timezone.utc) for month in (1, 2, 3, 5)]
    Fed(engine).give([each for at, moment in enumerate(moments) for each in rejected(moment, at + 1)])
    assert list(filter(None, delete_before(engine, Month(2026, 3))))
    assert not any(delete_before(engine, Month(2026, 3)))
    for table in ("verdicts", "defects", "regions"):
        assert [row["id"][:8] for row in rows(engine, table)] == [part(n, moments[n - 1]).id[:8] for n in (3, 4)], table
    assert sum(row["parts"] for row in rows(engine, "counts")) == 4
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            assert partitions(connection) == [Month(2026, 3), Month(2026, 5)]


def test_a_part_of_an_impossible_time_is_never_too_old(engine: Engine) -> None:
    Fed(engine).give(rejected(datetime(1990, 1, 1, tzinfo=timezone.utc), 1))
    assert not any(delete_before(engine, Month(2026, 3)))
    assert len(rows(engine, "verdicts")) == 1


def test_messages_are_stored_between_the_pieces_of_a_long_deletion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite deletes rows, here one a piece."""
    monkeypatch.setattr("edge_inspect.edge.archive.months.ROWS_AT_ONCE", 1)
    engine, now = opened(f"sqlite:///{tmp_path}/archive.db", tmp_path), datetime.now(timezone.utc)
    Fed(engine).give([part(sequence, now - timedelta(days=200, seconds=-sequence)) for sequence in range(1, 61)])
    inbox = Inbox()
    inbox.put(Received(1, 1, STATION, "verdict", part(61, now).to_json(), False))
    recorder = Recorder(engine, "here", inbox, 90, None)
    wait_until(lambda: recorder.stored_at is not None, 60)
    assert len(rows(engine, "verdicts")) > 2
    recorder.close()
    engine.dispose()


def test_the_recorder_deletes_what_is_too_old(engine: Engine) -> None:
    now = datetime.now(timezone.utc)
    Fed(engine).give([*rejected(now - timedelta(days=200), 1), *rejected(now, 2)])
    inbox = Inbox()
    recorder = Recorder(engine, "here", inbox, 90, None)
    wait_until(lambda: len(rows(engine, "verdicts")) == 1, 60)
    # A station sends the old part again. It is acknowledged, and neither stored nor counted a second time.
    for message in (part(1, now - timedelta(days=200)), part(3, now)):
        inbox.put(Received(1, message.sequence, STATION, "verdict", message.to_json(), False))
    wait_until(lambda: len(rows(engine, "verdicts")) == 2, 60)
    acknowledged = (inbox.next_stored(), inbox.next_stored())
    assert [each.packet_id for each in acknowledged if each is not None] == [1, 3]
    recorder.close()
    assert [row["sequence"] for row in rows(engine, "verdicts")] == [2, 3]
    assert sum(row["parts"] for row in rows(engine, "counts")) == 3
