"""What a broker announces in CONNACK holds for every message; whatever it announces, nothing breaks."""

from __future__ import annotations

import json
import logging
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from byte_broker import SILENT, TAKES, ByteBroker, Connect, Publish, connack
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mosquitto import Between, Broker, wait_until
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from sparkplug_parts import put_parts, reply
from station_parts import TOPICS, Subscribe, health, mqtt, put, status

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.configuration.settings import Settings
from edge_inspect.edge.mqtt.limits import Limits
from edge_inspect.edge.mqtt.publisher import Publisher
from edge_inspect.edge.mqtt.reconnection import Reconnection
from edge_inspect.edge.mqtt.session import LastWill, Session
from edge_inspect.edge.outbox.memory import MemoryOutbox

PATIENCE = 60.0
log = logging.getLogger("of.the.client")
LONG = "x" * 1000

Make = Callable[..., Broker]


def started(make_broker: Make, settings: str) -> Broker:
    broker = make_broker(settings=f"allow_anonymous true\n{settings}")
    broker.start()
    return broker


@pytest.mark.parametrize("limits", ["retain_available false", "max_qos 0", "max_qos 0\nretain_available false"])
@pytest.mark.parametrize("encoding", ["json", "home_assistant", "sparkplug_b"])
def test_a_broker_without_retain_or_qos_1_gets_everything(
    make_broker: Make, subscribe: Subscribe, outbox: MemoryOutbox, encoding: str, limits: str
) -> None:
    broker = started(make_broker, limits)
    subscriber = subscribe(broker.port, "#")
    more: dict[str, Any] = {"encoding": "json", "home_assistant": {}} if encoding == "home_assistant" else {}
    put_parts(outbox, 40)
    with Publisher(TOPICS, outbox, mqtt(broker.port, **({"encoding": encoding} | more)), status()) as publisher:
        wait_until(lambda: not outbox.depth().entries, PATIENCE)
        publisher.publish_health(health())
        publisher.reply(reply())
        put_parts(outbox, 5)
        wait_until(lambda: not outbox.depth().entries, PATIENCE)
        assert publisher.reconnects == 0
    wait_until(lambda: len(subscriber.messages) > 45, PATIENCE)
    if encoding != "sparkplug_b":
        wait_until(lambda: list(dict.fromkeys(subscriber.sequences())) == list(range(1, 46)), PATIENCE)
        wait_until(lambda: subscriber.payloads("health") and subscriber.payloads("reply"), PATIENCE)
        wait_until(lambda: subscriber.states()[-1] == "offline", PATIENCE)
        assert subscriber.states()[0] == "online"
    assert not any(message.retain for message in subscriber.messages)


def test_a_will_without_retain_still_tells_the_end(
    make_broker: Make, subscribe: Subscribe, outbox: MemoryOutbox
) -> None:
    broker = started(make_broker, "retain_available false\nmax_qos 0")
    subscriber = subscribe(broker.port)
    door = Between(broker.port)
    try:
        with Publisher(TOPICS, outbox, mqtt(door.port), status()) as publisher:
            wait_until(lambda: subscriber.states() == ["online"], PATIENCE)
            door.cut_after = 1
            publisher.publish_health(health())
            wait_until(lambda: subscriber.states()[:2] == ["online", "offline"], PATIENCE)
    finally:
        door.close()


@pytest.mark.parametrize("version", ["auto", "3.1.1"])
def test_retain_can_be_switched_off(
    make_broker: Make, subscribe: Subscribe, outbox: MemoryOutbox, caplog: pytest.LogCaptureFixture, version: str
) -> None:
    """A broker that is spoken to in 3.1.1 hangs up on a retained will and says nothing."""
    broker = started(make_broker, "retain_available false")
    subscriber = subscribe(broker.port)
    put(outbox, 3)
    with Publisher(TOPICS, outbox, mqtt(broker.port, retain=False, protocol=version), status()):
        wait_until(lambda: subscriber.sequences() == [1, 2, 3], PATIENCE)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_hint_at_retain_where_the_broker_cannot_say_it(
    make_broker: Make, outbox: MemoryOutbox, caplog: pytest.LogCaptureFixture
) -> None:
    broker = started(make_broker, "retain_available false")
    door = Between(broker.port, refuse_5=True)
    try:
        with Publisher(TOPICS, outbox, mqtt(door.port), status()):
            wait_until(lambda: "if it lacks retained messages, set mqtt.retain: false" in caplog.text, PATIENCE)
    finally:
        door.close()


