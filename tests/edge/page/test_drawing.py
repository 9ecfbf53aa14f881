from __future__ import annotations

import contextlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_parts import jpeg, png

from edge_inspect.edge.frame.images.jpeg import size
from edge_inspect.edge.page.drawing import WIDTHS, CannotDraw, colour_map, rounded_width, to_jpeg


@pytest.mark.parametrize(("width", "height"), [(640, 480), (641, 333), (1920, 8), (3, 900), (2592, 1944)])
def test_a_picture_is_scaled_in_proportion(width: int, height: int) -> None:
    original = jpeg(width, height, level=77)
    assert size(original) == (width, height)
    small = to_jpeg(original, 160)
    drawn = cv2.imdecode(np.frombuffer(small, np.uint8), cv2.IMREAD_COLOR)
    assert drawn is not None
    assert drawn.shape[1] == min(width, 160)
    assert abs(drawn.shape[0] - height * min(1.0, 160 / width)) <= 1
    assert np.abs(drawn.astype(int) - 77).max() <= 2


def test_a_small_picture_stays_as_it_is() -> None:
    assert to_jpeg(jpeg(100, 80), 160) == jpeg(100, 80)


@pytest.mark.parametrize(("asked", "given"), [(1, 160), (160, 160), (161, 320), (2000, 2560), (99_999, 2560)])
def test_few_widths_are_drawn(asked: int, given: int) -> None:
    assert rounded_width(asked) == given and given in WIDTHS


def test_a_map_is_transparent_where_it_is_low_and_opaque_where_it_is_high() -> None:
    levels = np.array([[0, 63, 64, 128, 200, 255]], np.uint8)
    drawn = cv2.imdecode(
        np.frombuffer(colour_map(bytes(cv2.imencode(".png", levels)[1])), np.uint8), cv2.IMREAD_UNCHANGED
    )
    assert drawn is not None and drawn.shape == (1, 6, 4)
    alpha = drawn[0, :, 3].tolist()
    assert alpha[:3] == [0, 0, 0] and 0 < alpha[3] < alpha[4] == alpha[5]
    # Blue is never in it, and the highest is the reddest.
    assert drawn[0, :, 0].max() == 0 and drawn[0, 3, 1] > drawn[0, 5, 1]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe0\x00\x00" + bytes(100),
        jpeg()[:40],
        b"\xff\xd8" + b"\xff\xe0\xff\xff" * 4,
        # A picture of 65500 x 65500 pixels in a few bytes.
        jpeg().replace(b"\x01\xe0\x02\x80", b"\xff\xdc\xff\xdc"),
    ],
)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(CannotDraw):
        to_jpeg(data, 16)


def test_a_map_that_would_fill_the_memory_is_refused() -> None:
    bomb = bytearray(png())
    bomb[16:24] = (100_000).to_bytes(4, "big") * 2
    with pytest.raises(CannotDraw, match="100000x100000"):
        colour_map(bytes(bomb))
    for damaged in (b"", png()[:20], png()[:60], b"\x89PNG\r\n\x1a\n" + bytes(40)):
        with pytest.raises(CannotDraw):
            colour_map(damaged)


@given(st.binary(max_size=64), st.integers(0, 60))
def test_damaged_pictures_raise_nothing_else(tail: bytes, kept: int) -> None:
    for data, draw in ((jpeg(400, 300), lambda data: to_jpeg(data, 160)), (png(), colour_map)):
        with contextlib.suppress(CannotDraw):
            draw(data[: len(data) * kept // 60] + tail)
