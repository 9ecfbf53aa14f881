"""The bridge between a real broker and a real Modbus client: order, gaps, restarts, and when it is stale."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bridge_parts import Beating, Line, Plc, settings
from mosquitto import Broker, wait_until
from service_process import Process
from station_parts import TOPICS

from edge_inspect.edge.bridge.settings import BridgeSettings
from edge_inspect.edge.outbox.memory import MemoryOutbox

Start = Callable[[BridgeSettings], Process]
PATIENCE = 60.0


def taken(plc: Plc, count: int, **options: Any) -> None:
    """Deal with parts until there are so many."""

    def have() -> bool:
        assert plc.take(**options) == 0
        return len(plc.sequences) >= count

    wait_until(have, PATIENCE, f"{count} parts")


def test_a_slow_subscriber_of_a_stock_broker_ends_complete(
    make_broker: Callable[..., Broker], outbox: MemoryOutbox, start: Start, plc: Callable[..., Plc], tmp_path: Path
) -> None:
    # Mosquitto's own default: 1000 messages wait for a subscriber, the rest is dropped.
    broker = make_broker(settings="allow_anonymous true\nmax_queued_messages 1000")
    broker.start()
    chosen = settings(broker.port, tmp_path, modbus={"acknowledge": True})
    process, reader = start(chosen), plc(chosen)
    line = Line(broker.port, outbox, window=64)
    try:
        line.put(10, bad=7)
        taken(reader, 10, acknowledge=True)
        process.send_signal(signal.SIGSTOP)
        line.put(2500, bad=7)
        wait_until(lambda: outbox.depth().entries == 0, PATIENCE, "all is published")
        process.send_signal(signal.SIGCONT)
        beating = Beating(line)
        taken(reader, 2510, acknowledge=True)
        beating.close()
    finally:
        line.publisher.close()
    assert line.asked, "nothing was dropped: this test shows nothing"
    assert sorted(reader.sequences) == list(range(1, 2511))
    found = reader.read()
    assert (found["parts"], found["missing"], found["lost"], found["resets"]) == (2510, 0, 0, 0)
    assert (found["rejected"], found["class_0"]) == (358, 358)
    on_time = [sequence for sequence in reader.sequences if sequence not in set(reader.late)]
    assert on_time == sorted(on_time)


def test_a_restart_misses_nothing_and_a_kill_repeats_at_most(
    broker: Broker, outbox: MemoryOutbox, start: Start, plc: Callable[..., Plc], tmp_path: Path
) -> None:
    chosen = settings(broker.port, tmp_path)
    process, reader = start(chosen), plc(chosen)
    line = Line(broker.port, outbox)
    try:
        line.put(5)
        taken(reader, 5)
        process.end()
        reader.client.close()
        line.put(8)
        wait_until(lambda: outbox.depth().entries == 0, PATIENCE)
        process = start(chosen)
        line.put(1)
        taken(reader, 14)
        assert sorted(reader.sequences) == list(range(1, 15)) and reader.read()["starts"] == 2
        wait_until(lambda: json.loads(chosen.state.read_text())["stations"][TOPICS.prefix]["tally"]["parts"] == 14)
        line.put(1)
        taken(reader, 15)
        process.end(signal.SIGKILL)
        reader.client.close()
        line.put(2)
        start(chosen)
        line.put(1)
        wait_until(lambda: reader.read()["parts"] == 18, PATIENCE)
        assert {slot["sequence"] for slot in reader.slots()} >= set(range(15, 19))
        found = reader.read()
        assert (found["starts"], found["missing"], found["lost"], found["accepted"]) == (3, 0, 0, 18)
    finally:
        line.publisher.close()


def test_a_new_outbox_is_followed_from_its_first_part(
    broker: Broker, outbox: MemoryOutbox, start: Start, plc: Callable[..., Plc], tmp_path: Path
) -> None:
    chosen = settings(broker.port, tmp_path)
    start(chosen)
    reader = plc(chosen)
    line = Line(broker.port, outbox)
    line.put(9)
    taken(reader, 9)
    line.publisher.close()
    with MemoryOutbox() as fresh:
        line = Line(broker.port, fresh)
        line.put(4)
        taken(reader, 13)
        line.publisher.close()
    assert reader.sequences == [*range(1, 10), *range(1, 5)] and reader.read()["resets"] == 1


def test_parts_that_the_broker_keeps_from_the_bridge_are_missing_until_they_come(
    make_broker: Callable[..., Broker], outbox: MemoryOutbox, start: Start, plc: Callable[..., Plc], tmp_path: Path
) -> None:
    rights = tmp_path / "acl"
    broker = make_broker(settings=f"allow_anonymous true\nacl_file {rights}")

    def let_the_bridge_read(*levels: str) -> None:
        broker.stop()
        lines = ["topic readwrite #", "user bridge", f"topic write {TOPICS.command}"]
        rights.write_text("\n".join([*lines, *(f"topic read {TOPICS.prefix}/{level}" for level in levels), ""]))
        broker.start()

    let_the_bridge_read("status", "health", "reply")
    chosen = settings(broker.port, tmp_path, mqtt={"username": "bridge"})
    start(chosen)
    reader = plc(chosen)
    line = Line(broker.port, outbox)
    line.put(3)
    wait_until(lambda: outbox.depth().entries == 0, PATIENCE)
    beating = Beating(line)
    try:
        wait_until(lambda: reader.read()["heard"] > 3, PATIENCE, "health")
        for before, after in ((3, 8), (8, 12)):
            line.put(after - before)
            wait_until(lambda count=after - before: reader.read()["missing"] == count, PATIENCE, "overdue parts")
            found = reader.read()
            assert (reader.flags(), found["parts"], found["lost"]) == ({"gap"}, before - 3, 0)
            wait_until(lambda part=before + 1: part in [one.from_sequence for one in line.asked], PATIENCE, "a request")
            let_the_bridge_read("status", "health", "reply", "verdict", "defect")
            wait_until(lambda: reader.flags() == set(), PATIENCE, "all parts")
            found = reader.read()
            assert (found["missing"], found["parts"], found["lost"]) == (0, after - 3, 0)
            let_the_bridge_read("status", "health", "reply")
            wait_until(lambda: reader.flags() == set(), PATIENCE, "a station that lives")
    finally:
        beating.close()
        line.publisher.close()
    assert reader.take() == 0 and reader.sequences == list(range(4, 13))


def test_parts_in_flight_are_not_missing(
    broker: Broker, outbox: MemoryOutbox, start: Start, plc: Callable[..., Plc], tmp_path: Path
) -> None:
    chosen = settings(broker.port, tmp_path)
    start(chosen)
    reader = plc(chosen)
    # One at a time: the rest waits in the outbox, and health has counted it.
    line = Line(broker.port, outbox, window=1)
    beating = Beating(line)
    try:
        wait_until(lambda: reader.flags() == set(), PATIENCE, "a station that lives")
        line.put(1500, bad=5)
        line.health()
        seen = [reader.read()]
        while seen[-1]["parts"] < 1500:
            seen.append(reader.read())
    finally:
        beating.close()
        line.publisher.close()
    assert any(0 < found["parts"] < 1500 for found in seen), "nothing was in flight: this test shows nothing"
    assert {(found["flags"], found["missing"]) for found in seen} == {(0, 0)} and line.asked == []


def test_the_stale_bit(
    broker: Broker, outbox: MemoryOutbox, start: Start, plc: Callable[..., Plc], tmp_path: Path
) -> None:
    chosen = settings(broker.port, tmp_path, stale_after_s=2)
    start(chosen)
    reader = plc(chosen)
    assert reader.flags() == {"stale", "silent"}
    line = Line(broker.port, outbox)
    beating = Beating(line)
    try:
        wait_until(lambda: reader.flags() == set(), PATIENCE, "a station that lives")
        beats = reader.read()["heartbeat"]
        wait_until(lambda: reader.read()["heartbeat"] != beats, PATIENCE, "the heartbeat")
        broker.stop()
        wait_until(lambda: {"stale", "broker_lost"} <= reader.flags(), PATIENCE, "a lost broker")
        broker.start()
        wait_until(lambda: reader.flags() == set(), PATIENCE, "a broker that is back")
        # A station that goes on living but says nothing.
        beating.close()
        wait_until(lambda: reader.flags() == {"stale", "silent"}, PATIENCE, "a silent station")
        beating = Beating(line)
        wait_until(lambda: reader.flags() == set(), PATIENCE, "a station that speaks again")
    finally:
        beating.close()
        line.publisher.close()
    wait_until(lambda: "offline" in reader.flags(), PATIENCE, "a station that says goodbye")
    assert reader.read()["state"] == 6


def test_registers_follow_a_verdict_at_once(
    broker: Broker, outbox: MemoryOutbox, start: Start, plc: Callable[..., Plc], tmp_path: Path
) -> None:
    """How long that takes is in tests/benchmarks/results/bridge.csv."""
    chosen = settings(broker.port, tmp_path, hold_s=30)
    start(chosen)
    reader = plc(chosen)
    line = Line(broker.port, outbox)
    began = time.monotonic()
    for number in range(1, 11):
        line.put(1, bad=2, part_id=f"SN-{number}")
        wait_until(lambda number=number: reader.read()["parts"] == number, PATIENCE)
        found = reader.read()
        assert (found["sequence"], found["part_id"]) == (number, f"SN-{number}")
        assert (found["result"], found["regions"], found["score"]) == (
            (2, 1, 0.75) if number % 2 == 0 else (1, 0, 0.25)
        )
    # None of them had to wait for the next.
    assert time.monotonic() - began < 30
    line.publisher.close()
