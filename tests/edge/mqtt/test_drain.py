"""Messages that a broker cannot take: found, set aside, told; and nothing else is lost for them."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from byte_broker import HANGS_UP, SILENT, TAKES, ByteBroker, Publish
from mosquitto import Between, Broker, wait_until
from sparkplug_parts import put_parts
from station_parts import TOPICS, Subscribe, health, mqtt, put, status

from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.replies import Reply
from edge_inspect.edge.mqtt.publisher import Publisher
from edge_inspect.edge.outbox.memory import MemoryOutbox

PATIENCE = 30.0
IMPLEMENTATION_ERROR, NOT_AUTHORIZED, QUOTA_EXCEEDED, PAYLOAD_INVALID = 0x83, 0x87, 0x97, 0x99


def reply(reason: str | None = None) -> Reply:
    return Reply(boot_id="b", sequence=0, command_id=None, command=None, at=utc_now(), done=True, reason=reason)


def parts(broker: ByteBroker) -> list[int]:
    """The numbers of the verdicts that the broker has got, without repeats."""
    import json

    found = [json.loads(each.payload)["sequence"] for each in list(broker.published) if each.topic == TOPICS.verdict]
    return list(dict.fromkeys(found))


@pytest.fixture
def old(make_broker: Callable[..., Broker]) -> Iterator[Callable[[str], tuple[Broker, Between]]]:
    """Makes mosquittos that are spoken to in 3.1.1, in which no limit is announced."""
    doors: list[Between] = []

    def make(settings: str) -> tuple[Broker, Between]:
        broker = make_broker(settings=f"allow_anonymous true\n{settings}")
        broker.start()
        doors.append(Between(broker.port, refuse_5=True))
        return broker, doors[-1]

    yield make
    for door in doors:
        door.close()


@pytest.mark.parametrize(
    ("count", "bad"), [(1, {1}), (12, {5}), (40, {1, 2, 3, 20, 40})], ids=["alone", "in a window", "several in a row"]
)
def test_messages_that_the_broker_hangs_up_on_do_not_block_the_others(
    outbox: MemoryOutbox, caplog: pytest.LogCaptureFixture, count: int, bad: set[int]
) -> None:
    poison = {f'{{"sequence":{number},"pad":""}}'.encode() for number in bad}
    told: list[str] = []
    put(outbox, count)
    with (
        ByteBroker(on_publish=lambda each: HANGS_UP if each.payload in poison else TAKES) as broker,
        Publisher(TOPICS, outbox, mqtt(broker.port), status(), on_set_aside=told.append) as publisher,
    ):
        # With one message alone nobody knows whether the broker takes any.
        wait_until(lambda: len(broker.connects) > 3 or not outbox.depth().entries, PATIENCE)
        put(outbox, 1)
        wait_until(lambda: not outbox.depth().entries, PATIENCE)
        assert publisher.set_aside == len(bad)
    taken = set(parts(broker)) - bad
    assert taken == set(range(1, count + 2)) - bad
    assert outbox.dropped()["verdict"] == len(bad)
    for number in bad:
        assert f"sequence {number}: a verdict of" in caplog.text
        assert any(f"sequence {number}: " in sentence for sentence in told)


@pytest.mark.parametrize("code", [IMPLEMENTATION_ERROR, PAYLOAD_INVALID, 0x80])
def test_a_message_that_is_answered_with_an_error_is_set_aside(
    outbox: MemoryOutbox, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    put(outbox, 10)
    with (
        ByteBroker(on_publish=lambda each: code if b'"sequence":4,' in each.payload else TAKES) as broker,
        Publisher(TOPICS, outbox, mqtt(broker.port), status()),
    ):
        wait_until(lambda: not outbox.depth().entries, PATIENCE)
    assert set(range(1, 11)) - {4} <= set(parts(broker))
    assert outbox.dropped()["verdict"] == 1
    assert f"(0x{code:02x})" in caplog.text and "sequence 4: a verdict of" in caplog.text


def test_a_broker_that_takes_no_part_loses_none(outbox: MemoryOutbox) -> None:
    """It takes the status: an access list that lacks the topic, in a broker that hangs up for that."""
    wrong = True

    def answer(each: Publish) -> int | bytes:
        return HANGS_UP if wrong and each.topic == TOPICS.verdict else TAKES

    put(outbox, 3)
    with (
        ByteBroker(on_publish=answer) as broker,
        Publisher(TOPICS, outbox, mqtt(broker.port, backoff_cap_s=0.05), status()) as publisher,
    ):
        wait_until(lambda: len(broker.connects) > 12, PATIENCE)
        wrong = False
        wait_until(lambda: not outbox.depth().entries, PATIENCE)
        assert publisher.set_aside == 0
    assert set(parts(broker)) == set(range(1, 4)) and outbox.dropped()["verdict"] == 0


def test_a_silent_broker_loses_nothing(outbox: MemoryOutbox) -> None:
    silent = True
    put(outbox, 8)
    with ByteBroker(on_publish=lambda each: SILENT if silent else TAKES) as broker:
        settings = mqtt(broker.port, acknowledge_timeout_s=0.2, backoff_cap_s=0.05)
        with Publisher(TOPICS, outbox, settings, status()):
            wait_until(lambda: len(broker.connects) > 8, PATIENCE)
            silent = False
            wait_until(lambda: not outbox.depth().entries, PATIENCE)
    assert outbox.dropped()["verdict"] == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_bad_network_loses_nothing(outbox: MemoryOutbox, seed: int) -> None:
    """Connections that end at any time, mostly before much has passed."""
    chance = random.Random(seed)
    over = threading.Event()
    with (
        ByteBroker(on_publish=lambda each: TAKES if over.is_set() or chance.random() > 0.1 else HANGS_UP) as broker,
        Publisher(TOPICS, outbox, mqtt(broker.port, backoff_cap_s=0.05), status()) as publisher,
    ):
        put(outbox, 40)
        end = time.monotonic() + 6
        while time.monotonic() < end and outbox.depth().entries:
            time.sleep(0.05)
        over.set()
        wait_until(lambda: not outbox.depth().entries, PATIENCE)
        assert publisher.set_aside == 0
    assert set(parts(broker)) == set(range(1, 41)) and outbox.dropped()["verdict"] == 0


def test_other_clients_of_the_same_id_lose_nothing(broker: Broker, subscribe: Subscribe, outbox: MemoryOutbox) -> None:
    subscriber = subscribe(broker.port)
    put(outbox, 100)
    settings = mqtt(broker.port, client_id="twin", backoff_cap_s=0.05)
    with MemoryOutbox() as empty, MemoryOutbox() as other:
        twins = [Publisher(TOPICS, each, settings, status()) for each in (empty, other)]
        with Publisher(TOPICS, outbox, settings, status()) as publisher:
            wait_until(lambda: publisher.reconnects >= 10, PATIENCE)
            for twin in twins:
                twin.close()
            wait_until(lambda: set(subscriber.sequences()) >= set(range(1, 101)), PATIENCE)
            assert publisher.set_aside == 0
    assert outbox.dropped()["verdict"] == 0


def test_a_topic_that_may_not_be_written_does_not_block_the_others(
    make_broker: Callable[..., Broker], outbox: MemoryOutbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake in an access list: the defects wait until it is mended."""
    refuse = {TOPICS.defect}
    put_parts(outbox, 12, rejected=3)
    with (
        ByteBroker(on_publish=lambda each: NOT_AUTHORIZED if each.topic in refuse else TAKES) as broker,
        Publisher(TOPICS, outbox, mqtt(broker.port), status()) as publisher,
    ):
        wait_until(lambda: len(parts(broker)) == 12 and outbox.depth().entries == 4, PATIENCE)
        wait_until(lambda: publisher.reconnects >= 2, PATIENCE)
        assert outbox.depth().entries == 4 and outbox.dropped()["defect"] == 0
        refuse.clear()
        wait_until(lambda: not outbox.depth().entries, PATIENCE)
    # It is logged at most once a minute, whatever the number of refusals; a busy machine takes more than one.
    assert 1 <= caplog.text.count(f"the broker refuses {TOPICS.defect}: Not authorized (0x87); check") <= 3


