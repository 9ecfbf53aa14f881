from __future__ import annotations

import logging
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from byte_broker import (
    ACCEPTS_3_1_1,
    ACCEPTS_5,
    HANGS_UP,
    REFUSES_THE_VERSION,
    SILENT,
    ByteBroker,
    Connect,
    connack,
)
from mosquitto import Broker as Mosquitto
from mosquitto import free_port, wait_until
from station_parts import TOPICS, Subscribe, mqtt, put, status

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.mqtt.broker import REMEMBERED_S, Broker
from edge_inspect.edge.mqtt.publisher import Publisher
from edge_inspect.edge.mqtt.reconnection import Reconnection
from edge_inspect.edge.mqtt.session import LastWill, Session
from edge_inspect.edge.outbox.memory import MemoryOutbox

log = logging.getLogger("of.the.client")

PATIENCE = 60.0
SHUTS_DOWN = b"\xe0\x01\x8b"
NO_TEXT_FOR_A_TOPIC = b"\x30\x04\x00\x01\xff\x00"

Make = Callable[..., ByteBroker]


@pytest.fixture
def peer() -> Iterator[Make]:
    """Makes brokers that give their answers to CONNECT in turn, and then the last one on and on."""
    made: list[ByteBroker] = []

    def make(*answers: bytes | None) -> ByteBroker:
        left = list(answers)
        made.append(ByteBroker(lambda connect: left.pop(0) if len(left) > 1 else left[0]))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def of_version() -> Iterator[Callable[..., ByteBroker]]:
    """Makes brokers that answer by the version of the CONNECT."""
    made: list[ByteBroker] = []

    def make(to_5: bytes | None, to_311: bytes | None = ACCEPTS_3_1_1) -> ByteBroker:
        made.append(ByteBroker(lambda connect: to_5 if connect.level == 5 else to_311))
        return made[-1]

    yield make
    for one in made:
        one.close()


def live(reconnection: Reconnection, settings: MqttSettings, for_s: float = 5.0) -> float:
    """Connects, waits for what ends the connection, and ends it by itself when the time is over."""
    wake, other = socket.socketpair()

    def serve(session: Session) -> bool:
        while not session.connected:
            session.turn(wake, 1)
        reconnection.say_connected(session)
        session.turn(wake, for_s)
        return True

    will = LastWill("status", b"offline")
    with wake, other:
        return reconnection.run_once(lambda terms: Session("client", terms, settings, will, {}), serve)


@pytest.mark.parametrize(("end", "expected"), [(0, [0.0] * 6), (1, [0.5, 1.0, 2.0, 4.0, 5.0, 5.0])])
def test_pauses_grow_to_the_cap_and_may_be_of_any_length_below(
    monkeypatch: pytest.MonkeyPatch, end: int, expected: list[float]
) -> None:
    monkeypatch.setattr(random, "uniform", lambda *bounds: bounds[end])
    settings = mqtt(free_port(), backoff_cap_s=5)
    reconnection = Reconnection(settings, log, "It waits")
    assert [live(reconnection, settings) for _ in expected] == expected
    # Two to the power of the attempts would be too large for a float.
    assert {live(reconnection, settings) for _ in range(1100)} == {expected[-1]}


@pytest.mark.parametrize(("end", "expected"), [(0, 2.5), (1, 5.0)])
def test_what_does_not_pass_by_itself_is_tried_slowly_from_the_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: int, expected: float
) -> None:
    monkeypatch.setattr(random, "uniform", lambda *bounds: bounds[end])
    settings = mqtt(free_port(), backoff_cap_s=5, username="box", password_file=tmp_path / "none")
    reconnection = Reconnection(settings, log, "It waits")
    assert [live(reconnection, settings) for _ in range(3)] == [expected] * 3


def test_only_after_a_connection_that_lasted_the_pauses_begin_anew(monkeypatch: pytest.MonkeyPatch, peer: Make) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    broker = peer(ACCEPTS_5)
    reconnection = Reconnection(broker.settings, log, "It waits")
    pauses = [live(reconnection, broker.settings, for_s) for for_s in (0, 0, 1.1 * broker.settings.backoff_cap_s)]
    assert pauses == [0.3, 0.3, 0.25]


