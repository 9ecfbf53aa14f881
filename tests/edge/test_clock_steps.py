"""The service as its process, while somebody sets its wall clock: a library stands before the system's."""

from __future__ import annotations

import json
import sqlite3
import struct
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tiny_bundle
from mosquitto import Broker, Subscriber, wait_until
from service_process import PATIENCE, Launch, Process, write_settings

from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.frame.images import write_image

WEEK = 7 * 86400


class ShiftedClock:
    """A wall clock for the processes of a test, in seconds ahead of the right one."""

    def __init__(self, folder: Path) -> None:
        self._file, library = folder / "shift", folder / "shift.so"
        source = Path(__file__).parents[1] / "shift.c"
        compile_ = ["g++", "-x", "c", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
        subprocess.run(compile_, check=True)
        self.environment = {"LD_PRELOAD": str(library), "SHIFT_FILE": str(self._file)}
        self._file.write_bytes(bytes(8))

    def set(self, seconds: int) -> None:
        with self._file.open("r+b") as file:
            file.write(struct.pack("q", seconds))


@pytest.fixture
def clock(tmp_path: Path) -> ShiftedClock:
    return ShiftedClock(tmp_path)


@pytest.fixture
def start(tmp_path: Path, launch: Launch, clock: ShiftedClock) -> Callable[[int], Process]:
    bundle = tiny_bundle.write(tmp_path / "tiny")
    for i in range(3):
        write_image(tmp_path / "frames" / f"{i}.png", np.full((48, 80, 3), 80 * i, np.uint8))
    station = {"camera": f"folder:{tmp_path}/frames?fps=20&loop=true", "bundle": str(bundle.path)}

    def run(port: int) -> Process:
        outbox = {"path": str(tmp_path / "outbox.db"), "max_age_s": 60}
        config = write_settings(tmp_path, port, station, outbox=outbox, commands={"allow": ["pause", "resume"]})
        process = launch(config, **clock.environment)
        wait_until(lambda: "online" in process.said(), PATIENCE)
        return process

    return run


def wait_for_parts(folder: Path, more: int = 5) -> None:
    """Wait until more parts are in the outbox than now."""

    def newest() -> int:
        with closing(sqlite3.connect(f"file:{folder}/outbox.db?mode=ro", uri=True)) as database:
            return sum(last for (last,) in database.execute("SELECT last FROM sequences"))

    before = newest()
    wait_until(lambda: newest() >= before + more, PATIENCE)


def test_no_verdict_is_lost_whatever_the_clock_is_set_to(
    make_broker: Callable[..., Broker],
    subscribe: Callable[[int], Subscriber],
    start: Callable[[int], Process],
    clock: ShiftedClock,
    tmp_path: Path,
) -> None:
    broker = make_broker()
    broker.start()
    subscriber = subscribe(broker.port)
    broker.stop()
    clock.set(1000 - int(time.time()))  # a box without a battery, in 1970
    first = start(broker.port)
    # NTP; a clock in local time that is read as UTC, and back; somebody who types a wrong date.
    steps = {0: "forward", -5 * 3600: "back by 5:00:00", 3600: "forward by 6:00:00", 3 * WEEK: "forward by 20 days"}
    for ahead, said in steps.items():
        wait_for_parts(tmp_path)
        clock.set(ahead)
        wait_until(lambda said=said: f"the clock was set {said}" in first.said(), PATIENCE)
    wait_for_parts(tmp_path)
    assert first.end() == 0
    clock.set(-3 * WEEK)
    second = start(broker.port)
    wait_for_parts(tmp_path)
    broker.start()
    clock.set(0)
    wait_until(lambda: any(one["clock"]["steps"] == 1 for one in subscriber.payloads("health")), PATIENCE)
    wait_until(lambda: len(subscriber.sequences()) > 60, PATIENCE)
    assert second.end() == 0
    verdicts = {one["sequence"]: one["id"] for one in subscriber.payloads("verdict")}
    assert sorted(verdicts) == list(range(1, max(verdicts) + 1))
    ids = [verdicts[sequence] for sequence in sorted(verdicts)]
    assert sorted(ids) == ids and len(set(ids)) == len(ids)
    outbox = subscriber.payloads("health")[-1]["outbox"]
    assert (outbox["dropped_verdicts"], outbox["dropped_defects"]) == (0, 0)
    assert "unsent" not in first.said() + second.said()


def test_a_step_neither_locks_commands_out_nor_has_one_carried_out_twice(
    broker: Broker,
    subscriber: Subscriber,
    start: Callable[[int], Process],
    clock: ShiftedClock,
) -> None:
    clock.set(-20 * 365 * 86400)
    service = start(broker.port)

    def send(verb: str, identity: str) -> tuple[str | None, str]:
        count = len(subscriber.payloads("reply"))
        text = json.dumps({"command": verb, "id": identity}).encode()
        subscriber.publish(Topics("plant", "line1", "station1").command, text)
        wait_until(lambda: len(subscriber.payloads("reply")) > count, PATIENCE)
        reply = subscriber.payloads("reply")[-1]
        return reply["refusal"], str(reply["reason"])

    refusal, reason = send("pause", uuid7())
    assert refusal == "expired" and "This box's clock is wrong" in reason
    clock.set(0)
    taken = uuid7()
    assert send("pause", taken)[0] is None
    clock.set(3600)
    assert send("pause", taken)[0] == "expired"
    clock.set(-5)
    assert send("pause", taken)[0] == "replayed"
    assert send("resume", uuid7())[0] is None
    assert service.end() == 0
    clock.set(-10)  # after the restart the command is of now, and was made after the service's start
    start(broker.port)
    assert send("pause", taken)[0] in ("replayed", "expired")
    assert send("pause", uuid7())[0] is None
