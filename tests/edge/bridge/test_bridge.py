"""The bridge between a real broker and a real Modbus client: order, gaps, restarts, and when it is stale."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from bridge_parts import Beating, Line, Plc, settings
from mosquitto import Broker, wait_until
from station_parts import TOPICS

from edge.bridge.settings import BridgeSettings
from edge.outbox.memory import MemoryOutbox

Start = Callable[[BridgeSettings], subprocess.Popen[bytes]]
PATIENCE = 60.0


@pytest.fixture
def start(program: list[str], tmp_path: Path) -> Iterator[Start]:
    """Starts `edge-inspect bridge` and waits until it answers."""
    started: list[subprocess.Popen[bytes]] = []

    def run(chosen: BridgeSettings) -> subprocess.Popen[bytes]:
        config = tmp_path / "bridge.yaml"
        config.write_text(yaml.safe_dump(json.loads(chosen.model_dump_json(exclude_unset=True))))
        with (tmp_path / "bridge.log").open("ab") as log:
            command = [*program, "edge.cli", "bridge", "--config", str(config)]
            started.append(subprocess.Popen(command, stderr=log))
        plc = Plc(chosen.modbus.port)
        wait_until(lambda: plc.client.connect(), PATIENCE, "the bridge answers")
        wait_until(lambda: "broker_lost" not in plc.flags(), PATIENCE, "the bridge is connected")
        plc.client.close()
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture
def plc() -> Iterator[Callable[[BridgeSettings], Plc]]:
    made: list[Plc] = []

    def make(chosen: BridgeSettings) -> Plc:
        made.append(Plc(chosen.modbus.port))
        return made[-1]

    yield make
    for one in made:
        one.client.close()


def end(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
    process.send_signal(number)
    process.wait(PATIENCE)


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
        end(process)
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
        end(process, signal.SIGKILL)
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
