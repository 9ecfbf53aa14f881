"""The feed between a real broker and a list."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bridge_parts import verdict
from label_parts import label
from mosquitto import Broker, wait_until
from page_parts import PATIENCE, Publisher, Station, jpeg, png
from station_parts import mqtt, status

from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.labels.store import LabelStore
from edge_inspect.edge.mqtt import loop_feed
from edge_inspect.edge.page import feed as feed_module
from edge_inspect.edge.page.feed import Feed, topics
from edge_inspect.edge.page.label_publisher import LabelPublisher
from edge_inspect.edge.page.line_view import Received
from edge_inspect.edge.page.settings import PageSettings

KEY = "plant/line1/a"
ROOT = "edge-inspect/v1"


class Followed:
    """A feed with an event loop in a thread, and what has come."""

    def __init__(self, broker: Broker, folder: Path, **settings: Any) -> None:
        self.received: list[Received] = []
        self.batches: list[int] = []
        self.connected: list[bool] = []
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.store = LabelStore(folder / "labels")
        self.labels = LabelPublisher(self.store)
        chosen = PageSettings(**{"mqtt": mqtt(broker.port), **settings})
        self.feed = Feed(chosen, self.loop, self._take, self.connected.append, self.labels)
        self.wait(lambda: True in self.connected)

    def _take(self, received: list[Received]) -> None:
        self.received += received
        self.batches.append(len(received))

    def wait(self, condition: Callable[[], Any], what: str = "") -> None:
        wait_until(condition, PATIENCE, what)

    def sequences(self) -> list[int]:
        return [each.message.sequence for each in self.received if not isinstance(each.message, bytes)]

    def close(self) -> None:
        if self.loop.is_closed():
            return
        self.feed.close(PATIENCE)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE)
        self.loop.close()
        self.store.close()


Follow = Callable[..., Followed]


@pytest.fixture
def follow(broker: Broker, tmp_path: Path) -> Iterator[Follow]:
    made: list[Followed] = []

    def start(**settings: Any) -> Followed:
        made.append(Followed(broker, tmp_path, **settings))
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_messages_come_in_order_with_their_station(follow: Follow, publisher: Publisher) -> None:
    a, b = Station(publisher), Station(publisher, "other plant/line 2/ü")
    a.begin()
    followed = follow()
    a.inspect(3)
    b.inspect(2, ok=False)
    followed.wait(lambda: len(followed.received) == 2 + 3 + 4)
    assert [each.retained for each in followed.received] == [True, True] + [False] * 7
    assert [each.message.sequence for each in followed.received if each.station == b.key] == [1, 1, 2, 2]  # type: ignore[union-attr]


def test_pictures_and_maps_come_as_bytes(follow: Follow, publisher: Publisher, station: Station) -> None:
    followed = follow()
    identity, large = uuid7(), jpeg(3000, 2000) + bytes(3_000_000)
    station.show(identity, large, png())
    followed.wait(lambda: len(followed.received) == 4)
    assert [(each.picture, each.message) for each in followed.received[2:]] == [
        ((KEY, identity, "picture"), large),
        ((KEY, identity, "map"), png()),
    ]


def test_what_others_publish_on_these_topics_does_no_harm(
    follow: Follow, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    followed = follow(stations=["+/+/+"])
    station, identity = Station(publisher), uuid7()
    for topic, payload in {
        "plant/line1/a/verdict": b"\x00\x01",
        "plant/line1/a/status": b"",
        "plant/line1/a/health": b"{}",
        "plant/line1/a/defect": status().to_json(),
        "../../etc/verdict": verdict(1).to_json(),
        ". /line1/a/verdict": verdict(1).to_json(),
        " blank/line1/a/verdict": verdict(1).to_json(),
        "plant/line1//verdict": verdict(1).to_json(),
        f"plant/line1/{'x' * 65}/verdict": verdict(1).to_json(),
        "plant/line1/new\u202eline/verdict": verdict(1).to_json(),
        f"plant/line1/a/image/{identity}": b"<svg onload='alert(1)'/>",
        f"plant/line1/a/map/{identity}": jpeg(),
        "plant/line1/a/image/..": jpeg(),
        "plant/line1/a/image/%2e%2e": jpeg(),
        "plant/line1/a/other": b"{}",
        "plant/line1/a/verdict/more": verdict(1).to_json(),
    }.items():
        publisher.send(f"{ROOT}/{topic}", payload)
    station.inspect(1)
    followed.wait(lambda: followed.received)
    assert followed.sequences() == [1] and len(followed.received) == 1
    assert "plant/line1/a/verdict: a message cannot be read and is skipped" in caplog.text
    assert "a station with an impossible name is not shown" in caplog.text and "\u202e" not in caplog.text
    assert followed.connected == [True]


def test_a_bug_costs_only_the_message_that_it_came_with(
    follow: Follow, station: Station, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read = feed_module.read_message

    def fails_at_2(kind: str, payload: bytes) -> Any:
        message = read(kind, payload)
        if message.sequence == 2:
            raise ZeroDivisionError
        return message

    followed = follow()
    monkeypatch.setattr(feed_module, "read_message", fails_at_2)
    station.inspect(3)
    followed.wait(lambda: 3 in followed.sequences())
    assert [number for number in followed.sequences() if number] == [1, 3] and followed.connected == [True]
    assert "is skipped because of an error of the page" in caplog.text and "ZeroDivisionError" in caplog.text


def test_only_the_stations_of_the_configuration_come(follow: Follow, publisher: Publisher) -> None:
    followed = follow(stations=["plant/+/a", "plant/line2/b"])
    for key in ("plant/line1/b", "plant/line2/b", "plant/line9/a", "other/line1/a"):
        Station(publisher, key).inspect()
    followed.wait(lambda: len(followed.received) == 2)
    assert [each.station for each in followed.received] == ["plant/line2/b", "plant/line9/a"]


def test_a_station_that_is_no_longer_configured_does_not_come_from_the_kept_session(
    follow: Follow, publisher: Publisher
) -> None:
    follow(stations=["plant/line1/a", "plant/line1/b"]).close()
    Station(publisher, "plant/line1/b").inspect()
    followed = follow(stations=["plant/line1/a"])
    Station(publisher).inspect()
    followed.wait(lambda: followed.received)
    assert [each.station for each in followed.received] == [KEY]


def test_the_broker_keeps_verdicts_while_nobody_is_connected(follow: Follow, station: Station) -> None:
    first = follow()
    station.inspect(2)
    first.wait(lambda: len(first.received) == 4)
    first.close()
    station.inspect(30)
    again = follow()
    again.wait(lambda: len([each for each in again.received if not each.retained]) == 30)
    assert [number for number in again.sequences() if number] == list(range(3, 33))


def test_a_broker_that_restarts_is_found_again(follow: Follow, broker: Broker) -> None:
    followed = follow()
    broker.stop()
    followed.wait(lambda: followed.connected[-1] is False)
    broker.start()
    followed.wait(lambda: followed.connected[-1])
    publisher = Publisher(broker.port)
    Station(publisher).inspect()
    publisher.close()
    followed.wait(lambda: followed.received)


def test_a_page_that_is_behind_lets_the_broker_wait(
    follow: Follow, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_feed, "MOST_WAITING", 5)
    followed = follow()
    held, release = threading.Event(), threading.Event()
    followed.loop.call_soon_threadsafe(lambda: (held.set(), release.wait(PATIENCE)))
    assert held.wait(PATIENCE)
    station.inspect(50)
    release.set()
    followed.wait(lambda: len(followed.received) == 52)
    assert max(followed.batches) <= 5
    assert [number for number in followed.sequences() if number] == list(range(1, 51))


def test_labels_are_published_once_even_over_a_restart_of_the_broker(
    follow: Follow, broker: Broker, subscribe: Callable[..., Any]
) -> None:
    subscriber = subscribe(broker.port)
    followed = follow()
    followed.store.add(label(), jpeg())
    followed.labels.wake()
    followed.wait(lambda: subscriber.payloads("label"))
    followed.wait(lambda: not followed.store.unpublished())
    broker.stop()
    followed.store.add(label(word="good"), jpeg())
    followed.labels.wake()
    broker.start()
    followed.wait(lambda: not followed.store.unpublished())
    followed.wait(lambda: len(subscriber.payloads("label")) == 2)
    assert [each["word"] for each in subscriber.payloads("label")][-1] == "good"
    assert len({each["id"] for each in subscriber.payloads("label")}) == 2


def test_labels_that_the_broker_refuses_do_not_keep_others_back(
    make_broker: Callable[..., Broker], tmp_path: Path
) -> None:
    rights = tmp_path / "acl"
    rights.write_text(f"topic read #\ntopic write {ROOT}/plant1/line1/open/label\n")
    broker = make_broker(settings=f"allow_anonymous true\nacl_file {rights}")
    broker.start()
    followed = Followed(broker, tmp_path, mqtt=mqtt(broker.port, window=2))
    try:
        refused = [followed.store.add(label(), jpeg()).id for _ in range(5)]
        followed.store.add(label(station="open"), jpeg())
        followed.labels.wake()
        followed.wait(lambda: len(followed.store.unpublished()) == 5)
        assert [each.id for each in followed.store.unpublished()] == refused
    finally:
        followed.close()


def test_the_topics_are_those_of_the_contract() -> None:
    said = topics(PageSettings(stations=["plant/line1/+"]))
    assert said == [
        *(f"{ROOT}/plant/line1/+/{kind}" for kind in ("verdict", "defect", "status", "health")),
        f"{ROOT}/plant/line1/+/image/+",
        f"{ROOT}/plant/line1/+/map/+",
    ]
