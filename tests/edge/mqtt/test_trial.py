from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mosquitto import Between, Broker, Subscriber

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.mqtt.problem import ConnectionProblem
from edge_inspect.edge.mqtt.trial import try_broker

Subscribe = Callable[..., Subscriber]
PREFIX = "edge-inspect/v1/plant/line1/a"
PUBLISH = [f"{PREFIX}/{level}" for level in ("verdict", "status", "health")]


def settings(port: int, **more: object) -> MqttSettings:
    return MqttSettings(host="127.0.0.1", port=port, connect_timeout_s=2, **more)


def test_what_may_be_published_is_asked_and_nobody_hears_it(broker: Broker, subscriber: Subscriber) -> None:
    trial = try_broker(settings(broker.port), PUBLISH, [f"{PREFIX}/command"])
    assert trial.mistakes == [] and trial.said[0].startswith("answers with MQTT 5")
    # The broker hands messages on in order: what came before the last would be here.
    subscriber.publish(f"{PREFIX}/last", b"x")
    subscriber.publish(f"{PREFIX}/last", b"y")
    assert {message.topic for message in list(subscriber.messages)} <= {f"{PREFIX}/last"}


def test_what_an_access_list_forbids_is_said(make_broker: Callable[..., Broker], tmp_path: Path) -> None:
    (tmp_path / "acl").write_text(f"topic write {PREFIX}/status\ntopic write {PREFIX}/health\n")
    broker = make_broker(settings=f"allow_anonymous true\nacl_file {tmp_path / 'acl'}")
    broker.start()
    (mistake,) = try_broker(settings(broker.port), PUBLISH, [f"{PREFIX}/command"]).mistakes
    assert mistake.startswith(f"may not publish to {PREFIX}/verdict: Not authorized (0x87)")


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_station_that_was_never_heard_is_said(broker: Broker, subscriber: Subscriber, protocol: str) -> None:
    known, unknown = f"{PREFIX}/status", f"{PREFIX}9/status"
    subscriber.publish(known, b"x", retain=True)
    trial = try_broker(settings(broker.port, protocol=protocol), PUBLISH, [known, unknown], expected=[known, unknown])
    assert trial.mistakes == []
    assert [line for line in trial.said if "has kept no message" in line] == [
        f"has kept no message on {unknown}; check the name, and that this station has been connected once"
    ]


def test_limits_are_said(make_broker: Callable[..., Broker]) -> None:
    limits = "max_packet_size 20000\nretain_available false\nmax_keepalive 20\nmax_inflight_messages 7"
    broker = make_broker(settings=f"allow_anonymous true\n{limits}")
    broker.start()
    said = try_broker(settings(broker.port), PUBLISH, []).said[0]
    for limit in ("no retained messages", "up to 20000 bytes", "up to 7 messages", "a keep-alive of 20 s"):
        assert limit in said


def test_packets_that_are_too_small_are_a_mistake(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(settings="allow_anonymous true\nmax_packet_size 600")
    broker.start()
    (mistake,) = try_broker(settings(broker.port), PUBLISH, [], packet_bytes=601).mistakes
    assert "accepts packets up to 600 bytes" in mistake and "raise its limit" in mistake
    assert not try_broker(settings(broker.port), PUBLISH, [], packet_bytes=600).mistakes


def test_a_wrong_password_is_said(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(settings="allow_anonymous false")
    broker.start()
    with pytest.raises(ConnectionProblem, match=r"refused the connection: Not authorized \(0x87\); check mqtt"):
        try_broker(settings(broker.port), PUBLISH, [])


def test_a_broker_of_3_1_1_alone_is_tried_with_that(broker: Broker) -> None:
    with contextlib.closing(Between(broker.port, refuse_5=True)) as between:
        trial = try_broker(settings(between.port), PUBLISH, [f"{PREFIX}/command"])
        assert between.versions == [5, 4]
    assert trial.mistakes == [] and trial.said == [
        "answers with MQTT 3.1.1",
        "it does not say what may be published; the service's log will show what it refuses",
    ]


@contextlib.contextmanager
def scripted(*answers: bytes) -> Iterator[int]:
    """A broker that answers packet by packet with these bytes, then hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with listening.accept()[0] as client:
                        for answer in answers:
                            client.recv(4096)
                            client.sendall(answer)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)


SILENT = "the broker closed the connection or does not answer at a message to"
LET_IN = b"\x20\x03\x00\x00\x00"


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([LET_IN, b"\x50\x04\x00\x01\x90\x00"], f"may not publish to {PUBLISH[0]}: Topic name invalid (0x90)"),
        (
            [LET_IN, b"\x30\x05\x00\x01a\x00b\x50\x02\x00\x01"],
            f"the broker closed the connection or does not answer at a message to {PUBLISH[1]}",
        ),
        ([LET_IN, b"\xe0\x02\x87\x00"], f"{SILENT} {PUBLISH[0]}: Not authorized"),
        ([LET_IN, b"\x50\x04\x00\x01\xee\x00"], f"may not publish to {PUBLISH[0]}: Unspecified error"),
        ([LET_IN, b"\xff" * 40], f"{SILENT} {PUBLISH[0]}"),
        ([LET_IN], f"{SILENT} {PUBLISH[0]}"),
    ],
)
def test_what_a_broker_answers_is_read_by_its_structure(answers: list[bytes], said: str) -> None:
    with scripted(*answers) as port:
        mistakes = try_broker(settings(port), PUBLISH, []).mistakes
    assert any(mistake.startswith(said) for mistake in mistakes)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([b"SSH-2.0-OpenSSH\r\n"], "closed the connection|does not answer MQTT"),
        ([], "the broker closed the connection without an answer"),
    ],
)
def test_what_is_no_broker_is_said(answers: list[bytes], said: str) -> None:
    with scripted(*answers) as port, pytest.raises(ConnectionProblem, match=said):
        try_broker(settings(port), PUBLISH, [])