@pytest.mark.parametrize("to_5", [SILENT, HANGS_UP, REFUSES_THE_VERSION, ACCEPTS_3_1_1, b"\x20\x04\x00\x00\x09\x00"])
def test_a_broker_that_does_not_speak_5_is_asked_once(
    of_version: Callable[..., ByteBroker],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    to_5: bytes | None,
) -> None:
    """Nothing, the end, a refusal, a CONNACK of 3.1.1 and one that is malformed are the same: not MQTT 5."""
    # On a busy machine a broker that answers at once may need a third of a second, which counts as slow.
    monkeypatch.setattr("edge_inspect.edge.mqtt.broker.PATIENCE_S", 4.0)
    caplog.set_level(logging.INFO)
    broker = of_version(to_5)
    first, second = (Reconnection(broker.settings, log, "It waits", name) for name in ("a", "b"))
    for each in (first, first, second, first):
        live(each, broker.settings, 0)
    assert broker.levels == [5, 4, 4, 4, 4]
    falls = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(falls) == 1 and "supports MQTT 3.1.1, not MQTT 5" in falls[0] and "mqtt.protocol" in falls[0]
    assert caplog.text.count("in MQTT 3.1.1\n") == 4


def test_a_broker_that_answers_no_version_teaches_nothing(
    of_version: Callable[..., ByteBroker], caplog: pytest.LogCaptureFixture
) -> None:
    broker = of_version(HANGS_UP, HANGS_UP)
    reconnection = Reconnection(broker.settings, log, "It waits")
    for _ in range(3):
        live(reconnection, broker.settings)
    assert broker.levels == [5, 4, 5, 4, 5, 4]
    assert "3.1.1" not in caplog.text


def test_a_broker_that_has_spoken_5_may_be_starting_when_it_hangs_up(peer: Make) -> None:
    broker = peer(ACCEPTS_5, HANGS_UP, ACCEPTS_5)
    reconnection = Reconnection(broker.settings, log, "It waits")
    for _ in range(4):
        live(reconnection, broker.settings, 0)
    assert broker.levels == [5, 5, 5, 5]


def test_a_slow_broker_is_not_taken_for_an_old_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with ByteBroker() as broker:
        broker.delay_s = 1.3
        reconnection = Reconnection(broker.settings, log, "It waits")
        live(reconnection, broker.settings, 0)
        assert broker.levels == [5, 4, 5]
        live(reconnection, broker.settings, 0)
        assert broker.levels == [5, 4, 5, 5]
    assert "connected to broker" in caplog.text and "3.1.1" not in caplog.text


def test_after_a_long_time_a_broker_is_asked_anew(of_version: Callable[..., ByteBroker]) -> None:
    now = [0.0]
    known = Broker(lambda: now[0])
    broker = of_version(HANGS_UP)
    reconnection = Reconnection(broker.settings, log, "It waits", broker=known)
    for later in (0.0, REMEMBERED_S - 1, 2.0):
        now[0] += later
        live(reconnection, broker.settings, 0)
    assert broker.levels == [5, 4, 4, 5, 4]


@pytest.mark.parametrize(("protocol", "levels"), [("5", [5, 5]), ("3.1.1", [4, 4])])
def test_a_version_that_is_set_is_the_only_one(
    of_version: Callable[..., ByteBroker], caplog: pytest.LogCaptureFixture, protocol: str, levels: list[int]
) -> None:
    broker = of_version(REFUSES_THE_VERSION, ACCEPTS_3_1_1)
    settings = broker.settings.model_copy(update={"protocol": protocol})
    reconnection = Reconnection(settings, log, "It waits")
    for _ in range(2):
        live(reconnection, settings, 0)
    assert broker.levels == levels
    assert ("set mqtt.protocol to 3.1.1" in caplog.text) == (protocol == "5")


def test_what_a_broker_refuses_is_left_out_at_once_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    def answer(connect: Connect) -> bytes:
        if connect.will_retain:
            return connack(reason=0x9A)
        return connack(reason=0x9B) if connect.will_qos else connack(b"\x24\x00\x25\x00")

    with ByteBroker(answer) as broker:
        reconnection = Reconnection(broker.settings, log, "It waits")
        for _ in range(2):
            live(reconnection, broker.settings, 0)
        wills = [(connect.will_retain, connect.will_qos) for connect in broker.connects]
        assert wills == [(True, 1), (False, 1), (False, 0), (False, 0)]
    said = [record.message for record in caplog.records]
    assert len(said) == 2
    assert (
        "keeps no retained messages" in said[0] and "mqtt.retain: false" in said[0] and "accepts QoS 0 only" in said[1]
    )


