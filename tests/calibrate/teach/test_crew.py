"""Several engines that look at pictures at once."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_inspect.calibrate.teach.crew import look_at
from edge_inspect.calibrate.teach.labelled_parts import LabelledPart
from edge_inspect.edge.errors import EngineError, ImageError
from edge_inspect.edge.frame.images import Frame


class Engine:
    """Looks at one picture at a time, the lighter ones for longer."""

    opened: list[Engine] = []

    def __init__(self, threads: int) -> None:
        self.threads, self.closed, self._busy = threads, False, threading.Lock()
        self.opened.append(self)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def level(self, frame: Frame) -> int:
        assert self._busy.acquire(blocking=False), "two threads use one engine"
        assert not self.closed
        level = int(frame[0, 0, 0])
        time.sleep(level % 7 / 1000)
        self._busy.release()
        if level == 250:
            raise EngineError("cannot look at this one")
        return level


@pytest.fixture(autouse=True)
def none_opened() -> None:
    Engine.opened.clear()


def pictures(folder: Path, levels: list[int]) -> list[LabelledPart]:
    for number, level in enumerate(levels):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((4, 4, 3), level, np.uint8))
    return [LabelledPart(str(number), "good", folder / f"{number}.png", "") for number in range(len(levels))]


def test_results_come_in_the_order_of_the_parts(tmp_path: Path) -> None:
    levels = [7 * number % 200 for number in range(60)]
    assert list(look_at(pictures(tmp_path, levels), None, Engine, Engine.level)) == levels
    assert Engine.opened and all(engine.closed for engine in Engine.opened)


def test_no_more_engines_than_parts_and_none_for_no_part(tmp_path: Path) -> None:
    assert list(look_at(pictures(tmp_path, [3]), None, Engine, Engine.level)) == [3]
    assert len(Engine.opened) == 1
    assert list(look_at([], None, Engine, Engine.level)) == []
    assert len(Engine.opened) == 1


def test_an_engine_that_fails_ends_it_and_all_are_closed(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot look"):
        list(look_at(pictures(tmp_path, [1, 250, *range(40)]), None, Engine, Engine.level))
    assert all(engine.closed for engine in Engine.opened)


def test_a_picture_that_is_gone_ends_it_and_all_engines_are_closed(tmp_path: Path) -> None:
    parts = pictures(tmp_path, [1, 2, 3, 4])
    parts[2].picture.unlink()
    with pytest.raises(ImageError, match=r"2\.png"):
        list(look_at(parts, None, Engine, Engine.level))
    assert all(engine.closed for engine in Engine.opened)


def test_who_stops_early_leaves_nothing_open(tmp_path: Path) -> None:
    seeing = look_at(pictures(tmp_path, list(range(100))), None, Engine, Engine.level)
    assert [next(seeing) for _ in range(3)] == [0, 1, 2]
    seeing.close()
    assert all(engine.closed for engine in Engine.opened)
