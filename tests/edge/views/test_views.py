"""The joiner with a real broker: restarts, kills, gaps, and who follows it as a station."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mosquitto import Broker, Subscriber, wait_until
from service_process import Commander, Process
from views_line import SeenLine, check
from views_parts import JOINT, settings

from edge_inspect.edge.bridge.settings import BridgeSettings
from edge_inspect.edge.bridge.station import BridgedStation, SavedStation
from edge_inspect.edge.contract.messages import Verdict
from edge_inspect.edge.contract.received_messages import KINDS, read_message
from edge_inspect.edge.views.settings import ViewsSettings

Start = Callable[[ViewsSettings], Process]
PATIENCE = 90.0
ALL_PARTS = "a verdict on every part"


def joint(subscriber: Subscriber) -> list[dict[str, Any]]:
    return [each for each in subscriber.payloads("verdict") if each["views"] is not None]


def wait_for(subscriber: Subscriber, line: SeenLine) -> None:
    parts = {sight.part for sight in line.sights.values()}
    wait_until(lambda: len({each["id"] for each in joint(subscriber)}) >= len(parts), PATIENCE, ALL_PARTS)


@pytest.mark.parametrize(
    ("views", "by_time", "rule", "votes", "deciding"),
    [
        (2, False, {}, 1, None),
        (4, True, {"reject": "votes", "votes": 2}, 2, None),
        (3, False, {"reject": "all", "views": ["v0", "v2"]}, 2, ["v0", "v2"]),
    ],
    ids=["two by part id", "four by position", "two of three decide"],
)
def test_one_verdict_a_part_whatever_restarts(
    broker: Broker,
    subscriber: Subscriber,
    start: Start,
    tmp_path: Path,
    views: int,
    by_time: bool,
    rule: dict[str, Any],
    votes: int,
    deciding: list[str] | None,
) -> None:
    matched = {"match": "position", "window_s": 0.01} if by_time else {}
    chosen = settings(broker.port, tmp_path, views, timeout_s=1.5, rule=rule, **matched)
    processes = [start(chosen)]
    line = SeenLine(broker.port, views, seed=13, stalls=0.03)

    def disturb(count: int) -> None:
        if count in (20 * views, 60 * views):
            processes[-1].end(signal.SIGKILL)
            processes.append(start(chosen))
        elif count == 35 * views:
            line.restart(0)
        elif count == 45 * views:
            broker.stop()
            broker.start()

    try:
        line.run(80, 20.0, 0.3, by_time=by_time, every=disturb)
        wait_for(subscriber, line)
        assert processes[-1].end() == 0
    finally:
        line.close()
    found = check(joint(subscriber), line, votes, deciding)
    assert found.mistakes == [] and found.parts >= 78 and found.late > 0, found
    assert any("was rejected: view v" in process.said() for process in processes)
    rejected = {each["id"] for each in joint(subscriber) if not each["ok"]}
    wait_until(lambda: rejected <= {each["id"] for each in subscriber.payloads("defect")}, PATIENCE, "their defects")


def test_verdicts_that_the_broker_dropped_are_sent_again(
    make_broker: Callable[..., Broker], subscribe: Callable[[int], Subscriber], start: Start, tmp_path: Path
) -> None:
    broker = make_broker(settings="allow_anonymous true\nmax_queued_messages 600")
    broker.start()
    subscriber, chosen = subscribe(broker.port), settings(broker.port, tmp_path, timeout_s=20.0)
    process, line = start(chosen), SeenLine(broker.port, 2, seed=1, missed=0.0)
    try:
        line.run(5, 50.0, 0.0)
        wait_for(subscriber, line)
        process.end(signal.SIGKILL)
        line.run(500, 2000.0, 0.0)
        wait_until(lambda: all(not one.outbox.depth().entries for one in line.stations), PATIENCE, "all are published")
        start(chosen)
        line.run(5, 50.0, 0.0)
        # The subscriber of this test has the same small queue.
        wait_until(lambda: asked(line) and newest(subscriber) >= 510, PATIENCE, ALL_PARTS)
        Commander(subscriber, "joint")("resend", from_sequence=1)
        wait_for(subscriber, line)
    finally:
        line.close()
    found = check(joint(subscriber), line, 1)
    assert (found.mistakes, found.late, found.missing) == ([], 0, 0)


def asked(line: SeenLine) -> int:
    return sum(len(station.asked) for station in line.stations)


def newest(subscriber: Subscriber) -> int:
    return max((each["sequence"] for each in joint(subscriber)), default=0)


def test_a_file_that_fails_ends_the_joiner_and_nothing_is_lost(
    broker: Broker, subscriber: Subscriber, start: Start, tmp_path: Path
) -> None:
    chosen = settings(broker.port, tmp_path, timeout_s=20.0)
    process, line = start(chosen), SeenLine(broker.port, 2, seed=3, missed=0.0)
    try:
        line.run(5, 50.0, 0.0)
        wait_for(subscriber, line)
        with contextlib.closing(sqlite3.connect(chosen.store)) as other:
            other.execute("ALTER TABLE received RENAME TO gone")
        line.run(5, 50.0, 0.0)
        assert process.wait(PATIENCE) == 2 and "cannot be written: no such table" in process.said()
        with contextlib.closing(sqlite3.connect(chosen.store)) as other:
            other.execute("ALTER TABLE gone RENAME TO received")
        start(chosen)
        wait_for(subscriber, line)
    finally:
        line.close()
    assert check(joint(subscriber), line, 1).mistakes == []


def test_everybody_takes_it_for_a_station(broker: Broker, subscriber: Subscriber, start: Start, tmp_path: Path) -> None:
    chosen = settings(broker.port, tmp_path, timeout_s=1.0)
    process, line = start(chosen), SeenLine(broker.port, 2, seed=5, missed=0.2, bad=0.3)
    try:
        line.run(20, 50.0, 0.05)
        wait_for(subscriber, line)
        told = Commander(subscriber, "joint")
        assert told("resend", from_sequence=3, to_sequence=4)["resend"] == {"first": 3, "last": 4}
        assert any("joining 2 views" in line["text"] for line in told("report", what="log")["log"]["lines"])
        assert told("report", what="evidence")["evidence"] == {"parts": [], "next": None}
        assert (reply := told("pause"))["refusal"] == "unauthorised" and "resend" in reply["reason"]
        wait_until(lambda: states(subscriber)[-1] == "online", PATIENCE, "no part lacks a view any more")
        wait_until(lambda: any(each.topic == JOINT.health for each in subscriber.messages), PATIENCE, "its health")
        line.stations[1].publisher.close()
        wait_until(lambda: states(subscriber)[-1] == "degraded", PATIENCE, "a view is gone")
        process.end()
        wait_until(lambda: states(subscriber)[-1] == "offline", PATIENCE, "it says that it ends")
    finally:
        line.close()
    ours = [message for message in subscriber.messages if message.topic.startswith(f"{JOINT.prefix}/")]
    bridge = BridgeSettings.model_validate(
        {"stations": [{"site": JOINT.site, "line": JOINT.line, "station": JOINT.station}]}
    )
    station, kinds = BridgedStation(JOINT, bridge, SavedStation(), 1), set()
    for message in ours:
        kind = message.topic.rsplit("/", 1)[-1]
        if kind in KINDS:
            kinds.add(kind)
            assert isinstance(read_message(kind, message.payload), KINDS[kind])
        if message.topic in station.subscriptions:
            station.receive(message.topic, message.payload, 0.0, retained=False)
    station.release(1e9)
    assert kinds == set(KINDS)
    joined = [read_message("verdict", message.payload) for message in ours if message.topic == JOINT.verdict]
    assert all(isinstance(each, Verdict) for each in joined)
    tally = station.saved().tally
    parts = {each["id"]: each["ok"] for each in joint(subscriber)}
    assert (tally.parts, tally.accepted) == (len(parts), sum(parts.values()))
    degraded = [each["reason"] for each in subscriber.payloads("status") if each["state"] == "degraded"]
    assert any("no verdict within 1 s" in reason for reason in degraded), degraded
    assert any(reason == "the station of view v1 is offline" for reason in degraded), degraded


def states(subscriber: Subscriber) -> list[str]:
    found = [each for each in subscriber.messages if each.topic == JOINT.status]
    return [read_message("status", each.payload).state for each in found]
