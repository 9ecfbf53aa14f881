"""An engine that views pictures while others are read."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_inspect.calibrate.teach.labelled_parts import LabelledPart
from edge_inspect.calibrate.teach.viewing import view
from edge_inspect.edge.errors import EngineError, ImageError
from edge_inspect.edge.frame.images import Frame


class Engine:
    """Sees the grey level of a picture."""

    opened: list[Engine] = []

    def __init__(self) -> None:
        self.closed = False
        self.opened.append(self)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def level(self, frame: Frame) -> int:
        assert not self.closed
        level = int(frame[0, 0, 0])
        if level == 250:
            raise EngineError("cannot look at this one")
        return level


@pytest.fixture(autouse=True)
def none_opened() -> None:
    Engine.opened.clear()


def pictures(folder: Path, levels: list[int]) -> list[LabelledPart]:
    for number, level in enumerate(levels):
        # The later ones are read faster.
        cv2.imwrite(str(folder / f"{number}.png"), np.full((256 - level, 256 - level, 3), level, np.uint8))
    return [LabelledPart(str(number), "good", folder / f"{number}.png", "") for number in range(len(levels))]


@pytest.mark.parametrize("count", [1, 3, 4, 5, 60])
def test_results_come_in_the_order_of_the_parts(tmp_path: Path, count: int) -> None:
    levels = [7 * number % 200 for number in range(count)]
    assert list(view(pictures(tmp_path, levels), None, Engine, Engine.level)) == levels
    assert [engine.closed for engine in Engine.opened] == [True]


def test_no_engine_is_opened_for_no_part() -> None:
    assert list(view([], None, Engine, Engine.level)) == []
    assert not Engine.opened


def test_an_engine_that_fails_ends_it_and_is_closed(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot look"):
        list(view(pictures(tmp_path, [1, 250, *range(40)]), None, Engine, Engine.level))
    assert [engine.closed for engine in Engine.opened] == [True]


def test_a_picture_that_is_gone_ends_it_and_the_engine_is_closed(tmp_path: Path) -> None:
    parts = pictures(tmp_path, [1, 2, 3, 4])
    parts[2].picture.unlink()
    with pytest.raises(ImageError, match=r"2\.png"):
        list(view(parts, None, Engine, Engine.level))
    assert [engine.closed for engine in Engine.opened] == [True]


def test_who_stops_early_leaves_nothing_open(tmp_path: Path) -> None:
    seeing = view(pictures(tmp_path, list(range(100))), None, Engine, Engine.level)
    assert [next(seeing) for _ in range(3)] == [0, 1, 2]
    seeing.close()
    assert [engine.closed for engine in Engine.opened] == [True]
