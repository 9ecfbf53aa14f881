from __future__ import annotations

import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mosquitto import PATIENCE_S, wait_until
from outbox_parts import both, message, one, sequences

from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.errors import OutboxError
from edge_inspect.edge.outbox import Outgoing, keeper
from edge_inspect.edge.outbox.fault import describe
from edge_inspect.edge.outbox.sqlite import SqliteOutbox

HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2].split(';'):
    connection.execute(statement).fetchone()
print("held", flush=True)
sys.stdin.readline()
"""


@contextmanager
def another_program(path: Path, statement: str) -> Iterator[int]:
    """Another process that has done something to the file and has it open; gives its number."""
    command = [sys.executable, "-c", HOLDER, str(path), statement]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        yield holder.pid
        holder.stdin.close()


def put_within(seconds: float, outbox: SqliteOutbox, count: int) -> None:
    """Put parts, or fail where that hangs."""
    thread = threading.Thread(target=lambda: [outbox.put("a", both) for _ in range(count)], daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "parts wait for another program"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def test_entries_sequences_and_counts_outlive_the_process(path: Path) -> None:
    with SqliteOutbox(path, max_bytes=200) as outbox:
        for _ in range(3):
            outbox.put("a", one())
    with SqliteOutbox(path, max_bytes=200) as outbox:
        assert (sequences(outbox), outbox.dropped()["verdict"]) == ([2, 3], 1)
        outbox.remove([entry.id for entry in outbox.pending("a", 0, 9)])
    with SqliteOutbox(path) as outbox:
        assert outbox.depth() == (0, 0)
        assert outbox.put("a", one()) == 4


@pytest.mark.parametrize("damage", ["no database", "header", "middle", "cut off", "tables"])
def test_a_damaged_file_is_set_aside(path: Path, damage: str) -> None:
    with SqliteOutbox(path) as outbox:
        for _ in range(200):
            outbox.put("a", both)
    data = bytearray(path.read_bytes())
    if damage == "no database":
        data = bytearray(os.urandom(8192))
    elif damage == "header":
        data[:64] = bytes(64)
    elif damage == "middle":
        data[len(data) // 2 : len(data) // 2 + 8192] = os.urandom(8192)
    elif damage == "cut off":
        del data[len(data) // 2 :]
    path.write_bytes(data)
    if damage == "tables":
        connection = sqlite3.connect(path)
        connection.execute("DROP TABLE entries")
        connection.close()
    with SqliteOutbox(path) as outbox:
        aside = outbox.recovered_from
        assert aside is not None and aside.name.startswith("outbox.db.corrupt-") and aside.exists()
        # What could be read is in order; the number goes on wherever it could be read.
        found = sequences(outbox)
        assert found == sorted(found)
        assert outbox.put("a", both) >= max([0, *found]) + 1
        if damage == "tables":
            assert sequences(outbox) == [201, 201]
    with SqliteOutbox(path) as outbox:
        assert outbox.recovered_from is None


@given(position=st.floats(0, 1), junk=st.binary(min_size=1, max_size=5000))
@settings(max_examples=25, deadline=None)
def test_no_damage_keeps_the_service_from_starting(
    tmp_path_factory: pytest.TempPathFactory, position: float, junk: bytes
) -> None:
    path = tmp_path_factory.mktemp("damage") / "outbox.db"
    with SqliteOutbox(path) as outbox:
        for _ in range(40):
            outbox.put("a", both)
    # The first 100 bytes say whose file it is: one of another program is refused, not set aside.
    data = bytearray(path.read_bytes())
    start = 100 + int(position * (len(data) - 100))
    data[start : start + len(junk)] = junk
    path.write_bytes(data)
    with SqliteOutbox(path) as outbox:
        assert outbox.put("a", one()) >= 1
        depth = outbox.depth()
        assert len(outbox.pending("a", 0, 1000)) <= depth.entries
    with SqliteOutbox(path) as outbox:
        assert outbox.put("a", one()) >= 1


def test_the_file_of_another_program_is_left_alone(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(OutboxError, match="another program"):
        SqliteOutbox(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EROFS, "Read-only file system; the file system is read-only; see the kernel's log"),
        (errno.ENOSPC, "No space left on device; make room on the disk"),
        (errno.EACCES, "Permission denied; let this user write to "),
    ],
)
def test_a_lock_that_cannot_be_made_comes_with_its_own_remedy(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(OutboxError) as caught:
        SqliteOutbox(path)
    monkeypatch.undo()
    assert said in str(caught.value)


def test_a_link_to_a_folder_that_is_not_there_names_that(path: Path) -> None:
    path.symlink_to("/nowhere/outbox.db")
    with pytest.raises(OutboxError, match="the folder /nowhere exists and is mounted"):
        SqliteOutbox(path)


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutboxError, match=r"there is no folder .*/missing; make it"):
        SqliteOutbox(tmp_path / "missing" / "outbox.db")


def test_a_path_that_cannot_be_opened_is_named(path: Path) -> None:
    path.mkdir()
    with pytest.raises(OutboxError, match=rf"outbox {path}: .*: this is a folder; set outbox.path to a file"):
        SqliteOutbox(path)


def test_a_second_process_is_refused(path: Path) -> None:
    code = "from pathlib import Path; from edge_inspect.edge.outbox.sqlite import SqliteOutbox; "
    code += f"SqliteOutbox(Path({str(path)!r}))"
    with SqliteOutbox(path):
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        assert f"process {os.getpid()} uses it" in second.stderr
        with pytest.raises(OutboxError, match="uses it; stop that process"):
            SqliteOutbox(path)
    SqliteOutbox(path).close()


def test_with_full_durability_nothing_is_given_out_before_it_is_on_the_disk(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed, go_on = threading.Event(), threading.Event()

    def slow_disk(file: int) -> None:
        assert os.readlink(f"/proc/self/fd/{file}") == f"{path}-wal"
        go_on.wait(PATIENCE_S)
        flushed.set()

    with SqliteOutbox(path, durability="full") as outbox:
        outbox.flush()
        monkeypatch.setattr(os, "fdatasync", slow_disk)
        woken = threading.Event()
        outbox.subscribe("a", woken.set)
        # Puts do not wait for the disk, and one flush is for all of them.
        assert [outbox.put("a", one()) for _ in range(50)][-1] == 50
        assert outbox.pending("a", 0, 99) == [] and not woken.is_set()
        assert outbox.depth().entries == 50
        go_on.set()
        assert flushed.wait(PATIENCE_S) and woken.wait(PATIENCE_S)
        wait_until(lambda: sequences(outbox) == list(range(1, 51)))


def test_a_disk_that_cannot_be_flushed_is_told_and_delivery_goes_on(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken_disk(file: int) -> None:
        raise OSError(5, "Input/output error")

    with SqliteOutbox(path, durability="full") as outbox:
        outbox.flush()
        monkeypatch.setattr(os, "fdatasync", broken_disk)
        outbox.put("a", one())
        wait_until(lambda: sequences(outbox) == [1])
        assert "Input/output error" in str(outbox.problem)
        assert "Input/output error" in caplog.text


def test_the_log_is_moved_into_the_database_beside_the_puts(path: Path) -> None:
    with SqliteOutbox(path) as outbox:
        for _ in range(3000):
            outbox.put("a", both)
            outbox.remove([entry.id for entry in outbox.pending("a", 0, 2)])
        wait_until(lambda: path.stat().st_size > 10**5)
        # 6000 transactions of some 20 KiB; the log begins anew all the while.
        assert path.with_name(f"{path.name}-wal").stat().st_size < 40 * 2**20
        assert outbox.put("a", one()) == 3001


def test_a_program_that_reads_without_end_is_named_before_the_log_fills_the_disk(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "LONGEST_LOG_PAGES", 100)
    with SqliteOutbox(path) as outbox:
        put_within(30, outbox, 1)
        with another_program(path, "BEGIN; SELECT * FROM entries") as process:
            put_within(60, outbox, 1000)
            wait_until(lambda: f"(process {process}) keeps the file open for reading" in caplog.text, 30)
        assert outbox.problem is None


WRITER = """
import json, sys
from pathlib import Path
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.outbox import Outgoing
from edge_inspect.edge.outbox import keeper
from edge_inspect.edge.outbox.fault import describe
from edge_inspect.edge.outbox.sqlite import SqliteOutbox
def both(sequence):
    text = json.dumps({"sequence": sequence, "more": "x" * 500}).encode()
    return [Outgoing("v", text, "verdict"), Outgoing("d", text, "defect")]
