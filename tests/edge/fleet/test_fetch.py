"""`edge-inspect fleet fetch`, with a real broker, a real service of two stations, and stations that answer garbage."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet_parts import write_bundles, write_service
from mosquitto import Broker, Subscriber, wait_until
from page_parts import Publisher, Station
from replier import Replier
from service_process import PATIENCE, Process

from edge_inspect.edge.cli import main
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.reports import EvidencePage, EvidenceRow, LogLine, LogPage

Fetch = Callable[..., tuple[int, str]]


@pytest.fixture
def publisher(broker: Broker) -> Iterator[Publisher]:
    made = Publisher(broker.port)
    yield made
    made.close()


@pytest.fixture
def fetch(broker: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Fetch:
    """Run the command; return its exit status and what it says."""

    def run(*options: str, out: str = "out", to: str = "plant/*/*") -> tuple[int, str]:
        where = ["--host", "127.0.0.1", "--port", str(broker.port), "--out", str(tmp_path / out)]
        ended = main(["fleet", "fetch", "--to", to, *where, *options])
        printed, said = capsys.readouterr()
        assert not printed and "Traceback" not in said
        return ended, said

    return run


def lines(first: int, count: int, **more: Any) -> dict[str, Any]:
    """A page of a log."""
    found = tuple(LogLine(number=first + i, at=utc_now(), text=f"INFO x: {first + i}") for i in range(count))
    return {"log": LogPage(**{"lines": found, "skipped": 0, "next": f"c/{first + count - 1}", **more})}


def test_two_stations_of_a_real_service(broker: Broker, tmp_path: Path, fetch: Fetch) -> None:
    write_bundles(tmp_path)
    config = write_service(
        tmp_path / "service",
        tmp_path,
        broker.port,
        ["s1", "s2"],
        fps=5,
        commands={"allow": ["report"]},
        evidence={"folder": str(tmp_path / "evidence"), "borderline": 1.0},
    )
    variables = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")}
    command = [sys.executable, "-m", "edge_inspect.edge.cli", "run", "--config", str(config)]
    subscriber = Subscriber(broker.port, "edge-inspect/#")
    with Process(command, tmp_path / "service.log", cwd=tmp_path, env=variables) as service:

        def stored() -> bool:
            heard = [message for message in list(subscriber.messages) if message.topic.endswith("/health")]
            found = {message.topic: json.loads(message.payload)["evidence"] for message in heard}
            return len(found) == 2 and all(each and each["saved"] >= 3 for each in found.values())

        wait_until(lambda: service.poll() is not None or stored(), PATIENCE, "evidence of two stations")
        (tmp_path / "out" / "plant" / "line1" / "s1").mkdir(parents=True)
        (tmp_path / "out" / "plant" / "line1" / "s1" / "log.txt").write_text("of an earlier fetch")
        ended, said = fetch("--what", "evidence", "log")
        assert ended == 0, said
        assert service.end() == 0
    subscriber.close()
    assert "plant/line1/s1: log.txt (" in said and "plant/line1/s2: log.txt (" in said and "[2/2]" in said
    for name in ("s1", "s2"):
        got = tmp_path / "out" / "plant" / "line1" / name
        log = (got / "log.txt").read_text()
        assert "2 station(s) online" in log and "of an earlier fetch" not in log and f"{name}: " in log
        with (got / "evidence.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) >= 3 and [row["time"] for row in rows] == sorted(row["time"] for row in rows)
        for row in rows:
            files = row["files"].split()
            assert len(files) == 3 and all((tmp_path / "evidence" / each).is_file() for each in files)
            assert all(each.split("/")[1] == name and row["id"] in each for each in files)


def test_pages_are_joined_and_gaps_are_marked(
    broker: Broker, publisher: Publisher, tmp_path: Path, fetch: Fetch
) -> None:
    station = Station(publisher, "plant/line1/a")
    station.begin()
    busy = iter([True, False])
    row = EvidenceRow(id=uuid7(), at=utc_now(), ok=True, score=0.5, files=())

    def answer(command: dict[str, Any]) -> dict[str, Any]:
        if command["what"] == "evidence":
            if next(busy):
                return {"done": False, "refusal": "busy", "reason": "later"}
            return {"evidence": EvidencePage(parts=(row,), next=None)}
        pages: dict[str | None, dict[str, Any]] = {
            None: lines(11, 200, skipped=10),
            "c/210": lines(251, 100, skipped=40),
            "c/350": lines(1, 5, skipped=None, next=None),
        }
        return pages[command["after"]]

    with Replier(broker.port, station, answer) as replier:
        ended, said = fetch()
        assert ended == 0 and "log.txt (308 lines); evidence.csv (1 parts)" in said
        text = (tmp_path / "out" / "plant" / "line1" / "a" / "log.txt").read_text().splitlines()
        assert text[0] == "--- 10 lines are not kept ---" and text[201] == "--- 40 lines are not kept ---"
        assert text[302] == "--- the service was started again ---" and len(text) == 308
        assert {command["by"] for command in replier.heard} == {"edge-inspect fleet"}
        ended, said = fetch("--what", "log", "--most", "150")
        assert ended == 0 and "log.txt (150 lines; there are more, see --most)" in said


def test_whatever_a_station_answers_the_others_are_fetched(
    broker: Broker, publisher: Publisher, tmp_path: Path, fetch: Fetch
) -> None:
    """Garbage, an old release, a refusal, pages without end, a station that is silent, and one that is offline."""
    names = ("garbage", "old", "strict", "endless", "silent", "gone", "good", "bare")
    stations = {name: Station(publisher, f"plant/{'..' if name == 'good' else 'line1'}/{name}") for name in names}
    for name, station in stations.items():
        station.begin("offline" if name == "gone" else "online")
    told = {
        "old": {"done": False, "command": None, "refusal": "malformed", "reason": "command: there is no such"},
        "strict": {"done": False, "refusal": "unauthorised", "reason": "commands.allow lists none"},
        "endless": lines(1, 1, next="c/1"),
        "good": lines(1, 3, next=None),
        "bare": {"done": False, "refusal": "impossible", "reason": "no evidence; set evidence.folder"},
    }

    def garbage(command: dict[str, Any]) -> dict[str, Any]:
        reply = stations["garbage"].topics.reply
        publisher.send(reply, b"\xff\x00 no JSON")
        publisher.send(reply, b"[" * 300_000)
        row = {"id": "../../x", "at": "now", "ok": 1, "score": 0, "files": ["../../../etc/passwd"]}
        page = {"parts": [row], "next": None}
        publisher.send(reply, json.dumps({"command_id": command["id"], "done": True, "evidence": page}).encode())
        return {"command_id": uuid7()}

    def answer(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
        return lambda command: lines(1, 2, next=None) if name == "bare" and command["what"] == "log" else told[name]

    repliers = [Replier(broker.port, stations[name], answer(name)) for name in told]
    repliers.append(Replier(broker.port, stations["garbage"], garbage))
    try:
        ended, said = fetch("--reply-seconds", "2")
    finally:
        for replier in repliers:
            replier.__exit__()
    assert ended == 1 and "8 of 8 stations did not send everything" in said
    about = {name: next(line for line in said.splitlines() if f"/{name}: " in line) for name in names}
    assert "log.txt: no readable reply within 2 s; the last one: " in about["garbage"]
    assert "release 0 does not know the command report; update edge-inspect" in about["old"]
    assert "refused: unauthorised: commands.allow lists none" in about["strict"]
    assert "log.txt: its pages do not come to an end" in about["endless"]
    assert "no reply within 2 s; check that the broker" in about["silent"]
    assert "the station is offline" in about["gone"]
    assert "log.txt (3 lines); evidence.csv: its reply has no such page" in about["good"]
    assert "log.txt (2 lines); evidence.csv: refused: no evidence; set evidence.folder" in about["bare"]
    written = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    assert written == ["plant/%2E%2E/good/log.txt", "plant/line1/bare/log.txt"]


def test_a_file_that_cannot_be_written_is_named(
    broker: Broker, publisher: Publisher, tmp_path: Path, fetch: Fetch
) -> None:
    station = Station(publisher, "plant/line1/a")
    station.begin()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "plant").write_text("a file")
    with Replier(broker.port, station, lambda command: lines(1, 3, next=None)):
        ended, said = fetch("--what", "log")
    assert ended == 1 and "log.txt: cannot be written: " in said and "--to plant/line1/a" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "x"], "--to is missing"),
        (["--to", "a/b", "--out", "x"], "write SITE/LINE/STATION"),
        (["--to", "a/b/c", "--out", "x", "--most", "0"], "--most 0: give 1"),
        (["--to", "a/b/c", "--out", "x", "--reply-seconds", "nan"], "--reply-seconds nan"),
        (["--to", "a/b/c", "--out", __file__], "cannot be created"),
    ],
)
def test_wrong_use_is_said_in_a_line(capsys: pytest.CaptureFixture[str], options: list[str], said: str) -> None:
    assert main(["fleet", "fetch", *options]) == 2
    out, error = capsys.readouterr()
    assert said in error and "Traceback" not in error and not out