def test_a_refusal_that_nothing_helps_against_is_tried_slowly(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, peer: Make
) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: low)
    broker = peer(connack(reason=0x9A))
    reconnection = Reconnection(broker.settings, log, "It waits")
    assert live(reconnection, broker.settings) == broker.settings.backoff_cap_s / 2
    assert len(broker.connects) == 2 and "Retain not supported (0x9a); " in caplog.text


def test_a_problem_is_said_once_until_there_was_a_connection_or_another_problem(
    caplog: pytest.LogCaptureFixture, peer: Make
) -> None:
    caplog.set_level(logging.DEBUG)
    broker = peer(ACCEPTS_5, HANGS_UP)
    away = mqtt(free_port())
    reconnection = Reconnection(broker.settings, log, "It waits", "plant/line1/a")
    for settings in (away, away, away, broker.settings, away, broker.settings, away):
        live(reconnection, settings, 0)
    where = f"broker 127.0.0.1:{broker.port}"
    said = {}
    for problem, record in {
        "not reachable: Connection refused": 0,
        "the broker closed the connection without an answer": 5,
    }.items():
        said[problem] = caplog.records[record].getMessage()
        assert said[problem].startswith(f"plant/line1/a: {where}: {problem}")
        assert said[problem].endswith(". It waits; trying again")
    refused, hung_up = said.values()
    assert caplog.record_tuples == [
        ("of.the.client", logging.WARNING, refused),
        ("of.the.client", logging.DEBUG, refused),
        ("of.the.client", logging.DEBUG, refused),
        ("of.the.client", logging.INFO, f"plant/line1/a: connected to {where} in MQTT 5"),
        ("of.the.client", logging.WARNING, refused),
        ("of.the.client", logging.WARNING, hung_up),
        ("of.the.client", logging.WARNING, refused),
    ]


def test_a_malformed_packet_ends_the_connection_and_nothing_else(caplog: pytest.LogCaptureFixture, peer: Make) -> None:
    broker = peer(ACCEPTS_5 + NO_TEXT_FOR_A_TOPIC, ACCEPTS_5)
    reconnection = Reconnection(broker.settings, log, "It waits")
    assert 0 <= live(reconnection, broker.settings) <= broker.settings.backoff_cap_s
    (record,) = caplog.records
    assert "it sent bytes that are not MQTT 5" in record.message and record.exc_info is None
    live(reconnection, broker.settings, 0)
    assert broker.levels == [5, 5]


def test_a_broker_that_shuts_down_is_asked_in_5_again(peer: Make) -> None:
    broker = peer(ACCEPTS_5 + SHUTS_DOWN, ACCEPTS_5)
    reconnection = Reconnection(broker.settings, log, "It waits")
    for _ in range(2):
        live(reconnection, broker.settings, 0)
    assert broker.levels == [5, 5]


def test_verdicts_reach_amqtt_which_answers_no_5(
    outbox: MemoryOutbox, subscribe: Subscribe, caplog: pytest.LogCaptureFixture
) -> None:
    """amqtt 0.12 neither answers nor closes a connection whose will has properties."""
    port = free_port()
    caplog.set_level(logging.INFO)
    with subprocess.Popen([sys.executable, "-m", "edge_inspect.edge.demo.broker", str(port)]) as process:
        try:
            wait_until(lambda: _listens(port), PATIENCE)
            put(outbox, 30)
            with Publisher(TOPICS, outbox, mqtt(port), status()) as publisher:
                wait_until(lambda: outbox.depth() == (0, 0), PATIENCE)
                assert publisher.connected
        finally:
            process.terminate()
    assert caplog.text.count("falling back to 3.1.1") == 1 and "in MQTT 3.1.1" in caplog.text


def test_mosquitto_is_spoken_to_in_5(broker: Mosquitto, outbox: MemoryOutbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Publisher(TOPICS, outbox, mqtt(broker.port), status()) as publisher:
        wait_until(lambda: publisher.connected, PATIENCE)
    assert "in MQTT 5" in caplog.text


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
