"""One station without broker and PLC: when it is stale, what it counts, what it leaves out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bridge_parts import defect, settings, verdict
from station_parts import TOPICS, health

from edge_inspect.edge.bridge.registers import (
    FLAGS,
    NEWEST,
    PART_FIELDS,
    RING,
    SLOT,
    SLOTS,
    STATION_FIELDS,
    RegisterField,
)
from edge_inspect.edge.bridge.station import BridgedStation, SavedStation
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.messages import Status


class Bench:
    def __init__(self, folder: Path, saved: SavedStation | None = None, **more: Any) -> None:
        chosen = settings(1883, folder, **{"stale_after_s": 5, **more})
        self.one = BridgedStation(TOPICS, chosen, saved or SavedStation(), 3)
        self.now = 100.0

    def send(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        self.one.receive(topic, payload, self.now, retained=retained)

    def say(self, state: str, *, retained: bool = False, boot_id: str = "b", sequence: int = 0) -> None:
        status = Status(boot_id=boot_id, sequence=sequence, state=state, at=utc_now(), version="0")
        self.send(TOPICS.status, status.to_json(), retained=retained)

    def put(self, *sequences: int) -> None:
        for sequence in sequences:
            self.send(TOPICS.verdict, verdict(sequence).to_json())

    def values(self) -> dict[str, int]:
        return values(STATION_FIELDS, self.one.registers(self.now))

    def flags(self) -> set[str]:
        return {name for at, name in enumerate(FLAGS) if self.values()["flags"] >> at & 1}


def values(fields: tuple[RegisterField, ...], registers: list[int]) -> dict[str, int]:
    words = {field: registers[field.offset : field.offset + field.registers] for field in fields}
    return {
        field.name: int.from_bytes(b"".join(w.to_bytes(2, "big") for w in own), "big") for field, own in words.items()
    }


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.one.connect(True)
    return made


def test_it_is_stale_until_the_station_itself_is_heard(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.flags() == {"stale", "broker_lost", "silent"}
    bench.one.connect(True)
    bench.say("online", retained=True)
    assert bench.flags() == {"stale", "silent"} and bench.values()["state"] == 2
    assert bench.values()["silence"] == 65535
    bench.put(1)
    assert bench.flags() == set() and bench.values()["heard"] == 1 and bench.values()["starts"] == 3


def test_silence(bench: Bench) -> None:
    bench.put(1)
    bench.now += 4.9
    assert bench.flags() == set() and bench.values()["silence"] == 4
    bench.now += 0.1
    assert bench.flags() == {"stale", "silent"}
    bench.say("online")
    assert bench.flags() == set()


def test_the_last_will_is_no_sign_of_life(bench: Bench) -> None:
    bench.say("online")
    bench.say("offline")
    assert bench.flags() == {"stale", "offline"} and bench.values()["state"] == 6
    assert bench.values()["heard"] == 1
    bench.say("starting")
    assert bench.flags() == set() and bench.values()["state"] == 1


def test_a_state_of_a_later_release_is_unknown_but_alive(bench: Bench) -> None:
    bench.send(TOPICS.status, b'{"boot_id": "b", "sequence": 0, "state": "dreaming", "new": 1}')
    assert bench.values()["state"] == 0 and bench.flags() == set()


def test_a_new_connection_proves_nothing(bench: Bench) -> None:
    bench.say("online")
    bench.one.connect(False)
    assert bench.flags() == {"stale", "broker_lost", "silent"}
    bench.one.connect(True)
    assert bench.flags() == {"stale", "silent"}


def test_the_registers_of_a_part_and_its_counters(tmp_path: Path) -> None:
    bench = Bench(tmp_path, defect_classes=[{"name": "large", "min_area_px": 50}, {"name": "any"}])
    bench.one.connect(True)
    bad = verdict(20, ok=False, part_id="SN-7")
    bench.put(*range(2, 20))
    bench.send(TOPICS.verdict, bad.to_json())
    assert bench.values()["parts"] == 18
    bench.send(TOPICS.defect, defect(bad, 10, 60).to_json())
    found = bench.values()
    assert (found["parts"], found["accepted"], found["rejected"], found["class_1"]) == (19, 18, 1, 1)
    block = bench.one.registers(bench.now)
    newest = values(PART_FIELDS, block[NEWEST : NEWEST + SLOT])
    assert (newest["number"], newest["result"], newest["class"], newest["regions"]) == (19, 2, 1, 2)
    assert (newest["sequence"], newest["part_flags"], newest["decided"]) == (20, 0, int(bad.decided_at.timestamp()))
    assert newest["part_id"].to_bytes(32, "big").rstrip(b"\0") == b"SN-7"
    slots = [values(PART_FIELDS, block[SLOTS + i * SLOT : SLOTS + (i + 1) * SLOT]) for i in range(RING)]
    assert [slot["number"] for slot in slots] == [16, 17, 18, 19, *range(4, 16)]
    assert slots[19 % RING] == newest


@pytest.mark.parametrize("payload", [b"", b"[]", b"{", b'{"sequence": -1}', b"\xff\xfe", b"[" * 10_000])
def test_what_cannot_be_read_is_left_out_and_said(
    bench: Bench, payload: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    for topic in bench.one.subscriptions:
        bench.send(topic, payload)
    assert bench.values()["heard"] == 0 and caplog.text.count("cannot be read and is dropped") == 5


def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    before = Bench(tmp_path)
    before.one.connect(True)
    before.put(1, 2, 3)
    after = Bench(tmp_path, SavedStation.model_validate_json(before.one.saved().model_dump_json()))
    assert after.one.registers(0)[SLOTS:] == before.one.registers(0)[SLOTS:]
    after.one.connect(True)
    after.put(6)
    assert after.values()["missing"] == 2 and "gap" in after.flags()
    after.now += 0.2
    command = None
    for _ in range(5):
        after.now += 0.05
        command = command or after.one.ask(after.now)
    assert command is not None and json.loads(command)["from_sequence"] == 4
    # A station that is away is not asked.
    after.say("offline")
    after.now += 60
    assert after.one.ask(after.now) is None


def test_acknowledgements_are_for_those_who_configured_them(tmp_path: Path) -> None:
    for wanted in (False, True):
        bench = Bench(tmp_path, modbus={"acknowledge": wanted})
        bench.put(*range(1, 20))
        assert bench.one.acknowledge(16) is wanted
        assert bench.values()["acknowledged"] == (16 if wanted else 0)


REJECTS = {"share": 0.43, "usual": 0.05, "evidence": 13.8, "limit": 13.8}


@pytest.mark.parametrize(
    ("warnings", "cause", "bits", "number"),
    [
        ([], None, 0, 0),
        (["many_rejects", "light_changed"], "light", 1 << 7 | 1 << 4, 1),
        (["score_drift"], "parts", 1 << 8, 4),
        (["focus_changed", "of_a_later_release"], "of_a_later_release", 1 << 5, 0),
    ],
)
def test_the_warnings_of_the_last_health(
    bench: Bench, warnings: list[str], cause: str | None, bits: int, number: int
) -> None:
    told = {**health().model_dump(mode="json"), "warnings": warnings, "cause": cause, "rejects": REJECTS}
    bench.send(TOPICS.health, json.dumps(told).encode())
    bench.say("degraded")  # a status says nothing of them
    found = bench.values()
    assert (found["warnings"], found["cause"], found["rejecting"]) == (bits, number, 430)
    bench.one.connect(False)
    assert bench.values()["warnings"] == 0


def test_the_health_of_an_older_release_has_no_rejects(bench: Bench) -> None:
    told = {key: value for key, value in health().model_dump(mode="json").items() if key not in ("rejects", "cause")}
    bench.send(TOPICS.health, json.dumps(told).encode())
    assert bench.values()["rejecting"] == 0 and bench.flags() == set()
