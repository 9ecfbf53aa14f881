"""The newest frame of a free-running source. The grey level shows which frame it is."""

from __future__ import annotations

import queue
import threading
import time

import numpy as np
import pytest
from mosquitto import wait_until

from edge_inspect.edge.cameras.feed import Feed
from edge_inspect.edge.cameras.source import Shot
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.errors import CameraLost
from edge_inspect.edge.frame.images import Frame


class Belt:
    """A source that gives the frames that the test puts into it."""

    def __init__(self) -> None:
        self.coming: queue.Queue[Shot | Exception] = queue.Queue()
        self.given = 0
        self.buffers: list[Frame | None] = []
        self.closed = False

    def put(self, *levels: int, age_s: float = 0.0, missed: int = 0) -> None:
        want = self.given + len(levels)
        for level in levels:
            self.coming.put(Shot(np.full((2, 2, 3), level, np.uint8), age_s, missed))
        wait_until(lambda: self.given == want and self.coming.empty())
        time.sleep(0.02)  # until the feed's thread has kept it

    def grab(self, buffer: Frame | None) -> Shot:
        self.buffers.append(buffer)
        shot = self.coming.get(timeout=30)
        if isinstance(shot, Exception):
            raise shot
        self.given += 1
        return shot

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def belt() -> Belt:
    return Belt()


@pytest.fixture
def feed(belt: Belt) -> Feed:
    return Feed(belt, "belt:", timeout=0.3)


def close(feed: Feed, belt: Belt) -> None:
    belt.coming.put(Shot(np.zeros((2, 2, 3), np.uint8)))
    feed.close()
    assert belt.closed


def test_the_newest_frame_is_read_and_the_others_are_counted(feed: Feed, belt: Belt) -> None:
    belt.put(1, 2)
    belt.put(3, missed=4)
    capture = feed.read(None)
    assert capture is not None and capture.frame[0, 0, 0] == 3
    assert capture.missed == 2 + 4
    belt.put(5)
    capture = feed.read(None)
    assert capture is not None and (capture.frame[0, 0, 0], capture.missed) == (5, 0)
    close(feed, belt)


def test_a_frame_from_before_the_trigger_is_not_given(feed: Feed, belt: Belt) -> None:
    belt.put(1)
    after = time.monotonic()
    threading.Timer(0.05, lambda: belt.coming.put(Shot(np.full((2, 2, 3), 2, np.uint8), 60.0))).start()
    threading.Timer(0.1, lambda: belt.coming.put(Shot(np.full((2, 2, 3), 3, np.uint8)))).start()
    capture = feed.read(None, after)
    assert capture is not None and capture.frame[0, 0, 0] == 3, "the second one is new, and was taken a minute ago"
    assert capture.missed == 0, "what nobody asked for is not lost"
    close(feed, belt)


def test_the_time_is_the_sensors(feed: Feed, belt: Belt) -> None:
    belt.put(1, age_s=60.0)
    capture = feed.read(None)
    assert capture is not None and 59 < (utc_now() - capture.captured_at).total_seconds() < 120
    close(feed, belt)


def test_frames_given_back_are_written_over(feed: Feed, belt: Belt) -> None:
    mine = np.zeros((2, 2, 3), np.uint8)
    belt.put(1)
    feed.read(mine)
    belt.put(2)
    wait_until(lambda: any(buffer is mine for buffer in belt.buffers))
    close(feed, belt)


def test_a_source_that_stalls_or_fails_is_lost(feed: Feed, belt: Belt) -> None:
    belt.put(1)
    feed.read(None)
    with pytest.raises(CameraLost, match=r"camera belt:: no frame for 0\.3 s"):
        feed.read(None)
    belt.coming.put(CameraLost("camera belt:: torn"))
    with pytest.raises(CameraLost, match="torn"):
        feed.read(None)
    feed.close()
    assert belt.closed


def test_a_mistake_in_the_source_keeps_its_traceback(feed: Feed, belt: Belt) -> None:
    belt.coming.put(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        feed.read(None)
    feed.close()
