"""Damaged files of every format give an error that names the file, or the undamaged picture, but never a traceback."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edge_inspect.edge.errors import ImageError
from edge_inspect.edge.frame.images import read_image, read_mask

SIDE = 64


def scene() -> Image.Image:
    rng = np.random.default_rng(11)
    y, x = np.mgrid[:SIDE, :SIDE]
    smooth = np.dstack([x * 4, y * 4, 128 + 100 * np.sin(x / 5)])
    return Image.fromarray(np.clip(smooth + rng.normal(0, 9, smooth.shape), 0, 255).astype(np.uint8))


def packed(form: str, **options: object) -> bytes:
    target = io.BytesIO()
    scene().save(target, form, **options)
    return target.getvalue()


FILES = {
    "jpeg": packed("JPEG", quality=90),
    "jpeg in scans": packed("JPEG", quality=90, progressive=True),
    "jpeg with restarts": packed("JPEG", quality=90, restart_marker_blocks=2),
    "png": packed("PNG"),
    "png of one row a chunk": packed("PNG", compress_level=0),
    "tiff": packed("TIFF"),
    "tiff deflated": packed("TIFF", compression="tiff_deflate"),
    "tiff of jpeg": packed("TIFF", compression="jpeg"),
    "tiff lzw": packed("TIFF", compression="tiff_lzw"),
    "bmp": packed("BMP"),
    "webp": packed("WEBP", quality=90),
    "webp lossless": packed("WEBP", lossless=True),
    "ppm": packed("PPM"),
    "jp2": packed("JPEG2000"),
}
CHECKED = ("png", "png of one row a chunk")
"""Formats with a checksum over everything that matters."""


def cut(data: bytes, place: int, count: int, _: int) -> bytes:
    return data[:place] + data[place + count :]


def zero(data: bytes, place: int, count: int, _: int) -> bytes:
    return data[:place] + bytes(min(count, len(data) - place)) + data[place + count :]


def flip(data: bytes, place: int, _: int, bit: int) -> bytes:
    return data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :]


def scatter(data: bytes, place: int, count: int, seed: int) -> bytes:
    noise = np.random.default_rng(seed).bytes(min(count, len(data) - place))
    return data[:place] + noise + data[place + count :]


def repeat(data: bytes, place: int, count: int, _: int) -> bytes:
    return data[:place] + data[place : place + count] + data[place:]


def end(data: bytes, place: int, _: int, __: int) -> bytes:
    return data[:place]


MUTATIONS = (cut, zero, flip, scatter, repeat, end)


def read(path: Path, data: bytes) -> np.ndarray | None:
    """Return the picture, or `None` if it is refused. Any other exception is a bug."""
    path.write_bytes(data)
    try:
        found = read_image(path)
    except ImageError as error:
        assert str(error).startswith(f"{path}: ") and str(error).isprintable()
        return None
    assert found.dtype == np.uint8 and found.ndim == 3 and found.shape[2] == 3
    return found


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_a_mutated_file_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    path, whole = tmp_path_factory.getbasetemp() / "mutated.bin", FILES[name]
    mutation: Callable[[bytes, int, int, int], bytes] = data.draw(st.sampled_from(MUTATIONS))
    place = data.draw(st.integers(0, len(whole) - 1))
    spoilt = mutation(whole, place, data.draw(st.integers(1, 300)), data.draw(st.integers(0, 7)))
    found = read(path, spoilt)
    try:
        read_mask(path)
    except ImageError as error:
        assert str(path) in str(error)
    if found is not None and name in CHECKED:
        np.testing.assert_array_equal(found, read(path, whole))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("mutation", [end, cut], ids=["cut off", "lost"])
def test_lost_data_is_noticed_in_every_format(tmp_path: Path, name: str, mutation: Callable[..., bytes]) -> None:
    """A stretch of the pixels' data is missing. Formats without checksums notice it depending on its length."""
    whole = FILES[name]
    for share in (0.5, 0.6, 0.7, 0.8):
        assert read(tmp_path / "part.bin", mutation(whole, int(len(whole) * share), 700, 0)) is None


@pytest.mark.parametrize(
    "name", ["png", "tiff deflated", "tiff of jpeg", "jpeg in scans", "jpeg", "jpeg with restarts"]
)
def test_a_sector_of_zeros_is_noticed_where_pixels_are_packed(tmp_path: Path, name: str) -> None:
    whole = FILES[name]
    for share in (0.3, 0.45, 0.6):
        found = read(tmp_path / "part.bin", zero(whole, int(len(whole) * share), 512, 0))
        assert found is None


@given(st.binary(max_size=400), st.sampled_from([data[:n] for data in FILES.values() for n in (4, 12, 40)]))
@settings(deadline=None)
def test_any_bytes_behind_the_start_of_a_file(
    tmp_path_factory: pytest.TempPathFactory, rest: bytes, start: bytes
) -> None:
    read(tmp_path_factory.getbasetemp() / "any.bin", start + rest)
