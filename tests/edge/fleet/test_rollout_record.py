"""The record: whatever a kill leaves of it, the roll-out goes on from the last whole line."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspect.edge.contract.messages import BundleReference
from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.fleet.rollout_record import Plan, RolloutRecord
from edge_inspect.edge.fleet.waves import plan_waves

STATIONS = ["p/l/a", "p/l/b", "p/l/c"]
PLAN = Plan(
    name="new.zip",
    digest="0" * 64,
    url=None,
    by="me",
    to=("p/*/*",),
    waves=plan_waves(STATIONS, 1, 0.5),
    watch_parts=50,
    watch_seconds=60,
    reply_seconds=10,
)
BEFORE = BundleReference(name="old", digest="1" * 64)


def write(path: Path) -> list[int]:
    """Write a record; return its size after each line."""
    record = RolloutRecord.create(path, PLAN)
    sizes = [path.stat().st_size]
    for station, state in [("p/l/a", "sent"), ("p/l/a", "watched"), ("p/l/b", "sent"), ("p/l/a", "good")]:
        record.set_station(station, state=state, before=BEFORE)
        sizes.append(path.stat().st_size)
    record.stop("p/l/b: it rejects 50 %")
    sizes.append(path.stat().st_size)
    record.close()
    return sizes


def test_what_was_recorded_is_there_again(tmp_path: Path) -> None:
    write(tmp_path / "r.jsonl")
    again = RolloutRecord(tmp_path / "r.jsonl")
    assert again.plan == PLAN and again.stopped == "p/l/b: it rejects 50 %" and not again.finished
    assert [again.stations[key].state for key in STATIONS] == ["good", "sent", "waiting"]
    assert again.stations["p/l/b"].before == BEFORE
    again.finish()
    again.close()
    assert RolloutRecord(tmp_path / "r.jsonl").finished


@settings(deadline=None)  # each line waits for the disk
@given(st.data())
def test_a_record_that_was_cut_off_loses_only_its_last_line(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.jsonl"
        sizes = write(path)
        cut = data.draw(st.integers(sizes[0], sizes[-1]))
        path.write_bytes(path.read_bytes()[:cut])
        record = RolloutRecord(path)
        whole = sum(size <= cut + 1 for size in sizes) - 1  # the last byte of a line is its end
        expected = ["waiting", "sent", "watched", "watched", "good", "good"][whole]
        assert record.stations["p/l/a"].state == expected
        assert (record.stopped is not None) == (whole == 5)
        record.set_station("p/l/c", state="sent")
        record.close()
        record = RolloutRecord(path)
        assert (record.stations["p/l/a"].state, record.stations["p/l/c"].state) == (expected, "sent")
        record.close()


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"kind": "station", "station": "p/l/a"}\n', b"[1]\n"])
def test_another_file_is_no_record(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "r.jsonl").write_bytes(content)
    with pytest.raises(UsageError, match="is no record of a roll-out"):
        RolloutRecord(tmp_path / "r.jsonl")


def test_two_commands_cannot_work_on_one_record(tmp_path: Path) -> None:
    record = RolloutRecord.create(tmp_path / "r.jsonl", PLAN)
    with pytest.raises(UsageError, match=r"process \d+ works on this roll-out"):
        RolloutRecord(tmp_path / "r.jsonl")
    with pytest.raises(UsageError, match="exists; go on with it by --resume"):
        RolloutRecord.create(tmp_path / "r.jsonl", PLAN)
    record.close()
    RolloutRecord(tmp_path / "r.jsonl").close()


def test_a_record_that_cannot_be_written_or_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be"):
        RolloutRecord.create(tmp_path / "none" / "r.jsonl", PLAN)
    with pytest.raises(UsageError, match="cannot be"):
        RolloutRecord(tmp_path / "none" / "r.jsonl")
    with pytest.raises(UsageError, match="cannot be read"):
        RolloutRecord(tmp_path / "missing.jsonl")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_a_full_disk_is_said(tmp_path: Path) -> None:
    record = RolloutRecord.create(tmp_path / "r.jsonl", PLAN)
    record.path = Path("/dev/full")
    for act in (lambda: record.set_station("p/l/a", state="sent"), lambda: record.stop("why"), record.finish):
        with pytest.raises(UsageError, match="/dev/full: cannot be written: No space left.*go on with --resume"):
            act()
    assert record.stations["p/l/a"].state == "waiting" and record.stopped is None and not record.finished
    record.close()


@pytest.mark.parametrize("digest", ["xyz", "0" * 63, "A" * 64])
def test_a_plan_that_was_damaged_by_hand_is_refused(tmp_path: Path, digest: str) -> None:
    line = PLAN.model_dump_json().replace(PLAN.digest, digest)
    (tmp_path / "r.jsonl").write_text(line + "\n")
    with pytest.raises(UsageError, match="is no record of a roll-out"):
        RolloutRecord(tmp_path / "r.jsonl")
