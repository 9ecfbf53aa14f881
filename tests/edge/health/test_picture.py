"""What is told of pictures: rendered parts, spoiled as lamps, lenses and cables spoil them."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge_inspect.edge.demo.line import render_part
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.health.picture import IN_A_ROW, PictureWatch, examine, picture_range

GOOD = [render_part(seed).frame for seed in range(12)]
RANGE = picture_range([examine(frame) for frame in GOOD[:6]])


def look(frames: list[Frame], *, live: bool = True, seen: bool = True) -> list[str]:
    watch = PictureWatch(RANGE if seen else None)
    for frame in frames:
        watch.see(examine(frame), live=live)
    return list(watch.warnings)


def many(change: Callable[[Frame], Frame]) -> list[Frame]:
    return [change(GOOD[i % len(GOOD)]) for i in range(IN_A_ROW)]


SPOILED = {
    "dark": lambda frame: (frame * 0.3).astype(np.uint8),
    "overexposed": lambda frame: np.minimum(frame.astype(np.uint16) * 4, 255).astype(np.uint8),
    "out_of_focus": lambda frame: cv2.GaussianBlur(frame, (0, 0), 3),
}


def test_good_parts_of_other_frames_are_no_warning() -> None:
    assert look(many(lambda frame: frame)) == []
    assert look(many(lambda frame: frame), seen=False) == []


@pytest.mark.parametrize("warning", SPOILED)
def test_what_is_spoiled_is_told(warning: str) -> None:
    frames = many(SPOILED[warning])
    assert look(frames) == [warning]
    assert look(frames[:-1]) == []
    assert look([*frames, GOOD[0]]) == []


def test_a_frozen_camera_is_told_and_a_recorded_source_cannot_freeze() -> None:
    frames = [GOOD[0]] * (IN_A_ROW + 1)
    assert look(frames) == ["frozen"]
    assert look(frames[:-1]) == []
    assert look(frames, live=False) == []
    noisy = [np.clip(GOOD[0] + np.random.default_rng(i).normal(0, 1, GOOD[0].shape), 0, 255) for i in range(20)]
    assert look([frame.astype(np.uint8) for frame in noisy]) == []


def test_without_a_range_only_black_and_white_are_told() -> None:
    frames = many(lambda frame: (frame * 0.02).astype(np.uint8))
    assert look(frames, seen=False) == ["dark"]
    assert look(many(SPOILED["overexposed"]), seen=False) in ([], ["overexposed"])
    assert look(many(lambda frame: np.full_like(frame, 255)), seen=False, live=False) == ["overexposed"]


def test_less_light_alone_is_not_out_of_focus() -> None:
    assert look(many(lambda frame: (frame * 0.7).astype(np.uint8))) == []


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (33, 2000), (1200, 1600)])
def test_frames_of_any_size_have_figures(size: tuple[int, int]) -> None:
    frame = np.random.default_rng(3).integers(0, 256, (*size, 3), np.uint8)
    figures = examine(frame)
    assert 0 <= figures.level <= 255 and 0 <= figures.saturated <= 1 and figures.sharpness >= 0
    assert examine(frame.copy()) == figures