def test_what_is_larger_than_the_brokers_packets_is_not_sent(
    make_broker: Make, subscribe: Subscribe, outbox: MemoryOutbox, caplog: pytest.LogCaptureFixture
) -> None:
    broker = started(make_broker, "max_packet_size 700")
    subscriber = subscribe(broker.port, "#")
    long = status().model_copy(update={"reason": LONG})
    settings_ = mqtt(broker.port, home_assistant={})
    with Publisher(TOPICS, outbox, settings_, status()) as publisher:
        wait_until(lambda: publisher.connected, PATIENCE)
        publisher.set_status(long)
        publisher.reply(reply(done=False, refusal="busy", reason=LONG))
        publisher.publish_health(health())
        publisher.publish_health(health())
        put(outbox, 1, pad=2000)
        put(outbox, 1)
        wait_until(lambda: not outbox.depth().entries, PATIENCE)
        assert publisher.reconnects == 0
        assert publisher.set_aside == 1
    wait_until(lambda: "stopping" in subscriber.states(), PATIENCE)
    assert subscriber.sequences() == [2]
    # What makes them long is left out.
    assert [said["reason"] for said in subscriber.payloads("status")][:2] == [None, None]
    assert [(said["refusal"], said["reason"]) for said in subscriber.payloads("reply")] == [("busy", None)]
    assert caplog.text.count("health of") == 1 and "/config: " in caplog.text


@pytest.mark.parametrize("most", [1, 2, 20])
def test_no_more_is_on_its_way_than_the_broker_takes(outbox: MemoryOutbox, most: int) -> None:
    """Statuses and replies count as well."""
    answers = iter([TAKES])
    with ByteBroker(
        lambda connect: connack(b"\x21" + struct.pack(">H", most)), lambda each: next(answers, SILENT)
    ) as broker:
        put(outbox, 50)
        with Publisher(TOPICS, outbox, mqtt(broker.port, acknowledge_timeout_s=60), status()) as publisher:
            wait_until(lambda: len(broker.published) > min(most, 16), PATIENCE)
            for _ in range(5):
                publisher.set_status(status("degraded"))
                publisher.reply(reply())
            wait_until(lambda: len(broker.published) == 1 + min(most, 16), PATIENCE)
            publisher.close(timeout=0.5)
        assert len(broker.published) == 1 + min(most, 16) + 1  # `offline` is the last word, whatever waits


def test_the_brokers_keep_alive_holds(outbox: MemoryOutbox) -> None:
    with (
        ByteBroker(lambda connect: connack(b"\x13\x00\x01")) as broker,
        Publisher(TOPICS, outbox, mqtt(broker.port, keepalive_s=3600), status()),
    ):
        wait_until(lambda: broker.pings > 1, PATIENCE)


def test_an_id_that_the_broker_gives_is_told(outbox: MemoryOutbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with (
        ByteBroker(lambda connect: connack(b"\x12\x00\x05box-7")) as broker,
        Publisher(TOPICS, outbox, mqtt(broker.port), status()) as publisher,
    ):
        wait_until(lambda: publisher.connected, PATIENCE)
    assert "the broker has assigned this client the id 'box-7'" in caplog.text


@pytest.mark.parametrize("encoding", ["json", "sparkplug_b"])
def test_a_client_id_is_sent_as_it_is_set(outbox: MemoryOutbox, encoding: str) -> None:
    with ByteBroker() as broker:
        given_ = mqtt(broker.port, client_id="{site}.{station}@7", encoding=encoding)
        with Publisher(TOPICS, outbox, given_, status()) as publisher:
            wait_until(lambda: publisher.connected, PATIENCE)
        assert broker.connects[0].client_id == "plant.a@7"


def configuration(stations: int, **more: Any) -> dict[str, Any]:
    found = [{"name": f"s{number}", "camera": "folder:x", "bundle": "b"} for number in range(stations)]
    return {"site": "plant", "line": "l", "stations": found, "mqtt": more}


def test_stations_need_client_ids_of_their_own() -> None:
    assert Settings(**configuration(1, client_id="box")).mqtt.client_id == "box"
    assert Settings(**configuration(2, client_id="box-{station}")).mqtt.client_id == "box-{station}"
    with pytest.raises(ValueError, match=r"2 stations would connect as 'box-\{line\}'.* add \{station\}"):
        Settings(**configuration(2, client_id="box-{line}"))
    for wrong in ("{name}", "a{", "a}", "{station", "{0}", "{station!r}", "{station.x}"):
        with pytest.raises(ValueError, match="holds"):
            MqttSettings(client_id=wrong)
    with pytest.raises(ValueError, match="cannot be printed"):
        MqttSettings(client_id="a\nb")


@pytest.mark.parametrize(("given_", "expected"), [(5, "5"), ("5", "5"), ("3.1.1", "3.1.1"), ("auto", "auto")])
def test_a_protocol_may_be_written_as_a_number(given_: object, expected: str) -> None:
    assert MqttSettings(protocol=given_).protocol == expected


@pytest.mark.parametrize("wrong", [3.1, 4, True, "mqtt", None])
def test_other_protocols_are_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="protocol"):
        MqttSettings(protocol=wrong)


