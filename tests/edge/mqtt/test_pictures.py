"""Pictures of parts at a real broker: what arrives, that it lies in register, and what is dropped."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tiny_bundle
from box_parts import make_box, make_settings
from mosquitto import Between, Broker, Subscriber, wait_until
from moved_parts import FLANGE, Part, flanges
from numpy.typing import NDArray
from picture_parts import arrived, bundle_of, centre, verdict
from station_parts import TOPICS, Subscribe, mqtt

from edge_inspect.edge.configuration.picture_settings import PictureSettings
from edge_inspect.edge.contract.health import PublishedPictures
from edge_inspect.edge.contract.messages import Verdict
from edge_inspect.edge.engine_loop import EngineLoop
from edge_inspect.edge.engines import AnomalyMap
from edge_inspect.edge.engines.openvino import OpenVinoEngine
from edge_inspect.edge.frame.alignment import Alignment
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame, read_image, write_image
from edge_inspect.edge.mqtt.pictures import PicturePublisher
from edge_inspect.edge.outbox.memory import MemoryOutbox
from edge_inspect.edge.station.station import Station

PATIENCE = 60.0
FITS: dict[str, dict[str, Any]] = {
    "crop": {"mode": "crop"},
    "stretch": {"mode": "stretch"},
    "pad": {"mode": "pad"},
    "tile": {"mode": "tile", "tiles": [4, 3], "overlap": 8},
}
MOVED = Part((40.0, -25.0), 12.0)
Open = Callable[..., PicturePublisher]


@pytest.fixture
def publish() -> Iterator[Open]:
    """Opens publishers of pictures; with `connected` they are connected to the broker when they are returned."""
    made: list[PicturePublisher] = []

    def make(port: int, *, connected: bool = True, protocol: str = "auto", **settings: Any) -> PicturePublisher:
        chosen = PictureSettings(**{"per_second": 100, "share": 0, **settings})
        made.append(PicturePublisher(TOPICS, mqtt(port, protocol=protocol), chosen))
        if connected:
            wait_until(lambda: made[-1].connected, PATIENCE, "the pictures' connection")
        return made[-1]

    yield make
    for one in made:
        one.close(20)


def noise(size: tuple[int, int] = (640, 480), seed: int = 0) -> Frame:
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)


def plain_map(frame: Frame, value: float = 0.9) -> AnomalyMap:
    return AnomalyMap(np.full((32, 32), value, np.float32), Fit(32, 32).apply(frame)[1], value)


def offer(publisher: PicturePublisher, frame: Frame, score: float = 0.9) -> Verdict | None:
    """Offer a part; return its verdict if it is taken."""
    said = verdict(score, (frame.shape[1], frame.shape[0]))
    return said if publisher.offer(said, frame, plain_map(frame)) else None


def spotted(frame: Frame, at: tuple[float, float]) -> Frame:
    drawn = frame // 3
    cv2.circle(drawn, (round(at[0]), round(at[1])), 30, (255, 255, 255), -1)
    return np.asarray(drawn, np.uint8)


def in_register(
    publisher: PicturePublisher, subscriber: Subscriber, engine: OpenVinoEngine, frame: Frame
) -> tuple[NDArray[Any], NDArray[Any], AnomalyMap]:
    """Publish a frame; return the picture and the map that arrive, and the engine's map."""
    anomaly = engine.infer(frame)
    said = verdict(anomaly.score, (640, 480), threshold=anomaly.score / 1.5)
    assert publisher.offer(said, frame, anomaly)
    wait_until(lambda: said.id in arrived(subscriber, "map"), PATIENCE)
    picture, map_ = arrived(subscriber, "image")[said.id], arrived(subscriber, "map")[said.id]
    assert picture.shape == (480, 640, 3) and map_.shape == (240, 320) and map_.dtype == np.uint8
    return picture, map_, anomaly


