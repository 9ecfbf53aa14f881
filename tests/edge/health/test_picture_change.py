"""Pictures that change: simulated figures for the rates, rendered parts for what a lamp, a lens and a mount do."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np
import pytest

from edge_inspect.edge.demo.line import render_part
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.health.picture import PictureFigures, examine, picture_norm, picture_range
from edge_inspect.edge.health.picture_change import START, PictureChange

GOOD = [render_part(seed).frame for seed in range(24)]
FIGURES = [examine(frame) for frame in GOOD]
NORM = picture_norm(FIGURES)


def draw(rng: np.random.Generator, parts: int, light: float = 1.0) -> list[PictureFigures]:
    """Figures as those of the rendered line's pictures."""
    level, sharpness = NORM.level, NORM.sharpness
    drawn = [
        rng.normal(level.mean, level.deviation, parts) * light,
        rng.normal(sharpness.mean, sharpness.deviation, parts),
        rng.normal(NORM.x.mean, NORM.x.deviation, parts),
        rng.normal(NORM.y.mean, NORM.y.deviation, parts),
    ]
    return [PictureFigures(a, 0, b, 0, x, y) for a, b, x, y in zip(*drawn, strict=True)]


def first_told(change: PictureChange, figures: Iterable[PictureFigures]) -> int | None:
    for i, each in enumerate(figures):
        change.add(each)
        if change.changed:
            return i + 1
    return None


@pytest.mark.parametrize("images", [5, 20, 100, None])
def test_no_alarm_in_10_000_good_parts(images: int | None) -> None:
    rng = np.random.default_rng(images)
    for _ in range(10):
        norm = None if images is None else picture_norm(draw(rng, images))
        found = first_told(PictureChange(norm), draw(rng, 10_000))
        assert found is None


@pytest.mark.parametrize("images", [20, 100, None])
@pytest.mark.parametrize("light", [0.85, 0.7, 1.2])
def test_a_lamp_that_loses_light_is_told_within_200_parts(images: int | None, light: float) -> None:
    rng = np.random.default_rng(17)
    for _ in range(20):
        change = PictureChange(None if images is None else picture_norm(draw(rng, images)))
        before, after = first_told(change, draw(rng, 1000)), first_told(change, draw(rng, 200, light))
        assert before is None and after is not None
        assert change.changed == ["light"]
        assert np.sign(change.changes["light"].value) == np.sign(light - 1)


CHANGES: dict[str, Callable[[Frame], Frame]] = {
    "light": lambda frame: (frame * 0.85).astype(np.uint8),
    "focus": lambda frame: cv2.GaussianBlur(frame, (0, 0), 1.5),
    "position": lambda frame: np.roll(frame, 60, axis=1),
}


@pytest.mark.parametrize("measure", CHANGES)
def test_what_has_changed_on_the_rendered_line(measure: str) -> None:
    changed = [examine(CHANGES[measure](frame)) for frame in GOOD]
    change = PictureChange(picture_range(FIGURES).norm)
    assert first_told(change, FIGURES * 8) is None
    assert first_told(change, changed * 8) is not None
    assert measure in change.changed
    assert max(change.changes, key=lambda each: change.changes[each].ratio) == measure
    for figures in FIGURES * 8:
        change.add(figures)
    assert change.changed == []


def test_nothing_is_said_before_the_start_is_known() -> None:
    change = PictureChange(None)
    for figures in (FIGURES * 5)[:START]:
        change.add(figures)
        assert change.changes == {}
    change.add(FIGURES[0])
    assert set(change.changes) == {"light", "focus", "position"}


def test_pictures_that_are_all_alike_have_limits() -> None:
    change = PictureChange(picture_norm([FIGURES[0]] * 3))
    assert first_told(change, [FIGURES[0]] * 500) is None
    black = examine(np.zeros((64, 64, 3), np.uint8))
    dark = PictureChange(picture_norm([black, black]))
    for _ in range(100):
        dark.add(black)
    assert dark.changed == []


def test_parts_that_lie_anywhere_are_no_change_of_position() -> None:
    rng = np.random.default_rng(2)
    scattered = [each._replace(x=float(rng.uniform(0.2, 0.8))) for each in draw(rng, 10_100)]
    assert first_told(PictureChange(picture_norm(scattered[:100])), scattered[100:]) is None
