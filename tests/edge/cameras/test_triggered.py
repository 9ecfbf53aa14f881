"""A camera with a trigger of its own. The grey level shows which frame of the source it gave."""

from __future__ import annotations

import time
from collections import deque

import numpy as np
import pytest

from edge_inspect.edge.cameras.source import Shot
from edge_inspect.edge.cameras.triggered import TriggeredCamera
from edge_inspect.edge.errors import CameraIdle, CameraLost
from edge_inspect.edge.frame.images import Frame


class Line:
    """A source with a queue of frames."""

    def __init__(self, *ages: float, stamps: bool) -> None:
        self.stamps = stamps
        self.waiting = deque(
            Shot(np.full((2, 2, 3), level, np.uint8), age if stamps else 0.0) for level, age in enumerate(ages)
        )
        self.next = Shot(np.full((2, 2, 3), 9, np.uint8))

    def grab(self, buffer: Frame | None) -> Shot:
        return self.waiting.popleft() if self.waiting else self.next

    def forget(self) -> None:
        self.waiting.clear()

    def fire(self) -> None: ...

    def close(self) -> None: ...


def level(camera: TriggeredCamera, after: float = 0.0) -> int:
    capture = camera.read(None, after)
    assert capture is not None
    return int(capture.frame[0, 0, 0])


@pytest.mark.parametrize("stamps", [True, False])
def test_frames_of_a_pause_are_not_taken_after_it(stamps: bool) -> None:
    camera = TriggeredCamera(Line(60, 50, stamps=stamps), software=False)
    assert level(camera, time.monotonic() - 10) == 9


def test_frames_since_the_pause_are_kept_where_their_age_is_known() -> None:
    camera = TriggeredCamera(Line(60, 5, stamps=True), software=False)
    assert [level(camera, time.monotonic() - 10), level(camera)] == [1, 9]


def test_none_is_passed_over_without_a_pause() -> None:
    camera = TriggeredCamera(Line(60, 50, stamps=True), software=False)
    assert [level(camera) for _ in range(3)] == [0, 1, 9]


def test_a_software_trigger_forgets_what_waits_and_is_lost_without_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Line(60, 50, stamps=False)
    camera = TriggeredCamera(source, software=True)
    assert level(camera) == 9

    def none(buffer: Frame | None) -> Shot:
        raise CameraIdle("camera line: no frame for 2 s: 1 lost packets")

    monkeypatch.setattr(source, "grab", none)
    with pytest.raises(CameraLost, match="1 lost packets"):
        camera.read(None)