@pytest.mark.parametrize("fit", FITS)
def test_picture_and_map_lie_in_register(
    broker: Broker, subscriber: Subscriber, publish: Open, tmp_path: Path, fit: str
) -> None:
    publisher, engine = publish(broker.port), OpenVinoEngine(bundle_of(tmp_path / fit, **FITS[fit]), "fp32")
    for spot in ((200, 150), (450, 330), (260, 380)):
        picture, map_, anomaly = in_register(publisher, subscriber, engine, spotted(noise(), spot))
        place = anomaly.placement
        seen = centre(cv2.blur(picture[..., 0], (31, 31)), (640, 480))
        assert seen == pytest.approx(spot, abs=8)
        x, y = centre(map_, (640, 480))
        # The network sees steps of four pixels of the canvas, and is half a step off.
        assert abs(x - seen[0]) <= 2 * place.scale_x and abs(y - seen[1]) <= 2 * place.scale_y
        assert map_.max() > 128, "the part is above its threshold"


def test_the_map_of_an_aligned_part_lies_where_the_camera_sees_it(
    broker: Broker, subscriber: Subscriber, publish: Open, tmp_path: Path
) -> None:
    alignment = Alignment("rigid", np.asarray(flanges(1) // 3, np.uint8), FLANGE)
    engine = OpenVinoEngine(bundle_of(tmp_path / "aligned", alignment, region=list(FLANGE)), "fp32")
    publisher = publish(broker.port)
    for part, spot in ((MOVED, (330, 150)), (MOVED, (420, 260)), (Part((-50, 30), -15), (250, 330))):
        picture, map_, anomaly = in_register(publisher, subscriber, engine, spotted(flanges(5, [part]), spot))
        pose = anomaly.placement.pose
        assert pose is not None and pose.found and abs(pose.angle) > 10
        seen = centre(cv2.blur(picture[..., 0], (31, 31)), (640, 480))
        assert seen == pytest.approx(spot, abs=8)
        assert centre(map_, (640, 480)) == pytest.approx(seen, abs=2 * anomaly.placement.scale_x)
        assert not map_[:20].any(), "nothing is looked at there"


def test_pictures_are_neither_retained_nor_sent_with_more_than_qos_0(
    broker: Broker, subscriber: Subscriber, publish: Open, subscribe: Subscribe
) -> None:
    publisher = publish(broker.port)
    said = offer(publisher, noise())
    assert said is not None
    wait_until(lambda: len(subscriber.messages) == 2, PATIENCE)
    image, map_ = subscriber.messages
    assert (image.topic, map_.topic) == (TOPICS.image(said.id), TOPICS.map(said.id))
    assert {message.qos for message in subscriber.messages} == {0}
    assert image.properties.ContentType == "image/jpeg" and map_.properties.ContentType == "image/png"
    late = subscribe(broker.port)
    offer(publisher, noise(seed=1))
    wait_until(lambda: len(late.messages) >= 2, PATIENCE)
    assert said.id not in arrived(late, "image")
    wait_until(lambda: publisher.health().published == 2, PATIENCE)
    assert publisher.health().dropped == 0


def test_parts_that_come_at_once_are_all_published(broker: Broker, subscriber: Subscriber, publish: Open) -> None:
    publisher = publish(broker.port)
    taken = [offer(publisher, noise((64, 48), seed)) for seed in range(4)]
    assert None not in taken, "four may wait"
    wait_until(lambda: len(arrived(subscriber, "map")) == 4, PATIENCE)
    assert list(arrived(subscriber, "image")) == [each.id for each in taken if each is not None]


def test_good_parts_beside_the_share_are_not_taken(broker: Broker, publish: Open) -> None:
    publisher = publish(broker.port)
    assert offer(publisher, noise(), score=0.2) is None
    assert publisher.health().dropped == 0, "it was not due"


def test_more_than_per_second_are_dropped_and_counted(broker: Broker, subscriber: Subscriber, publish: Open) -> None:
    publisher = publish(broker.port, per_second=0.01)
    taken = [offer(publisher, noise((64, 48), seed)) for seed in range(10)]
    assert [each is not None for each in taken] == [True] + [False] * 9
    wait_until(lambda: publisher.health().published == 1, PATIENCE)
    assert publisher.health().dropped == 9
    wait_until(lambda: len(arrived(subscriber, "map")) == 1, PATIENCE)
    assert len(arrived(subscriber, "image")) == 1


def test_without_a_connection_pictures_are_dropped_and_later_ones_arrive(
    broker: Broker, subscriber: Subscriber, publish: Open
) -> None:
    publisher = publish(broker.port)
    broker.stop()
    wait_until(lambda: not publisher.connected, PATIENCE)
    assert [offer(publisher, noise(seed=seed)) for seed in range(5)] == [None] * 5
    assert publisher.health().dropped == 5
    broker.start()
    wait_until(lambda: publisher.connected, PATIENCE)
    subscriber.wait_ready()
    said = offer(publisher, noise())
    assert said is not None
    wait_until(lambda: said.id in arrived(subscriber, "map"), PATIENCE)
    assert list(arrived(subscriber, "image")) == [said.id], "the dropped ones do not come later"


def test_a_broker_that_was_never_there_costs_the_pictures_only(publish: Open) -> None:
    publisher = publish(1, connected=False)
    assert offer(publisher, noise()) is None
    assert publisher.health().dropped == 1


def test_on_a_slow_connection_most_pictures_are_dropped(broker: Broker, publish: Open) -> None:
    door = Between(broker.port)
    try:
        publisher = publish(door.port)
        door.slow_s = 0.2  # for each 4 kB
        taken = [offer(publisher, noise((1600, 1200), seed % 3)) for seed in range(30)]
        held = [each for each in taken if each is not None]
        health = publisher.health()
        assert 1 <= len(held) < 30 and health.dropped == 30 - len(held)
        assert len(held) - health.published <= 5, "four wait, and one is being sent"
        publisher.close(20)
        health = publisher.health()
        assert health.published + health.dropped == 30, "each of them is counted"
    finally:
        door.close()


def test_pictures_above_the_packet_limit_are_dropped_and_smaller_ones_are_not(
    make_broker: Callable[..., Broker], subscribe: Subscribe, publish: Open, caplog: pytest.LogCaptureFixture
) -> None:
    broker = make_broker(settings="allow_anonymous true\nmax_packet_size 30000")
    broker.start()
    subscriber, publisher = subscribe(broker.port), publish(broker.port)
    for seed in range(3):
        assert offer(publisher, noise(seed=seed)) is not None
        wait_until(lambda number=seed + 1: publisher.health().dropped == number, PATIENCE)
    said = offer(publisher, np.full((480, 640, 3), 90, np.uint8))
    assert said is not None
    wait_until(lambda: said.id in arrived(subscriber, "map"), PATIENCE)
    assert list(arrived(subscriber, "image")) == [said.id]
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1 and "the broker's packet limit is 30000 bytes; raise its limit" in errors[0]


def test_a_broker_that_hangs_up_at_pictures_gets_none_for_a_while(
    make_broker: Callable[..., Broker], publish: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """With MQTT 3.1.1 a broker cannot announce its limit."""
    broker = make_broker(settings="allow_anonymous true\nmax_packet_size 30000")
    broker.start()
    publisher = publish(broker.port, protocol="3.1.1")
    frame = noise()

    def given_up() -> bool:
        if publisher.connected:
            offer(publisher, frame)
        return "ended at a picture; none is published for 60 minutes" in caplog.text

    wait_until(given_up, PATIENCE)
    wait_until(lambda: publisher.connected, PATIENCE)
    assert offer(publisher, np.zeros((48, 64, 3), np.uint8)) is None
    assert publisher.connected


def test_a_frame_that_jpeg_cannot_hold_costs_its_picture_only(
    broker: Broker, subscriber: Subscriber, publish: Open, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = publish(broker.port)
    assert offer(publisher, np.zeros((2, 65_600, 3), np.uint8)) is not None
    said = offer(publisher, noise())
    assert said is not None
    wait_until(lambda: said.id in arrived(subscriber, "map"), PATIENCE)
    assert publisher.health().dropped == 1 and "is not published" in caplog.text


def test_the_map_may_change_once_its_part_is_queued(broker: Broker, subscriber: Subscriber, publish: Open) -> None:
    publisher, frame, said = publish(broker.port), noise(), verdict(0.9)
    anomaly = plain_map(frame, 0.75)
    for seed in range(3):  # they keep the thread busy
        assert offer(publisher, noise((3000, 2000), seed)) is not None
    assert publisher.offer(said, frame, anomaly)
    anomaly.values[:] = 0  # the engine's next map
    wait_until(lambda: said.id in arrived(subscriber, "map"), PATIENCE)
    assert (arrived(subscriber, "map")[said.id] == 192).all()


def test_it_closes_twice_and_takes_nothing_afterwards(broker: Broker, publish: Open) -> None:
    publisher = publish(broker.port)
    publisher.close(20)
    publisher.close(20)
    assert offer(publisher, noise()) is None
    assert not any(thread.name == "pictures-a" for thread in threading.enumerate())


@pytest.fixture
def run(outbox: MemoryOutbox, broker: Broker, tmp_path: Path) -> Iterator[Callable[..., Station]]:
    """Starts a station whose parts are all rejected, twelve frames of other colours."""
    ends: list[Callable[[], None]] = []
    bundle = tiny_bundle.write(tmp_path / "bundle", threshold=1e-6).path
    for number in range(12):
        frame = np.full((96, 128, 3), (20 * number, 255 - 20 * number, 60), np.uint8)
        cv2.circle(frame, (20 + 7 * number, 48), 10, (255, 255, 255), -1)
        write_image(tmp_path / "frames" / f"{number:02d}.png", frame)

    def start(**more: Any) -> Station:
        camera = f"folder:{tmp_path / 'frames'}?fps=8"
        settings = make_settings(
            tmp_path, bundle, camera=camera, policy="every", mqtt={"port": broker.port}, health_every_s=0.5, **more
        )
        stations: list[Station] = []
        loop = EngineLoop(stations)
        station = Station(settings, settings.stations[0], make_box(settings, outbox, loop.ready))
        stations.append(station)
        ends.extend([lambda: station.close(5), lambda: loop.close(20)])
        station.start()
        loop.start()
        return station

    yield start
    for end in reversed(ends):
        end()


def pictures_of(station: Station) -> PublishedPictures:
    station.publish_health()
    assert station.health is not None and station.health.pictures is not None
    return station.health.pictures


def test_a_station_publishes_each_rejected_part_unspoilt(
    run: Callable[..., Station], subscriber: Subscriber, tmp_path: Path
) -> None:
    station = run(pictures={"per_second": 100})
    wait_until(lambda: station.inspected == 12, PATIENCE)
    wait_until(lambda: len(subscriber.payloads("verdict")) == 12, PATIENCE)
    verdicts = {said["id"]: said for said in subscriber.payloads("verdict")}

    def counted() -> int:
        figures = pictures_of(station)
        return figures.published + figures.dropped

    wait_until(lambda: counted() == 12, PATIENCE)
    published = pictures_of(station).published
    assert published >= 6, "a busy machine may drop some"
    wait_until(lambda: len(arrived(subscriber, "map")) == published, PATIENCE)
    for identity, picture in arrived(subscriber, "image").items():
        frame = read_image(tmp_path / "frames" / f"{verdicts[identity]['part_id']}.png")
        assert np.abs(picture.astype(int) - frame).mean() < 4, "the frame was not overwritten before it was encoded"
    assert all(map_.shape == (96, 128) for map_ in arrived(subscriber, "map").values())
    spares = iter(station.ring.spare, None)
    assert len(list(spares)) <= 12 - published, "no buffer of a published frame is used again"
    expected = {"published": published, "dropped": 12 - published}
    wait_until(lambda: expected in [said["pictures"] for said in subscriber.payloads("health")], PATIENCE)


def test_by_default_a_station_publishes_no_picture(run: Callable[..., Station], subscriber: Subscriber) -> None:
    station = run()
    wait_until(lambda: len(subscriber.payloads("defect")) == 12, PATIENCE)
    station.publish_health()
    wait_until(lambda: subscriber.payloads("health"), PATIENCE)
    assert subscriber.payloads("health")[-1]["pictures"] is None
    assert station.ring.spare() is not None, "buffers are used again"
    assert not arrived(subscriber, "image") and not arrived(subscriber, "map")
    assert not any(thread.name.startswith("pictures-") for thread in threading.enumerate())