def test_limits_are_read_as_announced() -> None:
    assert Limits.read(None) == Limits.read(Properties(PacketTypes.CONNACK)) == Limits()
    announced = Properties(PacketTypes.CONNACK)
    announced.ReceiveMaximum, announced.MaximumPacketSize, announced.MaximumQoS, announced.RetainAvailable = 3, 99, 0, 0
    assert Limits.read(announced) == Limits(window=3, packet=99, qos=0, retain=False)


number = st.integers(0, 255)
legal = st.one_of(
    st.tuples(st.just(0x11), st.binary(min_size=4, max_size=4)),
    st.tuples(st.sampled_from([0x13, 0x21, 0x22]), st.binary(min_size=2, max_size=2)),
    st.tuples(st.sampled_from([0x24, 0x25, 0x28, 0x29, 0x2A]), st.sampled_from([b"\x00", b"\x01"])),
    st.tuples(st.just(0x27), st.binary(min_size=4, max_size=4)),
    st.tuples(
        st.sampled_from([0x12, 0x15, 0x1A, 0x1C, 0x1F]),
        st.text(max_size=8).map(lambda text: struct.pack(">H", len(text.encode())) + text.encode()),
    ),
    st.tuples(st.just(0x26), st.just(b"\x00\x01a\x00\x01b")),
).map(lambda pair: bytes([pair[0]]) + pair[1])
properties = st.lists(legal, max_size=6).map(b"".join)
answers = st.one_of(
    st.builds(connack, properties, st.sampled_from([0, 0, 0, 0x87, 0x9A, 0x9B])),
    st.builds(connack, st.binary(max_size=24), number),
    st.binary(max_size=24).map(lambda body: b"\x20" + bytes([len(body)]) + body),
    st.binary(min_size=1, max_size=24),
)


@pytest.fixture(scope="module")
def answering() -> Iterator[ByteBroker]:
    """A broker that answers CONNECT with its `answer`, and an old CONNECT as it should."""

    class Answering(ByteBroker):
        answer = b""

    broker = Answering(lambda connect: broker.answer if connect.level == 5 else b"\x20\x02\x00\x00")
    yield broker
    broker.close()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answer=answers)
@example(answer=connack(b"\x27\xff\xff\xff\xff"))
@example(answer=connack(b"\x27\x00\x00\x00\x00"))
@example(answer=connack(b"\x21\x00\x00"))
@example(answer=connack(b"\x24\x00\x24\x00"))
@example(answer=connack(b"\x24\x07"))
@example(answer=connack(b"\x7f"))
@example(answer=connack(b"\x12\x00\x02\xff\xfe"))
@example(answer=b"\x20\xff\xff\xff\xff\xff")
@example(answer=b"HTTP/1.1 400 Bad Request\r\n\r\n")
def test_whatever_a_broker_answers_is_said_in_a_sentence(
    answering: Any, caplog: pytest.LogCaptureFixture, answer: bytes
) -> None:
    answering.answer = answer
    caplog.clear()
    caplog.set_level(logging.INFO)
    connected: list[Session] = []
    settings_ = answering.settings.model_copy(update={"protocol": "5", "connect_timeout_s": 0.3})
    reconnection = Reconnection(settings_, log, "It waits")

    def serve(session: Session) -> bool:
        wake, other = socket.socketpair()
        with wake, other:
            while not session.connected:
                session.turn(wake, 1)
            reconnection.say_connected(session)
            connected.append(session)
            for schema in ("status", "health", "reply", "verdict"):
                session.send(schema, "topic", b"payload", (schema, 0))
            session.turn(wake, 0)
        return True

    will = LastWill("status", b"offline")
    reconnection.run_once(lambda terms: Session("client", terms, settings_, will, {"heard": lambda *_: None}), serve)
    assert caplog.records
    for record in caplog.records:
        assert record.exc_info is None, record.exc_info
        assert record.message
    assert connected or "It waits; trying again" in caplog.text


def test_a_publisher_outlives_what_a_broker_announces(outbox: MemoryOutbox) -> None:
    """Refused, malformed, and at last right: the same thread delivers."""
    wrong = [b"\x27\x00\x00\x00\x00", b"\x21\x00\x00", b"\x7f\x00", b"\x12\x00\x02\xff\xfe", b"\x24\x00\x24\x00"]
    left = [connack(each) for each in wrong]

    def answer(connect: Connect) -> bytes:
        return left.pop() if left else connack()

    taken: list[Publish] = []

    def take(each: Publish) -> int:
        taken.append(each)
        return TAKES

    put(outbox, 3)
    with ByteBroker(answer, take) as broker:
        with Publisher(TOPICS, outbox, mqtt(broker.port, protocol="5"), status()):
            wait_until(lambda: not outbox.depth().entries, PATIENCE)
        assert len(broker.connects) == len(wrong) + 1
    assert {json.loads(each.payload)["sequence"] for each in taken if each.topic == TOPICS.verdict} == {1, 2, 3}
