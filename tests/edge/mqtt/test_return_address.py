"""A requester's response topic and correlation data (MQTT 5), over a real broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mosquitto import Between, Broker, Subscriber, wait_until
from sparkplug_parts import reply
from station_parts import TOPICS, Subscribe, mqtt, status

from edge_inspect.edge.contract.commands import ReturnAddress
from edge_inspect.edge.mqtt.publisher import Publisher
from edge_inspect.edge.outbox.memory import MemoryOutbox

PATIENCE = 20.0


class Answering:
    """A station that answers everything it hears on `command`."""

    def __init__(self, port: int, outbox: MemoryOutbox) -> None:
        self.heard: list[ReturnAddress | None] = []
        self.reply = reply()
        self.publisher = Publisher(TOPICS, outbox, mqtt(port), status(), self._answer)

    def _answer(self, payload: bytes, retained: bool, back: ReturnAddress | None) -> None:
        self.heard.append(back)
        self.publisher.reply(self.reply, back)


@pytest.fixture
def answering(outbox: MemoryOutbox) -> Iterator[Callable[[int], Answering]]:
    made: list[Answering] = []

    def make(port: int) -> Answering:
        made.append(Answering(port, outbox))
        wait_until(lambda: made[-1].publisher.connected, PATIENCE)
        return made[-1]

    yield make
    for one in made:
        one.publisher.close()


def replies(subscriber: Subscriber) -> list[tuple[str, bytes | None]]:
    """Topic and correlation data of what was answered."""
    found = [m for m in list(subscriber.messages) if m.topic not in (TOPICS.command, TOPICS.status)]
    return [(message.topic, getattr(message.properties, "CorrelationData", None)) for message in found]


def ask(subscriber: Subscriber, station: Answering, **properties: Any) -> list[tuple[str, bytes | None]]:
    """Ask twice, the second time without a return address; returns what was answered to the first."""
    subscriber.messages.clear()
    subscriber.publish(TOPICS.command, b"{}", **properties)
    subscriber.publish(TOPICS.command, b"{}")
    own = (TOPICS.reply, None)
    wait_until(lambda: sum(topic == TOPICS.reply for topic, _ in replies(subscriber)) == 2, PATIENCE)
    # What goes elsewhere is sent before; the broker may hand it out later.
    wait_until(lambda: replies(subscriber)[-1] == own, PATIENCE)
    assert station.heard[-1] is None and station.publisher.reconnects == 0
    return replies(subscriber)[:-1]


@pytest.mark.parametrize("topic", ["hmi/7/answers", "a", f"{TOPICS.reply}/hmi-7", "Antwort/für/mich"])
def test_the_reply_goes_to_the_response_topic_too(
    broker: Broker, subscribe: Subscribe, answering: Callable[[int], Answering], topic: str
) -> None:
    heard, station = subscribe(broker.port, "#"), answering(broker.port)
    answers = ask(heard, station, ResponseTopic=topic, CorrelationData=b"\x00\xff7")
    assert sorted(answers) == sorted([(topic, b"\x00\xff7"), (TOPICS.reply, b"\x00\xff7")])
    payloads = {message.payload for message in heard.messages if message.topic in (topic, TOPICS.reply)}
    assert payloads == {station.reply.to_json()}


def test_without_one_of_the_two(broker: Broker, subscribe: Subscribe, answering: Callable[[int], Answering]) -> None:
    heard, station = subscribe(broker.port, "#"), answering(broker.port)
    assert ask(heard, station, CorrelationData=b"7") == [(TOPICS.reply, b"7")]
    assert sorted(ask(heard, station, ResponseTopic="hmi/7")) == [(TOPICS.reply, None), ("hmi/7", None)]
    assert ask(heard, station, ResponseTopic=TOPICS.reply, CorrelationData=b"") == [(TOPICS.reply, b"")]


@pytest.mark.parametrize("topic", [TOPICS.verdict, "edge-inspect/v1/plant/line1/b/status", "$SYS/broker/uptime"])
def test_the_stations_right_to_publish_cannot_be_borrowed(
    broker: Broker,
    subscribe: Subscribe,
    answering: Callable[[int], Answering],
    topic: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard, station = subscribe(broker.port, "#"), answering(broker.port)
    assert ask(heard, station, ResponseTopic=topic, CorrelationData=b"7") == [(TOPICS.reply, b"7")]
    assert f"the response topic {topic!r} is not allowed" in caplog.text


def test_a_broker_that_forbids_the_response_topic_keeps_the_connection(
    make_broker: Any, subscribe: Subscribe, answering: Callable[[int], Answering], tmp_path: Path
) -> None:
    (tmp_path / "acl").write_text("topic readwrite edge-inspect/#\n")
    broker = make_broker(settings=f"allow_anonymous true\nacl_file {tmp_path / 'acl'}")
    broker.start()
    heard, station = subscribe(broker.port), answering(broker.port)
    assert ask(heard, station, ResponseTopic="not/allowed", CorrelationData=b"7") == [(TOPICS.reply, b"7")]


def test_correlation_data_that_make_the_reply_too_large_are_left_out(
    make_broker: Any, subscribe: Subscribe, answering: Callable[[int], Answering]
) -> None:
    broker = make_broker(settings="allow_anonymous true\nmax_packet_size 2000")
    broker.start()
    heard, station = subscribe(broker.port, "#"), answering(broker.port)
    assert ask(heard, station, CorrelationData=b"7" * 1700) == [(TOPICS.reply, None)]


def test_a_station_that_speaks_3_1_1_answers_as_ever(
    broker: Broker, subscribe: Subscribe, answering: Callable[[int], Answering]
) -> None:
    between = Between(broker.port, refuse_5=True)
    try:
        heard, station = subscribe(broker.port, "#"), answering(between.port)
        assert between.versions[-1] == 4
        assert ask(heard, station, ResponseTopic="hmi/7", CorrelationData=b"7") == [(TOPICS.reply, None)]
        station.publisher.close()
    finally:
        between.close()
