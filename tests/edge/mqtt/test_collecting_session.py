"""What was not acknowledged comes again from a real broker; what was, does not."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest
from mosquitto import Broker, Subscriber, wait_until
from station_parts import mqtt

from edge_inspect.edge.mqtt.broker import Terms
from edge_inspect.edge.mqtt.collecting_session import CollectingSession
from edge_inspect.edge.mqtt.connection import MQTT5, MQTT311, Receiving

TOPIC = "edge-inspect/v1/plant/line1/a/verdict"


@pytest.fixture
def wake() -> Iterator[socket.socket]:
    one, other = socket.socketpair()
    with one, other:
        yield one


@pytest.mark.parametrize("protocol", [MQTT5, MQTT311])
def test_the_broker_keeps_what_is_not_acknowledged(
    broker: Broker, subscribe: Callable[..., Subscriber], wake: socket.socket, protocol: int
) -> None:
    sender = subscribe(broker.port, "nothing")

    def heard(count: int) -> list[bytes]:
        """The messages of one connection, which ends without a farewell; the last one acknowledges."""
        session = CollectingSession("me", Terms(protocol), mqtt(broker.port), [TOPIC], Receiving(kept_s=600))  # type: ignore[arg-type]
        found: list[bytes] = []

        def all_came() -> bool:
            session.turn(wake, 0.05)
            return session.subscribed and session.heard >= count

        wait_until(all_came, 60, f"{count} messages")
        found = [each.payload for each in session.take()]
        if acknowledges:
            session.acknowledge_all()
            session.turn(wake, 0.05)
        session.close(orderly=acknowledges)
        return found

    acknowledges = False
    assert heard(0) == []
    for number in range(3):
        sender.publish(TOPIC, str(number).encode())
    assert heard(3) == [b"0", b"1", b"2"]
    acknowledges = True
    assert heard(3) == [b"0", b"1", b"2"]
    sender.publish(TOPIC, b"last")
    assert heard(1) == [b"last"]
