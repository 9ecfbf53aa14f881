from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_inspect.edge.cameras.pixels import FORMATS, check_format, to_bgr
from edge_inspect.edge.errors import CameraError, ImageError

WIDTH, HEIGHT = 8, 6
MOSAICS = {"BayerRG8": "RGGB", "BayerGB8": "GBRG", "BayerGR8": "GRBG", "BayerBG8": "BGGR"}


def mosaic(order: str, blue: int, green: int, red: int) -> NDArray[np.uint8]:
    """Return the values that a sensor with such a filter gives for one colour."""
    levels = {"B": blue, "G": green, "R": red}
    square = np.array([levels[letter] for letter in order], np.uint8).reshape(2, 2)
    return np.tile(square, (HEIGHT // 2, WIDTH // 2)).reshape(-1)


@pytest.mark.parametrize(("form", "order"), MOSAICS.items())
def test_a_filter_s_order_is_the_names(form: str, order: str) -> None:
    frame = to_bgr(mosaic(order, 10, 90, 200), WIDTH, HEIGHT, form, None)
    assert frame.shape == (HEIGHT, WIDTH, 3)
    assert (frame[2:-2, 2:-2] == (10, 90, 200)).all()


def test_colours_keep_their_order() -> None:
    pixels = np.tile(np.array([10, 90, 200], np.uint8), WIDTH * HEIGHT)
    assert (to_bgr(pixels, WIDTH, HEIGHT, "BGR8", None) == (10, 90, 200)).all()
    assert (to_bgr(pixels, WIDTH, HEIGHT, "RGB8Packed", None) == (200, 90, 10)).all()


@pytest.mark.parametrize(("form", "grey"), [("YUV422_8", (126, 128)), ("YUV422_8_UYVY", (128, 126))])
def test_a_grey_of_yuv_is_grey(form: str, grey: tuple[int, int]) -> None:
    frame = to_bgr(np.tile(np.array(grey, np.uint8), WIDTH * HEIGHT), WIDTH, HEIGHT, form, None)
    assert np.ptp(frame) == 0 and 120 < frame[0, 0, 0] < 136


@pytest.mark.parametrize(("form", "top"), [("Mono10", 1023), ("Mono12", 4095), ("Mono14", 16383), ("Mono16", 65535)])
def test_more_bits_become_eight(form: str, top: int) -> None:
    deep = np.linspace(0, top, WIDTH * HEIGHT).astype("<u2")
    frame = to_bgr(deep.view(np.uint8), WIDTH, HEIGHT, form, None)
    np.testing.assert_allclose(frame[..., 0].reshape(-1), deep / top * 255, atol=1.01)


def test_a_frame_given_back_is_written_over() -> None:
    buffer = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for form in ("Mono8", "BGR8", "BayerRG8"):
        assert to_bgr(np.full(3 * WIDTH * HEIGHT, 7, np.uint8), WIDTH, HEIGHT, form, buffer) is buffer
    assert to_bgr(np.zeros(WIDTH * HEIGHT, np.uint8), WIDTH, HEIGHT, "Mono8", np.zeros((2, 2, 3), np.uint8)).any() == 0


def test_an_unknown_format_and_too_few_bytes_are_refused() -> None:
    with pytest.raises(CameraError, match="camera cam: format Mono12Packed is not supported; use one of Mono8, "):
        check_format("cam", "Mono12Packed")
    for form in FORMATS:
        check_format("cam", form)
        with pytest.raises(ImageError, match=f"a frame of 47 bytes is no 8x6 {form}"):
            to_bgr(np.zeros(47, np.uint8), WIDTH, HEIGHT, form, None)
