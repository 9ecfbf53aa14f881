"""The bridge's connection: TLS, brokers of old, access lists; in this process, so that the log can be read."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bridge_parts import Beating, Line, settings
from mosquitto import Between, Broker, wait_until
from station_parts import TOPICS

from edge_inspect.edge.bridge.registers import FLAGS
from edge_inspect.edge.bridge.reorder_buffer import SequencePosition
from edge_inspect.edge.bridge.settings import BridgeSettings
from edge_inspect.edge.bridge.station import BridgedStation, SavedStation
from edge_inspect.edge.bridge.subscriber import BridgeSubscriber
from edge_inspect.edge.outbox.memory import MemoryOutbox

PATIENCE = 60.0


@contextlib.contextmanager
def following(chosen: BridgeSettings, saved: SavedStation | None = None) -> Iterator[BridgedStation]:
    station = BridgedStation(TOPICS, chosen, saved or SavedStation(), 1)
    subscriber = BridgeSubscriber(chosen.name, chosen.mqtt, [station])
    try:
        yield station
    finally:
        subscriber.close()


def parts(station: BridgedStation) -> int:
    return station.saved().tally.parts


def flags(station: BridgedStation) -> set[str]:
    value = station.registers(time.monotonic())[1]
    return {name for at, name in enumerate(FLAGS) if value >> at & 1}


def test_mutual_tls(
    tls_broker: Broker,
    authority: Path,
    outbox: MemoryOutbox,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    trusted = {"ca_file": str(authority / "ca.pem")}
    mutual = {**trusted, "certificate": str(authority / "box.pem"), "key": str(authority / "box.key")}

    def chosen(tls: dict[str, Any]) -> BridgeSettings:
        return settings(tls_broker.port, tmp_path, mqtt={"tls": tls})

    line = Line(tls_broker.port, outbox, tls=mutual)
    try:
        with following(chosen({})) as station:
            wait_until(lambda: "certificate verify failed" in caplog.text.lower().replace("_", " "), PATIENCE)
            assert "broker_lost" in flags(station)
        caplog.clear()
        with following(chosen(trusted)) as station:
            # TLS 1.3: the broker says so only after the handshake, and hangs up.
            wait_until(lambda: "The stale bits are set" in caplog.text, PATIENCE)
            line.put(1)
            wait_until(lambda: outbox.depth().entries == 0, PATIENCE)
            time.sleep(0.5)
            assert parts(station) == 0 and {"stale", "broker_lost"} <= flags(station)
        with following(chosen(mutual)) as station:
            wait_until(lambda: "broker_lost" not in flags(station), PATIENCE)
            line.put(5, bad=2)
            wait_until(lambda: parts(station) == 5, PATIENCE)
            assert flags(station) == set()
    finally:
        line.publisher.close()


def test_a_broker_of_old_is_spoken_to_in_its_version(broker: Broker, outbox: MemoryOutbox, tmp_path: Path) -> None:
    door = Between(broker.port, refuse_5=True)
    line = Line(broker.port, outbox)
    try:
        with following(settings(door.port, tmp_path)) as station:
            wait_until(lambda: "broker_lost" not in flags(station), PATIENCE)
            line.put(3)
            wait_until(lambda: parts(station) == 3, PATIENCE)
            assert door.versions[:2] == [5, 4]
    finally:
        line.publisher.close()
        door.close()


def test_a_broker_that_takes_no_command_still_gives_verdicts(
    make_broker: Callable[..., Broker], outbox: MemoryOutbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rights = tmp_path / "acl"
    levels = ("verdict", "defect", "status", "health", "reply")
    rights.write_text("".join(f"topic readwrite {TOPICS.prefix}/{level}\n" for level in levels))
    broker = make_broker(settings=f"allow_anonymous true\nacl_file {rights}")
    broker.start()
    line = Line(broker.port, outbox)
    line.put(4)
    wait_until(lambda: outbox.depth().entries == 0, PATIENCE)
    missing = SequencePosition(first=1, next=5, missing=[(2, 3)], newest_id="z", boots={"b": 1})
    try:
        with following(settings(broker.port, tmp_path), SavedStation(position=missing)) as station:
            wait_until(lambda: "did not answer; check that the broker lets this program write" in caplog.text, PATIENCE)
            line.put(1)
            wait_until(lambda: parts(station) == 1, PATIENCE)
            assert flags(station) == {"gap"} and line.asked == []
            assert "The stale bits are set" not in caplog.text
    finally:
        line.publisher.close()


def test_it_ends_at_once_while_a_broker_does_not_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        chosen = settings(mute.getsockname()[1], tmp_path, mqtt={"connect_timeout_s": 60})
        with following(chosen):
            caller, _ = mute.accept()
            began = time.monotonic()
        assert time.monotonic() - began < 30
        caller.close()


def test_what_passes_once_the_broker_is_found_is_heard(broker: Broker, outbox: MemoryOutbox, tmp_path: Path) -> None:
    """An accepted connection is not enough: until the subscriptions have arrived, parts pass unheard."""
    door = Between(broker.port)
    door.slow_s = 0.3
    line = Line(broker.port, outbox)
    try:
        with following(settings(door.port, tmp_path)) as station:
            wait_until(lambda: "broker_lost" not in flags(station), PATIENCE)
            line.put(1)
            wait_until(lambda: parts(station) == 1, PATIENCE)
            assert flags(station) == set()
    finally:
        line.publisher.close()
        door.close()


def test_a_broker_that_falls_silent(broker: Broker, outbox: MemoryOutbox, tmp_path: Path) -> None:
    """Packets go nowhere, and no one hangs up: only time tells."""
    door = Between(broker.port)
    line = Line(broker.port, outbox)
    try:
        with following(settings(door.port, tmp_path, stale_after_s=1)) as station:
            wait_until(lambda: "broker_lost" not in flags(station), PATIENCE)
            line.put(1)
            # The line's status alone clears the flags, and may come first.
            wait_until(lambda: parts(station) == 1 and flags(station) == set(), PATIENCE)
            door.silent = True
            line.put(7)
            wait_until(lambda: flags(station) == {"stale", "silent"}, PATIENCE)
            assert parts(station) == 1
    finally:
        line.publisher.close()
        door.close()


def test_messages_lost_on_a_cut_connection_come_again(broker: Broker, outbox: MemoryOutbox, tmp_path: Path) -> None:
    door = Between(broker.port)
    line = Line(broker.port, outbox)
    # The last parts may be lost too, and none comes after them: health tells.
    beating = Beating(line)
    try:
        with following(settings(door.port, tmp_path)) as station:
            wait_until(lambda: "broker_lost" not in flags(station), PATIENCE)
            put = 0

            def is_cut() -> bool:
                nonlocal put
                line.put(1, bad=3)
                put += 1
                return door.cut_after is None

            # In an acknowledgement, in a subscription, and where parts are sent again.
            for size in (50, 200, 800):
                door.cut_after = size
                wait_until(is_cut, PATIENCE)
                line.put(20, bad=3)
                put += 20

            def complete() -> bool:
                station.release(time.monotonic())
                return parts(station) == put

            wait_until(complete, PATIENCE)
            position = station.saved().position
            assert (position.missing, position.lost, position.resets) == ([], 0, 0)
    finally:
        beating.close()
        line.publisher.close()
        door.close()