def test_a_real_access_list_does_not_block_what_it_allows(
    make_broker: Callable[..., Broker], outbox: MemoryOutbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rights = tmp_path / "acl"
    rights.write_text(f"topic write {TOPICS.verdict}\ntopic read {TOPICS.prefix}/#\n")
    broker = make_broker(settings=f"allow_anonymous true\nacl_file {rights}")
    broker.start()
    put_parts(outbox, 6, rejected=2)
    with Publisher(TOPICS, outbox, mqtt(broker.port), status()):
        wait_until(lambda: outbox.depth().entries == 3, PATIENCE)
    assert f"the broker refuses {TOPICS.status}" in caplog.text and outbox.dropped() == {"verdict": 0, "defect": 0}


def test_an_exceeded_quota_is_waited_for(outbox: MemoryOutbox) -> None:
    exceeded = True
    put(outbox, 5)

    def answer(each: Publish) -> int:
        return QUOTA_EXCEEDED if exceeded and each.topic == TOPICS.verdict else TAKES

    with (
        ByteBroker(on_publish=answer) as broker,
        Publisher(TOPICS, outbox, mqtt(broker.port, backoff_cap_s=0.05), status()),
    ):
        wait_until(lambda: len(broker.connects) > 10, PATIENCE)
        exceeded = False
        wait_until(lambda: not outbox.depth().entries, PATIENCE)
    assert outbox.dropped()["verdict"] == 0


def test_an_unannounced_limit_for_packets_of_a_real_broker(
    old: Callable[[str], tuple[Broker, Between]], subscribe: Subscribe, outbox: MemoryOutbox
) -> None:
    """Health is above it as well, and so is one part in five."""
    broker, door = old("max_packet_size 600")
    subscriber = subscribe(broker.port)
    good = [number for number in range(1, 31) if number % 5]
    with Publisher(TOPICS, outbox, mqtt(door.port), status()) as publisher:
        for number in range(1, 31):
            put(outbox, 1, pad=0 if number % 5 else 1000)
            if number % 10 == 0:
                publisher.publish_health(health())
        wait_until(lambda: not outbox.depth().entries, PATIENCE)
        wait_until(lambda: set(subscriber.sequences()) == set(good), PATIENCE)
    assert outbox.dropped()["verdict"] == 6


def test_health_does_not_hold_up_parts_while_a_message_is_suspected(outbox: MemoryOutbox) -> None:
    over = threading.Event()

    def say_health(publisher: Publisher) -> None:
        while not over.wait(0.1):
            publisher.publish_health(health())

    put(outbox, 5)
    with (
        ByteBroker(on_publish=lambda each: HANGS_UP if b'"sequence":2,' in each.payload else TAKES) as broker,
        Publisher(TOPICS, outbox, mqtt(broker.port, backoff_cap_s=0.1), status()) as publisher,
    ):
        teller = threading.Thread(target=say_health, args=(publisher,))
        teller.start()
        try:
            wait_until(lambda: not outbox.depth().entries, PATIENCE)
        finally:
            over.set()
            teller.join()
    assert set(parts(broker)) >= {1, 3, 4, 5}
    assert outbox.dropped()["verdict"] == 1


@pytest.mark.parametrize("schema", ["health", "reply", "image", "status"])
def test_what_is_no_part_may_be_the_message(
    outbox: MemoryOutbox, schema: str, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(each: Publish) -> int | bytes:
        of = each.topic.removeprefix(TOPICS.prefix + "/").split("/")[0]
        return HANGS_UP if of == schema and b"too much" in each.payload else TAKES

    with (
        ByteBroker(on_publish=answer) as broker,
        Publisher(TOPICS, outbox, mqtt(broker.port, backoff_cap_s=0.1), status()) as publisher,
    ):
        wait_until(lambda: publisher.connected, PATIENCE)

        def say() -> None:
            if schema == "health":
                publisher.publish_health(health().model_copy(update={"engine": "too much"}))
            elif schema == "reply":
                publisher.reply(reply("too much"))
            elif schema == "image":
                publisher.publish_image("7", b"too much")
            else:
                publisher.set_status(status().model_copy(update={"reason": "too much"}))

        say()
        deadline = time.monotonic() + PATIENCE
        while not publisher.set_aside and time.monotonic() < deadline:
            put(outbox, 1)
            time.sleep(0.3)
            if schema == "health" and publisher.connected:
                say()
        assert publisher.set_aside == 1
        put(outbox, 1)
        wait_until(lambda: not outbox.depth().entries, PATIENCE)
        assert outbox.dropped()["verdict"] == 0
        if schema == "status":
            # It is said without the reason.
            wait_until(lambda: [each for each in broker.published if each.topic == TOPICS.status][-1], PATIENCE)
            assert b"too much" not in [each.payload for each in broker.published if each.topic == TOPICS.status][-1]


def test_parts_sent_again_may_hold_the_message(outbox: MemoryOutbox) -> None:
    strict = False

    def answer(each: Publish) -> int | bytes:
        return HANGS_UP if strict and b'"sequence":3,' in each.payload else TAKES

    with (
        ByteBroker(on_publish=answer) as broker,
        Publisher(TOPICS, outbox, mqtt(broker.port, backoff_cap_s=0.1), status()) as publisher,
    ):
        put(outbox, 6)
        wait_until(lambda: not outbox.depth().entries, PATIENCE)
        strict = True
        before = len(broker.published)
        assert publisher.resend(1, 6)
        wait_until(lambda: publisher.set_aside == 1, PATIENCE)
        put(outbox, 1)
        wait_until(lambda: not outbox.depth().entries, PATIENCE)
        wait_until(lambda: b'"sequence":6,' in b"".join(each.payload for each in broker.published[before:]), PATIENCE)


def test_sparkplug_sets_aside_too(outbox: MemoryOutbox) -> None:
    with ByteBroker(on_publish=lambda each: HANGS_UP if b"too much" in each.payload else TAKES) as broker:
        settings = mqtt(broker.port, encoding="sparkplug_b", backoff_cap_s=0.1)
        with Publisher(TOPICS, outbox, settings, status()) as publisher:
            wait_until(lambda: publisher.connected, PATIENCE)
            publisher.reply(reply("too much"))
            deadline = time.monotonic() + PATIENCE
            while not publisher.set_aside and time.monotonic() < deadline:
                put_parts(outbox, 1)
                time.sleep(0.3)
            assert publisher.set_aside == 1
            wait_until(lambda: not outbox.depth().entries, PATIENCE)
