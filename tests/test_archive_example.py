"""docs/examples/archive.py: its check with --since, and messages that no station sends."""

from __future__ import annotations

import json
import runpy
import sqlite3
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from broker_files import EXAMPLES

ARCHIVE = runpy.run_path(str(EXAMPLES / "archive.py"))
TOPIC = "edge-inspect/v1/p/l/s"


def record(path: Path, messages: Iterable[tuple[str, bytes]]) -> None:
    database = sqlite3.connect(path)
    database.executescript(ARCHIVE["SCHEMA"])
    recorder = ARCHIVE["Recorder"](database, mqtt.Client(mqtt.CallbackAPIVersion.VERSION2))
    for kind, payload in messages:
        message = mqtt.MQTTMessage(topic=f"{TOPIC}/{kind}".encode())
        message.payload = payload
        recorder.store(message)
    database.commit()
    database.close()


def verdict(sequence: Any) -> tuple[str, bytes]:
    part = {"id": f"id{sequence}", "sequence": sequence, "decided_at": f"2026-11-0{sequence}", "ok": True, "score": 1.0}
    return "verdict", json.dumps(part).encode()


def check(path: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    monkeypatch.setattr(sys, "argv", ["archive.py", "check", str(path), *options])
    result: int = ARCHIVE["main"]()
    return result


@pytest.mark.parametrize("since", ["2026-11-02", "2026-11-03T08:00", "2026-12-01"])
def test_a_station_that_stands_still_misses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], since: str
) -> None:
    record(tmp_path / "a.db", [verdict(1), verdict(2), verdict(3), ("health", b'{"sequence": 3}')])
    assert check(tmp_path / "a.db", monkeypatch, "--since", since) == 0
    record(tmp_path / "a.db", [("health", b'{"sequence": 5}')])
    assert check(tmp_path / "a.db", monkeypatch, "--since", since) == 1
    assert "missing #4 to #5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        verdict(1 << 70),
        verdict("seven"),
        verdict(1.5),
        ("verdict", b'{"id": ["a"], "sequence": 1, "decided_at": "x", "ok": true, "score": 1}'),
        ("health", b'{"sequence": 100000000000000000000}'),
        ("health", b'{"sequence": "x"}'),
        ("status", b"[" * 200_000),
        ("defect", b"\xff"),
    ],
)
def test_a_message_that_no_station_sends_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str, payload: bytes
) -> None:
    """If it ended the archive, the broker would send it again after each start."""
    record(tmp_path / "a.db", [verdict(1), (kind, payload), verdict(2), ("health", b'{"sequence": 2}')])
    assert "not stored" in capsys.readouterr().err
    assert check(tmp_path / "a.db", monkeypatch) == 0


@pytest.mark.parametrize(
    ("command", "file", "options", "said"),
    [
        ("check", "text", (), "text: file is not a database"),
        ("record", "text", ("localhost",), "text: file is not a database"),
        ("record", "new.db", ("localhost", "--user", "a", "--password-file", "none"), "none: No such file"),
    ],
)
def test_a_file_that_cannot_be_used_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, file: str, options: tuple[str, ...], said: str
) -> None:
    (tmp_path / "text").write_text("no database " * 1000)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["archive.py", command, file, *options])
    with pytest.raises(SystemExit, match=said):
        ARCHIVE["main"]()
