"""Ground truth: which values mark a defect, and which masks are implausible."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edge_inspect.edge.errors import ImageError
from edge_inspect.edge.frame.images import read_mask

TRUTH = np.zeros((40, 60), np.uint8)
TRUTH[10:20, 10:40] = 1
LEFT, RIGHT = (slice(10, 20), slice(10, 25)), (slice(10, 20), slice(25, 40))


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def two(left: int, right: int, dtype: type = np.uint8) -> np.ndarray:
    """The left half of the marked area has one value, the right half another."""
    mask = np.zeros(TRUTH.shape, dtype)
    mask[LEFT], mask[RIGHT] = left, right
    return mask


def noisy(name: str, path: Path) -> np.ndarray:
    save(path / f"{name}.jpg", TRUTH * 255, quality=60)
    return np.asarray(Image.open(path / f"{name}.jpg"))


@pytest.mark.parametrize(
    "mask",
    [
        two(255, 255),
        two(1, 1),
        two(1, 2),
        two(3, 255),
        two(20, 140),
        two(76, 76),
        two(1, 1, np.uint16),
        two(7, 300, np.uint16),
        two(65535, 65535, np.uint16),
    ],
    ids=str,
)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_any_value_above_0_marks(tmp_path: Path, mask: np.ndarray, suffix: str) -> None:
    found = read_mask(save(tmp_path / f"mask{suffix}", mask))
    np.testing.assert_array_equal(found.marked, TRUTH)
    assert found.marked.dtype == np.uint8 and not found.doubt


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_one_channel_is_enough(tmp_path: Path, channel: int) -> None:
    mask = np.zeros((*TRUTH.shape, 3), np.uint8)
    mask[..., channel] = TRUTH * 9
    np.testing.assert_array_equal(read_mask(save(tmp_path / "mask.png", mask)).marked, TRUTH)


def test_a_palette_marks_by_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(two(1, 2)).convert("P")
    image.putpalette([0, 0, 0, 0, 128, 0, 0, 0, 90])
    image.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png").marked, TRUTH)


def test_one_bit_marks(tmp_path: Path) -> None:
    Image.fromarray(TRUTH * 255).convert("1").save(tmp_path / "mask.bmp")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.bmp").marked, TRUTH)


@pytest.mark.parametrize("colour", [0, 255, 90])
def test_a_drawing_in_the_alpha_channel_marks(tmp_path: Path, colour: int) -> None:
    mask = np.full((*TRUTH.shape, 4), colour, np.uint8)
    mask[..., 3] = TRUTH * 255
    np.testing.assert_array_equal(read_mask(save(tmp_path / "mask.png", mask)).marked, TRUTH)


def test_what_is_transparent_marks_nothing(tmp_path: Path) -> None:
    mask = np.full((*TRUTH.shape, 4), 255, np.uint8)
    mask[LEFT] = (200, 0, 0, 255)
    mask[TRUTH == 0] = (255, 255, 255, 0)
    np.testing.assert_array_equal(read_mask(save(tmp_path / "mask.png", mask)).marked, TRUTH)


def test_grey_with_an_opaque_alpha_is_grey(tmp_path: Path) -> None:
    mask = np.dstack([TRUTH * 5, np.full_like(TRUTH, 255)])
    np.testing.assert_array_equal(read_mask(save(tmp_path / "mask.png", mask)).marked, TRUTH)


def test_jpeg_s_noise_marks_nothing_in_whatever_format(tmp_path: Path) -> None:
    values = noisy("mask", tmp_path)
    assert len(np.unique(values)) > 8
    near = cv2.dilate(TRUTH, np.ones((3, 3), np.uint8)) - cv2.erode(TRUTH, np.ones((3, 3), np.uint8))
    for path in (tmp_path / "mask.jpg", save(tmp_path / "again.png", values)):
        found = read_mask(path).marked
        np.testing.assert_array_equal(found[near == 0], TRUTH[near == 0])


def test_a_grey_of_a_colour_as_jpeg_marks_from_its_half(tmp_path: Path) -> None:
    found = read_mask(save(tmp_path / "mask.jpg", TRUTH * 76, quality=90)).marked
    assert (found != TRUTH).mean() < 0.01


def test_soft_edges_mark_from_their_half(tmp_path: Path) -> None:
    soft = cv2.GaussianBlur(TRUTH * np.uint8(255), (0, 0), 2)
    found = read_mask(save(tmp_path / "mask.png", soft)).marked
    np.testing.assert_array_equal(found, soft > 127)


def test_the_numbers_of_many_objects_are_refused(tmp_path: Path) -> None:
    mask = np.kron(np.arange(0, 250, 10, dtype=np.uint8).reshape(5, 5), np.ones((8, 8), np.uint8))
    with pytest.raises(ImageError, match=r"holds 25 values from 0 to 240, and it is not clear which of them mark"):
        read_mask(save(tmp_path / "mask.png", mask))


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (TRUTH * 0, "marks nothing. It holds the value 0"),
        (TRUTH * 0 + 255, r"marks 100\.0% of the picture; is it inverted\? It holds the value 255"),
        ((1 - TRUTH) * 255, r"marks 87\.5% of the picture, and all around its border; is it inverted\?"),
        (1 - cv2.erode(TRUTH, np.ones((9, 9), np.uint8)), r"marks 9\d\.\d% of the picture; is it inverted\?"),
    ],
)
def test_what_cannot_be_meant_is_said(tmp_path: Path, mask: np.ndarray, said: str) -> None:
    assert re.search(said, read_mask(save(tmp_path / "mask.png", mask)).doubt)


def test_a_large_defect_is_no_doubt(tmp_path: Path) -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[5:36, 5:36] = 255
    assert not read_mask(save(tmp_path / "mask.png", mask)).doubt


def test_floating_point_is_refused_with_the_rule(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="pixels of type float32; save it with 8 bits: a mask is 0 where"):
        read_mask(save(tmp_path / "mask.tif", TRUTH.astype(np.float32)))


def test_a_mask_is_turned_as_its_orientation_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    path = save(tmp_path / "mask.png", np.rot90(TRUTH * np.uint8(255), -1).copy(), exif=exif)
    np.testing.assert_array_equal(read_mask(path).marked, TRUTH)


@given(st.data())
def test_any_mask_is_0_and_1_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    mode = data.draw(st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    levels = data.draw(st.lists(st.integers(0, 255), min_size=1, max_size=20))
    shape = (data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12)), 4)
    pixels = rng.choice(np.array(levels, np.uint8), shape)
    one = {"L": pixels[..., 0], "I;16": pixels[..., 0].astype(np.uint16)}.get(mode)
    image = Image.fromarray(pixels).convert(mode) if one is None else Image.fromarray(one)
    path = tmp_path_factory.getbasetemp() / f"mask{data.draw(st.sampled_from(['.png', '.tif']))}"
    image.save(path)
    try:
        found = read_mask(path)
    except ImageError as error:
        assert str(path) in str(error)
        return
    assert found.marked.shape == shape[:2] and set(np.unique(found.marked)) <= {0, 1}
    if mode in ("L", "I;16") and len(set(levels)) <= 8:
        np.testing.assert_array_equal(found.marked, pixels[..., 0] > 0)


def test_a_mask_packed_as_jpeg_in_a_tiff_marks_from_its_half(tmp_path: Path) -> None:
    y, x = np.mgrid[:64, :64]
    drawn = np.where((y - 32) ** 2 + (x - 32) ** 2 < 81, 120, 0).astype(np.uint8)
    Image.fromarray(drawn).save(tmp_path / "mask.tif", compression="jpeg", quality=80)
    Image.fromarray(drawn).save(tmp_path / "mask.jpg", quality=80)
    marked = read_mask(tmp_path / "mask.tif").marked
    assert abs(int(marked.sum()) - int((drawn > 0).sum())) < 30
    assert abs(int(marked.sum()) - int(read_mask(tmp_path / "mask.jpg").marked.sum())) < 30