outbox = SqliteOutbox(Path(sys.argv[1]))
while True:
    sys.stdout.write(f"{outbox.put('a', both)}\\n")
    sys.stdout.flush()
"""


def test_kill_9_loses_nothing_that_put_returned_for(path: Path) -> None:
    expected = 0
    for round_ in range(3):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            first = int(writer.stdout.readline())
            time.sleep(0.05 + 0.03 * round_)
            writer.send_signal(signal.SIGKILL)
            lines = [line for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        assert first == expected + 1
        acknowledged = int(lines[-1]) if lines else first
        with SqliteOutbox(path) as outbox:
            assert outbox.recovered_from is None
            entries = outbox.pending("a", 0, 1_000_000)
        numbers = [entry.sequence for entry in entries]
        # The last put may be in the file without having been reported; each is there with both its messages.
        expected = numbers[-1]
        assert expected in (acknowledged, acknowledged + 1)
        assert numbers == [number for number in range(1, expected + 1) for _ in range(2)]
        assert all(json.loads(entry.payload)["sequence"] == entry.sequence for entry in entries)


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
@pytest.mark.parametrize("durability", ["normal", "full"])
def test_parts_do_not_wait_for_another_program(
    path: Path, caplog: pytest.LogCaptureFixture, statement: str, durability: Any
) -> None:
    with SqliteOutbox(path, durability=durability) as outbox:
        put_within(30, outbox, 3)
        with another_program(path, statement) as process:
            put_within(30, outbox, 500)  # a fifth of a second each would be 100 s
            assert f"(process {process}), has locked the file; end its transaction" in str(outbox.problem)
            outbox.remove([entry.id for entry in outbox.pending("a", 0, 4)])
            outbox.retry()
            assert outbox.problem is not None
        assert [record.message for record in caplog.records if "database is locked" in record.message]
        assert len(caplog.records) == 1
        wait_until(lambda: outbox.retry() or outbox.problem is None)
        assert "can be written again" in caplog.text
        put_within(30, outbox, 1)
        expected = [number for number in range(3, 505) for _ in range(2)]
        wait_until(lambda: sequences(outbox) == expected)
    with SqliteOutbox(path) as outbox:
        assert sequences(outbox) == expected
        assert outbox.history_range("a") == (1, 2)


def test_a_service_that_ends_while_another_program_lets_go_loses_nothing(path: Path) -> None:
    outbox = SqliteOutbox(path)
    with another_program(path, "BEGIN IMMEDIATE"):
        put_within(30, outbox, 5)
    outbox.close()
    with SqliteOutbox(path) as outbox:
        assert sequences(outbox) == [number for number in range(1, 6) for _ in range(2)]


def test_what_is_in_memory_is_never_sent_before_what_is_in_the_file(path: Path) -> None:
    with SqliteOutbox(path) as outbox:
        put_within(30, outbox, 3)
        with another_program(path, "ALTER TABLE entries RENAME TO hidden"):
            put_within(30, outbox, 3)
            assert sequences(outbox) == []
            assert "another program has changed its tables; the file is damaged" in str(outbox.problem)
        with another_program(path, "ALTER TABLE hidden RENAME TO entries"):
            wait_until(lambda: outbox.retry() or outbox.problem is None)
        assert sequences(outbox) == [number for number in range(1, 7) for _ in range(2)]


@pytest.mark.parametrize(
    ("problem", "remedy"),
    [
        (sqlite3.OperationalError("database or disk is full"), "make room on the disk"),
        (OSError(errno.ENOSPC, "No space left on device"), "make room on the disk"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "let the service's user write to the file"),
        (OSError(errno.EROFS, "Read-only file system"), "the file system is read-only"),
        (sqlite3.OperationalError("disk I/O error"), "the disk fails"),
        (sqlite3.DatabaseError("database disk image is malformed"), "restart the service"),
        (sqlite3.OperationalError("unable to open database file"), "exists and is mounted"),
        (sqlite3.OperationalError("database is locked"), "another program has locked the file (`fuser -v"),
        (sqlite3.OperationalError("something new"), "check that the disk works and has free space"),
    ],
)
def test_each_fault_has_its_own_remedy(path: Path, problem: Exception, remedy: str) -> None:
    assert remedy in describe(path, problem)


@pytest.mark.parametrize(
    "newest", ["{}", "null", '{"id": 7}', '{"id": "no id"}', '{"id": "ffffffff-ffff-7fff-bfff-ffffffffffff"}', "{"]
)
def test_no_payload_in_the_file_turns_the_ids_round(path: Path, newest: str) -> None:
    with SqliteOutbox(path) as outbox:
        outbox.put("a", lambda sequence: [message(payload=newest.encode())])
    before = uuid7()
    with SqliteOutbox(path):
        assert before < uuid7() < "0fffffff"


def test_a_full_disk_keeps_the_service_up(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def large(sequence: int) -> list[Outgoing]:
        return [message(payload=b"{" + b" " * 20_000 + b"}")]

    with SqliteOutbox(path) as outbox:
        outbox.put("a", large)
        # SQLite's own way to have no room: the same error as from a full disk.
        pages = outbox.database.execute("PRAGMA page_count").fetchone()[0]
        outbox.database.execute(f"PRAGMA max_page_count = {pages + 2}")
        assert [outbox.put("a", large) for _ in range(4)] == [2, 3, 4, 5]
        assert sequences(outbox) == [1, 2, 3, 4, 5]
        assert outbox.depth().entries == 5
        assert str(outbox.problem).endswith("kept in memory: database or disk is full: make room on the disk")
        assert [record.message for record in caplog.records if "database or disk is full" in record.message]
        assert len(caplog.records) == 1
        ids = [entry.id for entry in outbox.pending("a", 0, 3)]
        outbox.remove(ids)
        assert sequences(outbox) == [4, 5]
        outbox.database.execute("PRAGMA max_page_count = 100000")
        time.sleep(1.05)
        assert outbox.put("a", large) == 6
        assert "can be written again" in caplog.text
        assert outbox.problem is None
    with SqliteOutbox(path) as outbox:
        assert sequences(outbox) == [4, 5, 6]
        assert outbox.put("a", one()) == 7


@pytest.mark.parametrize("how", ["deleted", "replaced", "moved"])
def test_a_file_that_is_taken_away_is_said(path: Path, caplog: pytest.LogCaptureFixture, how: str) -> None:
    with SqliteOutbox(path) as outbox:
        outbox.put("a", one())
        outbox.retry()
        assert outbox.problem is None
        there = path.rename(path.with_name("moved.db"))
        if how == "deleted":
            there.unlink()
        elif how == "replaced":
            path.write_bytes(there.read_bytes())
        outbox.retry()
        outbox.retry()
        assert "was deleted or replaced while the service uses it" in str(outbox.problem)
        assert caplog.text.count("Restart the service when no message waits") == 1
        # It delivers all the same.
        outbox.put("a", one())
        assert sequences(outbox) == [1, 2]
        if how == "moved":
            there.rename(path)
            outbox.retry()
            assert outbox.problem is None


def test_what_is_rescued_of_a_damaged_file_keeps_its_age(path: Path) -> None:
    """Its clock goes on where the damaged outbox's was; the box may have been off, or started anew, in between."""
    for clock_of_next in (1e6, 5.0):
        clock = [1000.0]
        path.unlink(missing_ok=True)
        with SqliteOutbox(path, max_age_s=3600, clock=lambda clock=clock: clock[0]) as outbox:
            for _ in range(200):
                outbox.put("a", both)
        data = bytearray(path.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 8192] = os.urandom(8192)
        path.write_bytes(data)
        clock = [clock_of_next]
        with SqliteOutbox(path, max_age_s=3600, clock=lambda clock=clock: clock[0]) as outbox:
            assert outbox.recovered_from is not None
            rescued = outbox.depth().entries
            clock[0] += 3000
            outbox.put("a", both)
            assert outbox.depth().entries == rescued + 2 > 2 and sum(outbox.dropped().values()) == 0
            clock[0] += 1200
            outbox.put("a", both)
            assert outbox.depth().entries == 4
