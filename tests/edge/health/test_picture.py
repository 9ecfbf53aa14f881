"""What is told of pictures: rendered parts, spoiled as lamps, lenses and cables spoil them."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge_inspect.edge.demo.line import render_part
from edge_inspect.edge.frame.areas import Areas
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.health.picture import IN_A_ROW, MeasuredPixels, PictureWatch, examine, picture_range

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


def areas(**given: object) -> Fit:
    height, width = GOOD[0].shape[:2]
    return Fit(areas=Areas.from_dict({"size": [width, height], **given}))


LAMP = {"name": "lamp", "rings": [[[300, 200], [340, 200], [340, 260], [300, 260]]]}
"""In the middle, where sharpness is measured."""
CORNER = {"name": "corner", "rings": [[[0, 0], [150, 0], [150, 120], [0, 120]]]}


@pytest.mark.parametrize(
    ("fit", "box"),
    [
        (areas(ignore=[LAMP]), np.s_[200:261, 300:341]),
        (areas(look=[CORNER]), np.s_[121:, 151:]),
        (areas(look=[CORNER], ignore=[{**LAMP, "rings": [[[20, 20], [60, 20], [60, 90]]]}]), np.s_[125:200, 200:400]),
    ],
)
def test_what_is_not_looked_at_changes_no_figure(fit: Fit, box: tuple[slice, slice]) -> None:
    measured = MeasuredPixels.of(fit)
    told = set()
    for light in (0, 120, 255):
        frame = GOOD[0].copy()
        frame[box] = light
        frame[box][::2, ::3] = 255 - light
        told.add(examine(frame, measured)._replace(digest=0))
    assert len(told) == 1
    (one,) = told
    assert one.level > 0 and one.sharpness > 0
    # What is looked at does change them.
    assert examine((GOOD[0] * 0.5).astype(np.uint8), measured).level < one.level * 0.7
    blurred = examine(cv2.GaussianBlur(GOOD[0], (0, 0), 3), measured)
    assert blurred.sharpness < one.sharpness


def test_figures_of_the_whole_frame_are_those_without_areas() -> None:
    height, width = GOOD[0].shape[:2]
    assert examine(GOOD[0], MeasuredPixels(np.ones((height, width), bool))) == examine(GOOD[0])


def test_frames_of_another_size_are_measured_as_a_whole() -> None:
    small = np.ascontiguousarray(GOOD[0][::2, ::2])
    assert examine(small, MeasuredPixels.of(areas(look=[CORNER]))) == examine(small)


def test_without_areas_everything_is_measured() -> None:
    assert MeasuredPixels.of(Fit()) is None
