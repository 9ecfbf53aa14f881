from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from limited import run_limited

from edge_inspect.edge.errors import ImageError
from edge_inspect.edge.frame.images import read_image, to_frame, write_image

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (37, 53, 3), np.uint8)


def save(path: Path, image: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), image)
    return path


def test_colour_comes_as_it_was_written(tmp_path: Path) -> None:
    write_image(tmp_path / "new folder" / "ä.png", PICTURE)
    image = read_image(tmp_path / "new folder" / "ä.png")
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, PICTURE)


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    image = read_image(save(tmp_path / "grey.png", PICTURE[:, :, 0]))
    np.testing.assert_array_equal(image, np.repeat(PICTURE[:, :, :1], 3, axis=2))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_become_eight(tmp_path: Path, suffix: str) -> None:
    eight = np.arange(256, dtype=np.uint16).reshape(16, 16)
    image = read_image(save(tmp_path / f"deep{suffix}", eight * 257))
    assert image.shape == (16, 16, 3)
    np.testing.assert_array_equal(image[:, :, 1], eight)


@given(arrays(np.uint16, (3, 5)))
def test_sixteen_bits_are_rounded_to_the_nearest_of_eight(deep: np.ndarray) -> None:
    np.testing.assert_array_equal(to_frame(deep)[:, :, 0], np.floor(deep / 257 + 0.5))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_is_dropped(tmp_path: Path, dtype: type) -> None:
    factor = 257 if dtype is np.uint16 else 1
    with_alpha = np.dstack([PICTURE, RNG.integers(0, 256, PICTURE.shape[:2], np.uint8)]).astype(dtype) * dtype(factor)
    np.testing.assert_array_equal(read_image(save(tmp_path / "alpha.png", with_alpha)), PICTURE)


@pytest.mark.parametrize("shape", [(4, 5, 2), (4, 5, 5)])
def test_other_channels_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match=rf"part\.tif: has {shape[2]} channels; 1, 3 and 4 are supported"):
        to_frame(np.zeros(shape, np.uint8), "part.tif")


def test_one_channel_with_an_axis_of_its_own_is_grey() -> None:
    np.testing.assert_array_equal(to_frame(PICTURE[:, :, :1].copy()), np.repeat(PICTURE[:, :, :1], 3, axis=2))


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "heights.tif", np.zeros((8, 8), np.float32))
    with pytest.raises(ImageError, match="pixels of type float32; 8 and 16 bits"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.97])
def test_a_picture_cut_off_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    big = RNG.integers(0, 256, (200, 200, 3), np.uint8)
    path = save(tmp_path / f"part{suffix}", big)
    data = path.read_bytes()
    read_image(path)
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match=rf"part{suffix}: is cut off before its end; copy the file again"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".webp"])
def test_other_formats_cut_off_are_refused(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"part{suffix}", PICTURE)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ImageError, match=f"part{suffix}"):
        read_image(path)


@pytest.mark.parametrize("data", [b"this is a text", b"BM", bytes(1000)])
def test_what_is_no_picture_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "part.png"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"part\.png: is not a picture that OpenCV can read; remove it or save it"):
        read_image(path)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"BM", b"II*\0"]))
def test_any_bytes_are_a_picture_or_an_image_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, start: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.png"
    path.write_bytes(start + data)
    try:
        assert read_image(path).dtype == np.uint8
    except ImageError as error:
        assert str(path) in str(error)


def test_a_picture_larger_than_opencv_takes_is_refused(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    (tmp_path / "vast.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + body)
    with pytest.raises(ImageError, match=r"vast\.png: OpenCV cannot decode it"):
        read_image(tmp_path / "vast.png")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="none.png: cannot be read: No such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(ImageError, match="cannot be read: it is a folder, not a file; name a file"):
        read_image(tmp_path)


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match=r"pipe\.png: cannot be read: it is a device, a pipe or a socket"):
        read_image(tmp_path / "pipe.png")


def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    for name in ("a\0b.png", "a" * 300 + ".png"):
        with pytest.raises(ImageError, match="cannot be read: "):
            read_image(tmp_path / name)


@pytest.mark.parametrize("name", ["part", "part.xyz"])
def test_a_suffix_without_a_format_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match=rf"{name}: OpenCV cannot encode '.*'; take .png"):
        write_image(tmp_path / name, PICTURE)


def test_a_full_disk_is_an_image_error(tmp_path: Path) -> None:
    said = run_limited(
        """
import numpy as np
from edge_inspect.edge.errors import ImageError
from edge_inspect.edge.frame.images import write_image
full(1000)
try:
    write_image(Path(sys.argv[1]), np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
except ImageError as error:
    print(error)
""",
        str(tmp_path / "part.png"),
    )
    assert said.endswith("part.png: cannot be written: File too large")
