"""The shipped configurations of brokers work: verdicts cross an outage of the uplink, and commands come down."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from bridge_parts import Line
from broker_files import Archive, Central, StationBroker, secret
from mosquitto import Subscriber, wait_until
from station_parts import mqtt
from uplink import Uplink

from edge_inspect.edge.contract.commands import Resend
from edge_inspect.edge.contract.ids import uuid7_of_now
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.outbox.memory import MemoryOutbox
from edge_inspect.edge.requester import Requester

PATIENCE = 60
HERE, THERE = Topics("plant1", "line1", "a"), Topics("berlin", "line1", "a")
"""The station's topics at its own broker, and at the central one."""


@contextlib.contextmanager
def producing(line: Line) -> Iterator[None]:
    """Puts 50 parts a second; every tenth is rejected."""
    ended = threading.Event()

    def put() -> None:
        while not ended.wait(0.02):
            line.put(1, bad=10)

    thread = threading.Thread(target=put)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.fixture
def central(tmp_path: Path) -> Iterator[Central]:
    broker = Central(tmp_path / "central")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def uplink(central: Central) -> Iterator[Uplink]:
    with Uplink(central.port) as proxy:
        yield proxy


@pytest.fixture
def local(tmp_path: Path, uplink: Uplink) -> Iterator[StationBroker]:
    broker = StationBroker(tmp_path / "station", uplink.port)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def archive(tmp_path: Path, central: Central) -> Iterator[Archive]:
    with Archive(tmp_path, central.port) as running:
        yield running


def test_an_outage_of_the_uplink_loses_nothing_and_no_message_returns(
    tmp_path: Path, central: Central, uplink: Uplink, local: StationBroker, archive: Archive
) -> None:
    outbox = MemoryOutbox()
    with contextlib.ExitStack() as stack:
        here = stack.enter_context(contextlib.closing(Subscriber(local.port)))
        page = {"username": "page", "password": "page"}
        there = stack.enter_context(contextlib.closing(Subscriber(central.port, "edge-inspect/#", **page)))
        line = Line(local.port, outbox, HERE)
        stack.enter_context(line.publisher)
        with producing(line):
            wait_until(there.sequences, PATIENCE, "the first verdict is at the centre")
            uplink.go_silent()
            silent_since = outbox.sequence("a")
            wait_until(lambda: outbox.sequence("a") > silent_since + 50, PATIENCE)
            uplink.cut()
            # What waits is there again after a restart of the station's broker.
            local.stop()
            local.start()
            wait_until(lambda: outbox.sequence("a") > silent_since + 100, PATIENCE)
            assert max(there.sequences()) < silent_since + 50
            uplink.start()
        last = outbox.sequence("a")
        line.health()
        all_there = f"berlin/line1/a  parts 1 to {last}: {last} verdicts, 0 missing\n"
        wait_until(lambda: archive.check().stdout == all_there, PATIENCE, all_there)
        assert archive.check().returncode == 0

        again = Resend(id=uuid7_of_now(), command="resend", from_sequence=3, to_sequence=4)
        settings = mqtt(central.port, username="page", password_file=secret(tmp_path, "page"))
        assert Requester(settings, THERE, again).ask(PATIENCE).done

        wait_until(lambda: there.payloads("reply"), PATIENCE)
        # No topic of one side appears on the other, and no message came twice by a loop. The bridge may repeat those
        # that were on their way when the uplink was cut.
        assert {message.topic.split("/")[2] for message in here.messages} == {"plant1"}
        assert {message.topic.split("/")[2] for message in there.messages} == {"berlin"}
        commands = [message for message in here.messages if message.topic == HERE.command]
        assert len(commands) == 1 and len(there.payloads("reply")) == 1
        times = collections.Counter(there.sequences())
        assert max(times.values()) <= 3, "the verdict, its repeat after the outage, and its repeat by resend"

        # Whoever comes later sees the station by its retained messages, as `edge-inspect fleet list` does.
        late = stack.enter_context(contextlib.closing(Subscriber(central.port, "edge-inspect/#", **page)))
        wait_until(lambda: len(late.messages) == 2, PATIENCE)
        assert {message.topic for message in late.messages if message.retain} == {THERE.status, THERE.health}
