"""The history keeps each part once, in bounds, over restarts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from opcua_parts import KEY, part

from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.opcua.part_history import PartHistory
from edge_inspect.edge.opcua.settings import HistorySettings


@pytest.fixture
def history(tmp_path: Path) -> Iterator[PartHistory]:
    with closing(PartHistory(tmp_path / "history.db", HistorySettings(parts=10, days=1))) as opened:
        yield opened


def test_a_part_is_new_once(history: PartHistory) -> None:
    parts = [part(number) for number in range(1, 4)]
    assert history.add(KEY, parts[:2]) == parts[:2]
    assert history.add(KEY, parts) == parts[2:]
    assert history.add("plant/line1/b", parts) == parts


def test_regions_that_come_late_are_added(history: PartHistory) -> None:
    whole = part(1, ok=False, areas=(100, 200))
    verdict = whole.model_copy(update={"regions": None, "region_count": None})
    assert history.add(KEY, [verdict]) == [verdict] and history.add(KEY, [whole]) == []
    assert history.part(KEY, whole.id) == whole
    assert history.add(KEY, [verdict]) == [] and history.part(KEY, whole.id) == whole


def test_the_bounds_hold(history: PartHistory) -> None:
    now = utc_now()
    old = part(1, at=now - timedelta(days=2))
    assert history.add(KEY, [old]) == []
    parts = [part(number, at=now + timedelta(milliseconds=number)) for number in range(2, 30)]
    assert history.add(KEY, parts[:5]) == parts[:5]
    assert history.add(KEY, parts) == parts[5:]
    assert history.read(KEY, None, None, 100).parts == parts[-10:]


def test_parts_are_read_by_time_in_both_directions_and_in_pages(history: PartHistory) -> None:
    now = utc_now()
    parts = [part(number, at=now + timedelta(seconds=number)) for number in range(1, 6)]
    history.add(KEY, reversed(parts))
    page = history.read(KEY, None, None, 2)
    assert page.parts == parts[:2] and page.next_at == parts[2].decided_at
    assert history.read(KEY, page.next_at, None, 9) == (parts[2:], None)
    assert history.read(KEY, parts[1].decided_at, parts[3].decided_at, 9).parts == parts[1:4]
    back = history.read(KEY, None, parts[3].decided_at, 2, backwards=True)
    assert back.parts == [parts[3], parts[2]] and back.next_at == parts[1].decided_at
    assert history.newest(KEY) == parts[4]


def test_parts_are_there_after_a_restart_and_keep_everything(tmp_path: Path) -> None:
    bounds = HistorySettings(parts=3)
    whole = part(7, ok=False, areas=(120, 30), recipe="cap", part_id="SN-1")
    with closing(PartHistory(tmp_path / "h.db", bounds)) as first:
        first.add(KEY, [whole, part(8), part(9)])
    with closing(PartHistory(tmp_path / "h.db", bounds)) as again:
        assert again.part(KEY, whole.id) == whole and again.add(KEY, [whole]) == []
        again.add(KEY, [part(10)])
        assert again.part(KEY, whole.id) is None
        assert [each.sequence for each in again.read(KEY, None, None, 9).parts] == [8, 9, 10]
        assert again.newest("plant/line1/b") is None


def test_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "h.db").write_bytes(b"not a database" * 100)
    with closing(PartHistory(tmp_path / "h.db", HistorySettings())) as opened:
        assert opened.add(KEY, [part(1)]) != []
