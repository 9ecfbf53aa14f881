from __future__ import annotations

import logging
import random
import socket
import threading
from pathlib import Path

import pytest
from mosquitto import free_port
from station_parts import mqtt

from edge.mqtt.reconnection import Reconnection
from edge.mqtt.session import Session
from edge.settings import MqttSettings

log = logging.getLogger("of.the.client")

HANGS_UP = b""
REFUSES_THE_VERSION = b"\x20\x02\x00\x01"
ACCEPTS_3_1_1 = b"\x20\x02\x00\x00"
ACCEPTS_5 = b"\x20\x03\x00\x00\x00"
SHUTS_DOWN = b"\xe0\x01\x8b"
NO_TEXT_FOR_A_TOPIC = b"\x30\x04\x00\x01\xff\x00"
DISCONNECT = b"\xe0\x00"


class Peer(threading.Thread):
    """Takes a connection for each answer: hears CONNECT, answers, and hears on; without an answer it hangs up."""

    def __init__(self, *answers: bytes) -> None:
        super().__init__(daemon=True)
        self.versions: list[int] = []
        self.last_words: list[bytes] = []
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.settings = mqtt(self._listener.getsockname()[1], backoff_cap_s=0.3)
        self.start()

    def run(self) -> None:
        with self._listener:
            for answer in self._answers:
                with self._listener.accept()[0] as client:
                    first = client.recv(4096)
                    # "MQTT", then the protocol level.
                    self.versions.append(first[first.index(b"MQTT") + 4])
                    client.sendall(answer)
                    if answer:
                        self.last_words.append(client.recv(4096))


def live(reconnection: Reconnection, settings: MqttSettings, for_s: float = 5.0) -> float:
    """Connects, waits for what ends the connection, and ends it by itself when the time is over."""
    wake, other = socket.socketpair()

    def serve(session: Session) -> bool:
        while not session.connected:
            session.turn(wake, 1)
        reconnection.say_connected()
        session.turn(wake, for_s)
        return True

    with wake, other:
        return reconnection.live(lambda protocol: Session("client", protocol, settings, None, {}), serve)


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


def test_only_after_a_connection_that_lasted_the_pauses_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    peer = Peer(HANGS_UP, ACCEPTS_3_1_1, ACCEPTS_5)
    reconnection = Reconnection(peer.settings, log, "It waits")
    pauses = [live(reconnection, peer.settings, for_s) for for_s in (0, 0, 1.1 * peer.settings.backoff_cap_s)]
    assert pauses == [0.3, 0.3, 0.25]
    peer.join()
    assert peer.last_words == [DISCONNECT, DISCONNECT]


def test_a_broker_that_hangs_up_without_a_word_is_spoken_to_in_3_1_1_once() -> None:
    peer = Peer(HANGS_UP, HANGS_UP, HANGS_UP, ACCEPTS_3_1_1, ACCEPTS_5 + SHUTS_DOWN, ACCEPTS_5)
    reconnection = Reconnection(peer.settings, log, "It waits")
    live(reconnection, mqtt(free_port()))
    for _ in range(6):
        live(reconnection, peer.settings, 0.1)
    peer.join()
    assert peer.versions == [5, 4, 5, 4, 5, 5]


def test_a_broker_that_refuses_mqtt_5_is_spoken_to_in_3_1_1_for_good() -> None:
    peer = Peer(REFUSES_THE_VERSION, ACCEPTS_3_1_1, HANGS_UP, ACCEPTS_3_1_1)
    reconnection = Reconnection(peer.settings, log, "It waits")
    for _ in range(4):
        live(reconnection, peer.settings, 0)
    peer.join()
    assert peer.versions == [5, 4, 4, 4]


def test_a_problem_is_said_once_until_there_was_a_connection_or_another_problem(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    peer = Peer(ACCEPTS_5, HANGS_UP)
    away = mqtt(free_port())
    reconnection = Reconnection(peer.settings, log, "It waits", "plant/line1/a")
    for settings in (away, away, away, peer.settings, away, peer.settings, away):
        live(reconnection, settings, 0)
    peer.join()
    where = f"broker 127.0.0.1:{peer.settings.port}"
    said = {}
    for problem, record in {"not reachable: Connection refused": 0, "the broker hung up without an answer": 5}.items():
        said[problem] = caplog.records[record].getMessage()
        assert said[problem].startswith(f"plant/line1/a: {where}: {problem}")
        assert said[problem].endswith(". It waits; trying again")
    refused, hung_up = said.values()
    assert caplog.record_tuples == [
        ("of.the.client", logging.WARNING, refused),
        ("of.the.client", logging.DEBUG, refused),
        ("of.the.client", logging.DEBUG, refused),
        ("of.the.client", logging.INFO, f"plant/line1/a: connected to {where}"),
        ("of.the.client", logging.WARNING, refused),
        ("of.the.client", logging.WARNING, hung_up),
        ("of.the.client", logging.WARNING, refused),
    ]


def test_a_malformed_packet_ends_the_connection_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    peer = Peer(ACCEPTS_5 + NO_TEXT_FOR_A_TOPIC, ACCEPTS_5)
    reconnection = Reconnection(peer.settings, log, "It waits")
    assert 0 <= live(reconnection, peer.settings) <= peer.settings.backoff_cap_s
    (record,) = caplog.records
    assert record.message == "the connection to the broker failed" and record.exc_info is not None
    live(reconnection, peer.settings, 0)
    peer.join()
    # Closed at once and not in order, the broker publishes the will; then all is well.
    assert peer.last_words == [b"", DISCONNECT]
