from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from edge_inspect.edge.cameras import Capture
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.station.ring import FrameRing

SOON_S = 10.0


def capture(number: int) -> Capture:
    return Capture(np.full((2, 3, 3), number % 256, np.uint8), utc_now(), str(number))


def taken(ring: FrameRing) -> list[str | None]:
    found = []
    while (waiting := ring.take()) is not None:
        found.append(waiting.capture.part_id)
    return found


def until_blocked(ring: FrameRing) -> None:
    end = time.monotonic() + SOON_S
    while not ring.blocked:
        assert time.monotonic() < end
        time.sleep(0.001)


class Offering:
    """A camera thread that puts frames in until the ring takes no more."""

    def __init__(self, ring: FrameRing, count: int) -> None:
        self.accepted: list[bool] = []
        self._ring, self._count = ring, count
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        for number in range(self._count):
            self.accepted.append(self._ring.offer(capture(number)))

    def join(self) -> None:
        self._thread.join(SOON_S)
        assert not self._thread.is_alive()


@pytest.fixture
def ready() -> threading.Event:
    return threading.Event()


@pytest.fixture
def every(ready: threading.Event) -> Iterator[FrameRing]:
    ring = FrameRing(2, "every", ready)
    yield ring
    ring.close()


def test_frames_come_out_in_their_order(ready: threading.Event) -> None:
    ring = FrameRing(3, "latest", ready)
    assert ring.take() is None
    before = time.monotonic()
    assert all(ring.offer(capture(number)) for number in range(2))
    assert ready.is_set()
    first = ring.take()
    assert first is not None and first.capture.part_id == "0"
    assert before <= first.since <= time.monotonic()
    assert taken(ring) == ["1"]
    assert ring.dropped == 0


def test_latest_drops_the_oldest_and_counts(ready: threading.Event) -> None:
    ring = FrameRing(3, "latest", ready)
    assert all(ring.offer(capture(number)) for number in range(10))
    assert ring.dropped == 7
    assert not ring.blocked
    assert taken(ring) == ["7", "8", "9"]


def test_a_dropped_frame_may_be_written_over(ready: threading.Event) -> None:
    ring = FrameRing(1, "latest", ready)
    assert ring.spare() is None
    ring.offer(capture(1))
    ring.offer(capture(2))
    spare = ring.spare()
    assert spare is not None and spare[0, 0, 0] == 1
    assert ring.spare() is None


def test_a_frame_given_back_is_the_next_spare_one(ready: threading.Event) -> None:
    ring = FrameRing(1, "every", ready)
    frame = capture(7).frame
    ring.recycle(frame)
    assert ring.spare() is frame
    assert ring.spare() is None


def test_spare_frames_are_bounded(ready: threading.Event) -> None:
    ring = FrameRing(2, "every", ready)
    for number in range(50):
        ring.recycle(capture(number).frame)
    count = 0
    while ring.spare() is not None:
        count += 1
    assert count == 4


def test_every_waits_until_there_is_room(every: FrameRing) -> None:
    camera = Offering(every, 4)
    until_blocked(every)
    assert camera.accepted == [True, True]
    first = every.take()
    assert first is not None and first.capture.part_id == "0"
    until_blocked(every)
    found = taken(every)
    camera.join()
    assert found + taken(every) == ["1", "2", "3"]
    assert camera.accepted == [True] * 4
    assert every.dropped == 0
    assert not every.blocked


def test_every_loses_none_of_many(every: FrameRing, ready: threading.Event) -> None:
    camera = Offering(every, 500)
    found: list[str | None] = []
    end = time.monotonic() + SOON_S
    while len(found) < 500:
        assert ready.wait(end - time.monotonic())
        ready.clear()
        found += taken(every)
    camera.join()
    assert found == [str(number) for number in range(500)]
    assert every.dropped == 0


def test_closing_lets_a_waiting_camera_go(every: FrameRing) -> None:
    camera = Offering(every, 4)
    until_blocked(every)
    every.close()
    camera.join()
    assert camera.accepted == [True, True, False, False]
    assert not every.blocked
    assert taken(every) == ["0", "1"]


def test_a_closed_ring_takes_none_and_gives_those_that_wait(ready: threading.Event) -> None:
    ring = FrameRing(2, "latest", ready)
    ring.offer(capture(0))
    ring.offer(capture(1))
    ring.close()
    assert not ring.offer(capture(2))
    assert ring.dropped == 0
    assert taken(ring) == ["0", "1"]
