"""What a station says beside its parts, over lost connections."""

from __future__ import annotations

import socket
import threading

import pytest
from byte_broker import HANGS_UP, SILENT, TAKES, ByteBroker, Publish
from mosquitto import Between, Broker, wait_until
from sparkplug_parts import reply
from station_parts import TOPICS, Subscribe, health, mqtt, put, status

from edge_inspect.edge.mqtt.notices import Notices
from edge_inspect.edge.mqtt.publisher import Publisher
from edge_inspect.edge.mqtt.session import Session
from edge_inspect.edge.outbox.memory import MemoryOutbox

PATIENCE = 60.0


@pytest.mark.parametrize("lost", [HANGS_UP, SILENT])
@pytest.mark.parametrize("encoding", ["json", "sparkplug_b"])
def test_a_reply_on_its_way_when_the_connection_ends_comes_with_the_next(
    outbox: MemoryOutbox, lost: bytes | None, encoding: str
) -> None:
    answer = reply()
    lost_once: list[Publish] = []

    def take(each: Publish) -> int | bytes | None:
        if answer.id.encode() in each.payload and not lost_once:
            lost_once.append(each)
            if lost is SILENT:
                threading.Timer(0.2, broker.cut).start()
            return lost
        return TAKES

    def arrivals() -> list[int]:
        return [each.connection for each in broker.published if answer.id.encode() in each.payload]

    with (
        ByteBroker(on_publish=take) as broker,
        Publisher(TOPICS, outbox, mqtt(broker.port, encoding=encoding), status()) as publisher,
    ):
        wait_until(lambda: publisher.connected, PATIENCE)
        publisher.reply(answer)
        wait_until(lambda: arrivals()[1:], PATIENCE)
        assert arrivals()[:2] == [0, 1]


def test_a_reply_made_while_the_broker_is_away_comes_later_with_its_picture(
    broker: Broker, subscribe: Subscribe, outbox: MemoryOutbox
) -> None:
    subscriber = subscribe(broker.port)
    with Publisher(TOPICS, outbox, mqtt(broker.port), status()) as publisher:
        wait_until(lambda: publisher.connected, PATIENCE)
        broker.stop()
        wait_until(lambda: not publisher.connected, PATIENCE)
        answers = [reply() for _ in range(3)]
        for each in answers:
            publisher.reply(each)
        broker.start()
        wait_until(lambda: len(subscriber.payloads("reply")) == 3, PATIENCE)
    assert [said["id"] for said in subscriber.payloads("reply")] == [each.id for each in answers]


def test_a_status_that_is_repeated_knows_the_newest_part(
    broker: Broker, subscribe: Subscribe, outbox: MemoryOutbox
) -> None:
    subscriber = subscribe(broker.port)
    door = Between(broker.port)
    try:
        with Publisher(TOPICS, outbox, mqtt(door.port), status()) as publisher:
            wait_until(lambda: subscriber.states() == ["online"], PATIENCE)
            put(outbox, 7)
            wait_until(lambda: not outbox.depth().entries, PATIENCE)
            door.cut_after = 1
            publisher.publish_health(health())
            wait_until(lambda: subscriber.states() == ["online", "offline", "online"], PATIENCE)
            first, _, again = subscriber.payloads("status")
            assert (first["sequence"], again["sequence"]) == (0, 7)
            # Another message, so that nobody drops it as a repeat; the state has held since then.
            assert first["id"] != again["id"] and first["at"] == again["at"]
    finally:
        door.close()


def test_statuses_of_a_time_without_a_broker_come_in_order_and_end_with_what_holds() -> None:
    notices = Notices(TOPICS)
    said = [status("starting"), status("online"), status("degraded")]
    for each in said:
        notices.add_status(each)
    notices.start_connection(said[-1], 9)
    taken = [notice.content for _ in range(4) if (notice := notices.next()) is not None]
    assert [each.state for each in taken] == ["starting", "online", "degraded"]
    assert [each.sequence for each in taken] == [0, 0, 9]
    # Nothing has arrived: all comes again, and once each.
    notices.start_connection(said[-1], 12)
    taken = [notice.content for _ in range(4) if (notice := notices.next()) is not None]
    assert [each.state for each in taken] == ["starting", "online", "degraded"] and taken[-1].sequence == 12


def test_the_newest_of_each_kind_wait() -> None:
    notices = Notices(TOPICS)
    for number in range(300):
        notices.add_reply(reply(sequence=number))
        notices.add_health(health())
        notices.add_picture(str(number), b"jpeg")
    found = []
    while (notice := notices.next()) is not None:
        found.append(notice)
    replies = [notice.content.sequence for notice in found if notice.schema == "reply"]
    assert replies == list(range(300 - 256, 300))
    assert sum(notice.schema == "health" for notice in found) == 1
    assert [notice.topic for notice in found if notice.schema == "image"][-1] == "299"


@pytest.mark.parametrize("encoding", ["json", "sparkplug_b"])
def test_small_packets_are_not_held_back(outbox: MemoryOutbox, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    options: list[int] = []
    turn = Session.turn

    def look(self: Session, wake: socket.socket, timeout: float) -> None:
        connection = self._client.socket()
        assert isinstance(connection, socket.socket)
        options.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        turn(self, wake, timeout)

    monkeypatch.setattr(Session, "turn", look)
    with ByteBroker() as broker, Publisher(TOPICS, outbox, mqtt(broker.port, encoding=encoding), status()) as publisher:
        wait_until(lambda: publisher.connected and options, PATIENCE)
    assert all(options)
