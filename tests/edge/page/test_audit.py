"""The audit log: nothing is lost, nothing can be forged, and a disk that fails is an error."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_inspect.edge.errors import AuditError
from edge_inspect.edge.page.audit import AuditLog, caller_address


def test_an_entry_says_who_what_when_and_from_where(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "data" / "audit.jsonl")
    token = caller_address.set("192.0.2.1")
    try:
        log.write("anna", "command", station="plant/line1/station1", command={"command": "pause"}, at_once=True)
    finally:
        caller_address.reset(token)
    log.write("otto", "logout")
    log.close()
    log.close()
    file = tmp_path / "data" / "audit.jsonl"
    assert file.stat().st_mode & 0o777 == 0o600
    first, second = map(json.loads, file.read_text().splitlines())
    assert first.pop("at").endswith("Z") and second.pop("at") >= "20"
    assert first == {
        "person": "anna",
        "action": "command",
        "address": "192.0.2.1",
        "station": "plant/line1/station1",
        "command": {"command": "pause"},
        "at_once": True,
    }
    assert second == {"person": "otto", "action": "logout"}


TEXTS = st.text(max_size=40) | st.sampled_from(
    ["\n", "\r\n{}", '"}\n{"person": "x"}', "\x00", "\x9b31m", "\u2028", "\u202e"]
)
DETAILS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.just(Path("x")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(TEXTS, TEXTS, DETAILS)
def test_nothing_that_is_written_makes_a_second_entry_or_a_control_character(
    tmp_path: Path, person: str, action: str, details: Any
) -> None:
    file = tmp_path / "audit.jsonl"
    file.unlink(missing_ok=True)
    log = AuditLog(file)
    log.write(person, action, details=details)
    text = file.read_text(encoding="utf-8")
    log.close()
    assert text.endswith("\n") and text[:-1].isprintable()
    assert list(json.loads(text)) == ["at", "person", "action", "details"]


def test_newest_entries_come_first_over_all_files_and_no_line_is_lost(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl", largest=1000)
    for i in range(100):
        log.write("anna", "label", number=i)
    assert len(log.old_files()) > 5
    assert [entry["number"] for entry in log.newest(1000)] == list(reversed(range(100)))
    assert [entry["number"] for entry in log.newest(3)] == [99, 98, 97]
    assert log.newest(0) == []
    again = AuditLog(tmp_path / "audit.jsonl", largest=1000)
    again.write("anna", "label", number=100)
    assert [entry["number"] for entry in again.newest(1000)] == list(reversed(range(101)))


def test_lines_longer_than_a_block_are_read(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    for i in range(5):
        log.write("anna", "teach", number=i, lines=["x" * 1900] * 60)
    assert [entry["number"] for entry in log.newest()] == [4, 3, 2, 1, 0]


def test_threads_write_whole_lines(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl", largest=3000)

    def write(name: str) -> None:
        for i in range(40):
            log.write(name, "label", number=i)

    threads = [threading.Thread(target=write, args=(f"user{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = log.newest(1000)
    assert len({(entry["person"], entry["number"]) for entry in entries}) == 160


@pytest.mark.parametrize("rest", [b'{"at": "2026', b"\x00\x00\x00", b"\xff\xfe", b"[1]\n", b"[" * 20000])
def test_half_a_line_from_a_power_cut_costs_no_other_entry(tmp_path: Path, rest: bytes) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    log.write("anna", "first")
    log.close()
    with (tmp_path / "audit.jsonl").open("ab") as file:
        file.write(rest)
    log = AuditLog(tmp_path / "audit.jsonl")
    log.write("anna", "second")
    assert [entry["action"] for entry in log.newest()] == ["second", "first"]


def test_a_disk_that_fails_is_an_error_and_leaves_no_half_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    log.write("anna", "first")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(AuditError, match="No space left on device; nothing is done that .* recorded: free space"):
        log.write("anna", "second")
    monkeypatch.undo()
    log.write("anna", "third")
    assert [entry["action"] for entry in log.newest()] == ["third", "first"]


@pytest.mark.parametrize("kind", ["folder", "link", "file in the way"])
def test_a_place_that_cannot_be_written_is_an_error_at_the_start(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "audit.jsonl"
    if kind == "folder":
        file.mkdir()
    elif kind == "link":
        file.symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / "data").write_text("")
        file = tmp_path / "data" / "audit.jsonl"
    with pytest.raises(AuditError, match="audit.jsonl"):
        AuditLog(file)
