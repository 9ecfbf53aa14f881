from __future__ import annotations

import logging
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mosquitto import Between, Broker, free_port, wait_until
from paho.mqtt.enums import MQTTProtocolVersion
from station_parts import TOPICS, Subscribe, health, mqtt, put, status

from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.replies import Reply
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.mqtt.publisher import Publisher
from edge_inspect.edge.outbox import Entry, Outgoing
from edge_inspect.edge.outbox.memory import MemoryOutbox
from edge_inspect.edge.outbox.sqlite import SqliteOutbox


def without_repeats(numbers: list[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


def test_verdicts_arrive_in_order_and_leave_the_outbox(broker: Broker, subscribe: Subscribe, tmp_path: Path) -> None:
    subscriber = subscribe(broker.port)
    with SqliteOutbox(tmp_path / "o.db") as outbox, Publisher(TOPICS, outbox, mqtt(broker.port), status()) as publisher:
        put(outbox, 300)
        wait_until(lambda: len(subscriber.sequences()) == 300)
        wait_until(lambda: outbox.depth() == (0, 0))
        assert subscriber.sequences() == list(range(1, 301))
        assert publisher.connected and publisher.reconnects == 0
    message = next(message for message in subscriber.messages if message.topic == TOPICS.verdict)
    assert message.qos == 1
    assert message.properties is not None
    assert message.properties.ContentType == "application/json"
    assert message.properties.UserProperty == [("schema", "verdict/1")]


def test_a_live_verdict_is_quick(broker: Broker, subscribe: Subscribe, outbox: MemoryOutbox) -> None:
    subscriber = subscribe(broker.port)
    with Publisher(TOPICS, outbox, mqtt(broker.port), status()) as publisher:
        wait_until(lambda: publisher.connected)
        started = time.monotonic()
        for number in range(1, 21):
            put(outbox, 1)
            wait_until(lambda number=number: len(subscriber.sequences()) == number)
        assert time.monotonic() - started < 5


def test_a_broker_that_restarts_gets_everything_in_order(
    broker: Broker, subscribe: Subscribe, outbox: MemoryOutbox
) -> None:
    subscriber = subscribe(broker.port)
    with Publisher(TOPICS, outbox, mqtt(broker.port), status()) as publisher:
        done = threading.Event()

        def keep_putting() -> None:
            while not done.wait(0.002):
                put(outbox, 1)

        writer = threading.Thread(target=keep_putting)
        writer.start()
        try:
            wait_until(lambda: len(subscriber.sequences()) > 50)
            broker.stop()
            wait_until(lambda: not publisher.connected)
            waiting = outbox.depth().entries
            wait_until(lambda: outbox.depth().entries > waiting + 100)
            broker.start()
            wait_until(lambda: publisher.connected)
        finally:
            done.set()
            writer.join()
        wait_until(lambda: outbox.depth() == (0, 0))
        assert publisher.reconnects == 1
        last = outbox.put("a", lambda sequence: [Outgoing("elsewhere", b"{}", "verdict")]) - 1
        wait_until(lambda: last in subscriber.sequences())
    assert without_repeats(subscriber.sequences()) == list(range(1, last + 1))


def test_a_broker_that_is_away_at_the_start(
    broker: Broker, subscribe: Subscribe, outbox: MemoryOutbox, caplog: pytest.LogCaptureFixture
) -> None:
    subscriber = subscribe(broker.port)
    broker.stop()
    put(outbox, 200)
    caplog.set_level(logging.INFO)
    with Publisher(TOPICS, outbox, mqtt(broker.port), status()) as publisher:
        time.sleep(0.8)
        assert not publisher.connected
        # Many attempts, one line.
        warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
        assert len(warnings) == 1
        assert f"broker 127.0.0.1:{broker.port}: not reachable: Connection refused" in warnings[0]
        broker.start()
        wait_until(lambda: subscriber.sequences() == list(range(1, 201)))
        assert "connected to broker" in caplog.text
        assert publisher.reconnects == 0


def test_a_killed_process_leaves_the_last_will(broker: Broker, subscribe: Subscribe) -> None:
    subscriber = subscribe(broker.port)
    code = f"""
import time
from edge_inspect.edge.contract.messages import Status
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.outbox.memory import MemoryOutbox
from edge_inspect.edge.mqtt.publisher import Publisher
from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
Publisher(Topics("plant", "line1", "a"), MemoryOutbox(), MqttSettings(host="127.0.0.1", port={broker.port}),
          Status(boot_id="b", sequence=0, state="online", at=utc_now(), version="0"))
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        try:
            wait_until(lambda: subscriber.states() == ["online"])
        finally:
            process.send_signal(signal.SIGKILL)
    wait_until(lambda: subscriber.states() == ["online", "offline"])
    assert subscriber.payloads("status")[-1]["reason"] == "connection lost"
    late = subscribe(broker.port)
    wait_until(lambda: late.states() == ["offline"])


def test_status_and_health_are_retained_and_the_end_is_told(
    broker: Broker, subscribe: Subscribe, outbox: MemoryOutbox
) -> None:
    subscriber = subscribe(broker.port)
    publisher = Publisher(TOPICS, outbox, mqtt(broker.port), status("starting"))
    wait_until(lambda: subscriber.states() == ["starting"])
    publisher.set_status(status("online"))
    publisher.publish_health(health())
    wait_until(lambda: subscriber.payloads("health") and len(subscriber.states()) == 2)
    late = subscribe(broker.port)
    wait_until(lambda: late.states() == ["online"] and late.payloads("health"))
    assert all(message.retain for message in late.messages)
    put(outbox, 500)
    publisher.close(timeout=10)
    wait_until(lambda: subscriber.states() == ["starting", "online", "stopping", "offline"])
    # Everything was drained before the offline status.
    assert subscriber.sequences() == list(range(1, 501))
    assert outbox.depth() == (0, 0)
    assert subscriber.messages[-1].topic == TOPICS.status
    publisher.close()


def test_every_change_of_status_is_told_however_short(
    broker: Broker, subscribe: Subscribe, outbox: MemoryOutbox
) -> None:
    subscriber = subscribe(broker.port)
    with Publisher(TOPICS, outbox, mqtt(broker.port), status("starting")) as publisher:
        publisher.set_status(status("degraded"))
        publisher.set_status(status("online"))
    wait_until(lambda: subscriber.states() == ["starting", "degraded", "online", "stopping", "offline"])


class SlowOutbox(MemoryOutbox):
    """As on a disk that is busy: every question takes its time."""

    def pending(self, station: str, after: int, limit: int) -> list[Entry]:
        time.sleep(0.1)
        return super().pending(station, after, limit)

    def sequence(self, station: str) -> int:
        time.sleep(0.05)
        return super().sequence(station)


def test_offline_is_the_last_word(broker: Broker, subscribe: Subscribe) -> None:
    subscriber = subscribe(broker.port)
    with SlowOutbox() as outbox:
        for part in range(8):  # ends at another moment of the publisher's turn each time
            with Publisher(TOPICS, outbox, mqtt(broker.port), status()) as publisher:
                wait_until(lambda publisher=publisher: publisher.connected)
                publisher.publish_health(health())  # wakes it
                time.sleep(part * 0.015)
            wait_until(lambda part=part: subscriber.states() == ["online", "stopping", "offline"] * (part + 1))


def test_stations_share_an_outbox(broker: Broker, subscribe: Subscribe, outbox: MemoryOutbox) -> None:
    subscriber = subscribe(broker.port)
    other = Topics("plant", "line1", "b")
    with (
        Publisher(TOPICS, outbox, mqtt(broker.port), status()),
        Publisher(other, outbox, mqtt(broker.port), status()) as second,
    ):
        put(outbox, 50)
        put(outbox, 50, other)
        wait_until(lambda: outbox.depth() == (0, 0))
        for topic in (TOPICS.verdict, other.verdict):
            wait_until(lambda topic=topic: sum(one.topic == topic for one in list(subscriber.messages)) == 50)
        second.close()
        wait_until(lambda: subscriber.payloads("status")[-1]["state"] == "offline")
        assert subscriber.messages[-1].topic == other.status


def test_a_close_without_a_broker_is_quick(outbox: MemoryOutbox) -> None:
    put(outbox, 1)
    publisher = Publisher(TOPICS, outbox, mqtt(free_port(), backoff_cap_s=30.0), status())
    time.sleep(0.1)
    started = time.monotonic()
    publisher.close(timeout=5)
    assert time.monotonic() - started < 1
    assert outbox.depth().entries == 1


@pytest.fixture
def between() -> Iterator[Callable[..., Between]]:
    made: list[Between] = []

    def make(target: int, **more: Any) -> Between:
        made.append(Between(target, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_an_old_broker_is_spoken_to_in_3_1_1(
    broker: Broker, between: Callable[..., Between], subscribe: Subscribe, outbox: MemoryOutbox
) -> None:
    subscriber = subscribe(broker.port)
    door = between(broker.port, refuse_5=True)
    put(outbox, 100)
    with Publisher(TOPICS, outbox, mqtt(door.port), status()):
        wait_until(lambda: subscriber.sequences() == list(range(1, 101)))
        wait_until(lambda: outbox.depth() == (0, 0))
    assert door.versions == [MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311]
    wait_until(lambda: subscriber.states() == ["online", "stopping", "offline"])


def test_a_broker_that_takes_and_stays_silent_loses_nothing(
    broker: Broker, between: Callable[..., Between], subscribe: Subscribe, outbox: MemoryOutbox
) -> None:
    subscriber = subscribe(broker.port)
    door = between(broker.port)
    with Publisher(TOPICS, outbox, mqtt(door.port, acknowledge_timeout_s=0.3), status()) as publisher:
        wait_until(lambda: publisher.connected)
        put(outbox, 20)
        wait_until(lambda: outbox.depth() == (0, 0))
        door.silent = True
        put(outbox, 100)
        wait_until(lambda: publisher.reconnects or not publisher.connected)
        # Only what fits the window was sent, and nothing of it counts as delivered.
        assert outbox.depth().entries == 100
        door.silent = False
        wait_until(lambda: outbox.depth() == (0, 0))
    wait_until(lambda: 120 in subscriber.sequences())
    received = subscriber.sequences()
    assert without_repeats(received) == list(range(1, 121))
    assert len(received) > 120


def test_a_message_above_the_brokers_limit_does_not_block_the_others(
    make_broker: Callable[..., Broker], subscribe: Subscribe, outbox: MemoryOutbox, caplog: pytest.LogCaptureFixture
) -> None:
    broker = make_broker(settings="allow_anonymous true\nmax_packet_size 2000")
    broker.start()
    subscriber = subscribe(broker.port)
    put(outbox, 1)
    put(outbox, 1, pad=3000)
    put(outbox, 1)
    with Publisher(TOPICS, outbox, mqtt(broker.port), status()):
        wait_until(lambda: subscriber.sequences() == [1, 3])
        wait_until(lambda: outbox.depth() == (0, 0))
    assert outbox.dropped()["verdict"] == 1
    assert "sequence 2: a verdict of 3" in caplog.text


def test_connections_cut_in_the_middle_of_packets_lose_nothing(
    broker: Broker, between: Callable[..., Between], subscribe: Subscribe, outbox: MemoryOutbox
) -> None:
    subscriber = subscribe(broker.port)
    door = between(broker.port)
    with Publisher(TOPICS, outbox, mqtt(door.port), status()) as publisher:
        wait_until(lambda: publisher.connected)
        for number in range(5):
            # Anywhere: in a header, in a topic, in a payload.
            door.cut_after = 300 + 37 * number
            reconnects = publisher.reconnects
            put(outbox, 40, pad=50)
            wait_until(lambda before=reconnects: publisher.reconnects > before)
        wait_until(lambda: outbox.depth() == (0, 0))
    wait_until(lambda: 200 in subscriber.sequences())
    assert without_repeats(subscriber.sequences()) == list(range(1, 201))


def test_two_clients_of_one_id_lose_nothing_and_the_log_says_where_to_look(
    broker: Broker, subscribe: Subscribe, outbox: MemoryOutbox, caplog: pytest.LogCaptureFixture
) -> None:
    subscriber = subscribe(broker.port)
    put(outbox, 50)
    with MemoryOutbox() as empty:
        twin = Publisher(TOPICS, empty, mqtt(broker.port), status())
        wait_until(lambda: twin.connected)
        with Publisher(TOPICS, outbox, mqtt(broker.port), status()):
            # Old mosquittos throw a client out without a word, newer ones with reason 0x8E.
            wait_until(lambda: re.search("(no other|another) client uses this", caplog.text))
            wait_until(lambda: 50 in subscriber.sequences(), 30)
            twin.close()
    assert without_repeats(subscriber.sequences()) == list(range(1, 51))


def test_commands_come_to_the_station_of_their_topic(
    broker: Broker, subscribe: Subscribe, outbox: MemoryOutbox
) -> None:
    subscriber = subscribe(broker.port)
    subscriber.publish(TOPICS.command, b"retained", retain=True)
    heard: list[tuple[bytes, bool]] = []
    with Publisher(TOPICS, outbox, mqtt(broker.port), status(), lambda *came: heard.append(came[:2])) as publisher:
        wait_until(lambda: heard == [(b"retained", True)])
        subscriber.publish(Topics("plant", "line1", "b").command, b"another's")
        subscriber.publish(TOPICS.command, b"x" * 100_000)
        wait_until(lambda: len(heard) == 2)
        assert heard[1] == (b"x" * 100_000, False)
        # Larger packets are the broker's to drop, and the connection outlives them.
        subscriber.publish(TOPICS.command, b"x" * 300_000)
        subscriber.publish(TOPICS.command, b"after")
        wait_until(lambda: heard[-1] == (b"after", False))
        assert publisher.reconnects == 0
        broker.stop()
        wait_until(lambda: not publisher.connected)
        broker.start()
        wait_until(lambda: publisher.connected)
        subscriber.wait_ready()
        subscriber.publish(TOPICS.command, b"again")
        wait_until(lambda: (b"again", False) in heard)


def test_a_picture_comes_before_its_reply(broker: Broker, subscribe: Subscribe, outbox: MemoryOutbox) -> None:
    subscriber = subscribe(broker.port)
    reply = Reply(boot_id="b", sequence=0, command_id=None, command=None, at=utc_now(), done=True)
    with Publisher(TOPICS, outbox, mqtt(broker.port), status()) as publisher:
        wait_until(lambda: publisher.connected)
        assert publisher.publish_image("7", b"jpeg") == TOPICS.image("7")
        publisher.reply(reply)
        wait_until(lambda: subscriber.payloads("reply"))
    picture, answer = [m for m in subscriber.messages if m.topic in (TOPICS.image("7"), TOPICS.reply)]
    assert (picture.payload, picture.qos, picture.retain, picture.properties.ContentType) == (
        b"jpeg", 0, False, "image/jpeg"
    )  # fmt: skip
    assert (answer.payload, answer.qos, answer.retain) == (reply.to_json(), 1, False)


def test_a_picture_above_the_brokers_limit_is_not_sent(
    make_broker: Callable[..., Broker], outbox: MemoryOutbox
) -> None:
    broker = make_broker(settings="allow_anonymous true\nmax_packet_size 2000")
    broker.start()
    with Publisher(TOPICS, outbox, mqtt(broker.port), status()) as publisher:
        wait_until(lambda: publisher.connected)
        assert publisher.publish_image("7", b"x" * 1999) is None
        assert publisher.publish_image("7", b"x" * 1000) is not None


def test_what_a_subscriber_missed_is_sent_again_beside_what_is_new(
    broker: Broker, between: Callable[..., Between], subscribe: Subscribe, tmp_path: Path
) -> None:
    door = between(broker.port)
    with (
        SqliteOutbox(tmp_path / "o.db") as outbox,
        Publisher(TOPICS, outbox, mqtt(door.port), status()) as publisher,
    ):
        put(outbox, 200)
        wait_until(lambda: outbox.depth() == (0, 0))
        late = subscribe(broker.port)
        assert publisher.resend(51, 150) and publisher.resend(199, 200)
        # A connection that is lost meanwhile is no reason to stop.
        door.cut_after = 2000
        put(outbox, 20)
        wait_until(lambda: set(late.sequences()) == {*range(51, 151), *range(199, 221)})
        wait_until(lambda: outbox.depth() == (0, 0))
        new = [number for number in without_repeats(late.sequences()) if number > 200]
        assert new == list(range(201, 221))
        old = [number for number in without_repeats(late.sequences()) if number <= 200]
        assert old == [*range(51, 151), 199, 200]
        assert outbox.dropped() == {"verdict": 0, "defect": 0}
