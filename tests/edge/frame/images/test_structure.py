"""Pictures from phones, tools and faulty memory sticks are read correctly, or refused with the file's name."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from edge_inspect.edge.errors import ImageError
from edge_inspect.edge.frame.images import file as file_module
from edge_inspect.edge.frame.images import jpeg as jpeg_format
from edge_inspect.edge.frame.images import pixel_digest, read_image
from edge_inspect.edge.frame.images.facts import Unreadable

RNG = np.random.default_rng(5)


def scene(width: int = 160, height: int = 120) -> np.ndarray:
    """Smooth shapes and fine grain, (height, width, 3) RGB."""
    y, x = np.mgrid[:height, :width]
    base = np.dstack([x * 255 / width, y * 255 / height, 128 + 90 * np.sin(x / 7) * np.cos(y / 9)])
    return np.clip(base + RNG.normal(0, 12, base.shape), 0, 255).astype(np.uint8)


SCENE = scene()
PICTURE = Image.fromarray(SCENE)


def packed(image: Image.Image = PICTURE, form: str = "JPEG", **options: object) -> bytes:
    target = io.BytesIO()
    image.save(target, form, **({"quality": 92} if form == "JPEG" else {}) | options)
    return target.getvalue()


def read(folder: Path, data: bytes, **options: int) -> np.ndarray:
    path = folder / "part.bin"
    path.write_bytes(data)
    return read_image(path, **options)


def refused(folder: Path, data: bytes) -> str:
    with pytest.raises(ImageError) as error:
        read(folder, data)
    assert str(error.value).startswith(f"{folder / 'part.bin'}: ")
    return str(error.value)


def bgr(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))[..., ::-1]


JPEGS = {
    "baseline": packed(),
    "progressive": packed(progressive=True),
    "optimised": packed(optimize=True),
    "restarts": packed(restart_marker_blocks=4),
    "full chroma": packed(subsampling=0),
    "one row of blocks": packed(subsampling="4:2:2"),
    "grey": packed(PICTURE.convert("L")),
    "with a thumbnail": packed(exif=b"Exif\0\0" + b"II*\0\x08\0\0\0\0\0\0\0\0\0" + packed(PICTURE.resize((40, 30)))),
    "with a comment": packed(comment=b"\xff\xd9 is no end here \xff\xda"),
}


@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_is_what_libjpeg_makes_of_it(tmp_path: Path, name: str) -> None:
    found = read(tmp_path, JPEGS[name])
    np.testing.assert_array_equal(found, cv2.imdecode(np.frombuffer(JPEGS[name], np.uint8), cv2.IMREAD_COLOR))


@pytest.mark.parametrize(
    "behind",
    [bytes(70000), b"\xff" * 3, b"MotionPhoto_Data" + bytes(range(256)) * 300, packed(PICTURE.resize((40, 30)))],
    ids=["padding", "fill bytes", "film", "second picture"],
)
@pytest.mark.parametrize("kind", ["JPEG", "progressive", "PNG", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000"])
def test_what_lies_behind_the_end_is_no_damage(tmp_path: Path, behind: bytes, kind: str) -> None:
    whole = JPEGS["progressive"] if kind == "progressive" else packed(form=kind)
    np.testing.assert_array_equal(read(tmp_path, whole + behind), read(tmp_path, whole))


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_jpeg_without_its_end_is_cut_off(tmp_path: Path, name: str, share: float) -> None:
    data = JPEGS[name]
    assert re.search("is cut off before its end|is damaged", refused(tmp_path, data[: int(len(data) * share)]))


@pytest.mark.parametrize("name", ["baseline", "progressive", "optimised", "restarts", "full chroma", "grey"])
def test_data_lost_in_the_middle_is_damage(tmp_path: Path, name: str) -> None:
    data = JPEGS[name]
    middle = len(data) * 2 // 3
    for lost in (700, 2000, len(data) - middle - 2):
        assert "is damaged: " in refused(tmp_path, data[:middle] + data[middle + lost :])


@pytest.mark.parametrize("count", [64, 512, 1000])
@pytest.mark.parametrize("name", ["baseline", "full chroma", "grey", "restarts"])
def test_zeros_in_the_middle_are_damage(tmp_path: Path, count: int, name: str) -> None:
    data = JPEGS[name]
    for share in (0.4, 0.55, 0.7):
        middle = int(len(data) * share)
        spoilt = data[:middle] + bytes(count) + data[middle + count :]
        assert "is damaged: " in refused(tmp_path, spoilt)


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize(
    "options", [{}, {"optimize": True}, {"progressive": True}, {"restart_marker_blocks": 1}], ids=str
)
def test_a_picture_of_one_colour_is_none(tmp_path: Path, value: int, options: dict[str, object]) -> None:
    plain = Image.new("RGB", (1600, 1200), (value, value, 128))
    assert np.ptp(read(tmp_path, packed(plain, **options)).reshape(-1, 3), axis=0).max() <= 3


def test_a_few_zeros_before_the_end_are_padding(tmp_path: Path) -> None:
    data = JPEGS["baseline"]
    np.testing.assert_array_equal(read(tmp_path, data[:-2] + bytes(8) + data[-2:]), read(tmp_path, data))
    assert "extraneous bytes" in refused(tmp_path, data[:-2] + b"\x35\x12" + data[-2:])
    np.testing.assert_array_equal(
        jpeg_format.decode(data[:-2] + b"\x35\x12" + data[-2:], padded=True), read(tmp_path, data)
    )
    with pytest.raises(Unreadable, match="is damaged: .*99 extraneous bytes"):
        jpeg_format.decode(data[:-2] + b"\x35" * 100 + data[-2:], padded=True)


def test_a_frame_without_huffman_tables_is_decoded(tmp_path: Path) -> None:
    """Some cameras omit the standard Huffman tables."""
    data = JPEGS["baseline"]
    tables = re.search(rb"\xff\xc4.*?(?=\xff\xda)", data, re.DOTALL)
    assert tables is not None
    bare = data.replace(tables[0], b"")
    assert len(bare) < len(data) - 300
    np.testing.assert_array_equal(jpeg_format.decode(bare, padded=True), read(tmp_path, data))


@pytest.mark.parametrize(
    "data", [b"\xff\xd8\xff\xd9", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\0\1\xff\xd9", b"", b"\x89PNG\r\n\x1a\nIEND"]
)
def test_what_holds_no_picture_is_refused(tmp_path: Path, data: bytes) -> None:
    assert re.search("is cut off|is damaged|is an empty file", refused(tmp_path, data))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_their_orientation_says(tmp_path: Path, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = packed(form=kind, exif=exif, **options)
    with Image.open(io.BytesIO(data)) as image:
        wanted = bgr(ImageOps.exif_transpose(image))
    found = read(tmp_path, data)
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).max() <= (40 if kind == "JPEG" else 0)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_is_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(read(tmp_path, packed(exif=exif)), read(tmp_path, packed()))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_a_png_s_chunks_are_checked(tmp_path: Path) -> None:
    data = packed(form="PNG")
    middle = data.index(b"IDAT") + 500
    spoilt = bytearray(data)
    spoilt[middle] ^= 1
    assert "is damaged: chunk IDAT at byte" in refused(tmp_path, bytes(spoilt))
    assert "is cut off" in refused(tmp_path, data[:-12])
    assert re.search("is damaged|is cut off", refused(tmp_path, data[: middle - 200] + data[middle:]))
    noted = data[:33] + chunk(b"tEXt", b"Comment\0IEND") + data[33:]
    np.testing.assert_array_equal(read(tmp_path, noted), bgr(PICTURE))


def test_a_png_of_too_few_rows_is_refused(tmp_path: Path) -> None:
    data = packed(form="PNG")
    header = struct.pack(">IIBBBBB", 160, 400, 8, 2, 0, 0, 0)
    refused(tmp_path, data[:8] + chunk(b"IHDR", header) + data[33:])


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "TIFF"])
def test_more_than_one_picture_is_refused(tmp_path: Path, kind: str) -> None:
    more = [Image.fromarray(scene()) for _ in range(2)]
    said = refused(tmp_path, packed(form=kind, save_all=True, append_images=more))
    assert re.search(r"is an animation|is a GIF, which may hold several|holds 3 pages; one picture is needed", said)


def test_a_tiff_with_a_small_copy_is_one_picture(tmp_path: Path) -> None:
    small = PICTURE.resize((40, 30))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    target = io.BytesIO()
    PICTURE.save(target, "TIFF", save_all=True, append_images=[small])
    np.testing.assert_array_equal(read(tmp_path, target.getvalue()), bgr(PICTURE))


@pytest.mark.parametrize(
    ("kind", "mode"),
    [(kind, mode) for kind in ("PNG", "TIFF", "BMP") for mode in ("1", "L", "P", "RGB")]
    + [("PNG", "LA"), ("PNG", "RGBA"), ("TIFF", "RGBA"), ("TIFF", "CMYK"), ("JPEG2000", "RGB"), ("PPM", "L")],
)
def test_the_colours_are_those_of_other_readers(tmp_path: Path, kind: str, mode: str) -> None:
    image = PICTURE.quantize(16) if mode == "P" else PICTURE.convert(mode)
    data = packed(image, kind)
    with Image.open(io.BytesIO(data)) as opened:
        np.testing.assert_allclose(read(tmp_path, data).astype(int), bgr(opened), atol=1)


def test_a_cmyk_jpeg_has_its_colours(tmp_path: Path) -> None:
    smooth = PICTURE.resize((8, 6)).resize((160, 120), Image.Resampling.BICUBIC).convert("CMYK")
    data = packed(smooth)
    with Image.open(io.BytesIO(data)) as opened:
        np.testing.assert_allclose(read(tmp_path, data).astype(int), bgr(opened), atol=3)
    middle = len(data) // 2
    assert "is damaged" in refused(tmp_path, data[:middle] + data[middle + 900 :])


def tiff(bits: int, photometric: int, pixels: bytes, width: int = 30, height: int = 20, **more: int) -> bytes:
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 277: 1, 278: height, 279: len(pixels)}
    tags |= {int(tag[1:]): value for tag, value in more.items()}
    tags[273] = 8 + 2 + 12 * (len(tags) + 1) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + struct.pack("<I", 0) + pixels


VALUES = (np.arange(600) * 4095 // 599).astype(np.uint16).reshape(20, 30)
EIGHT = np.rint(VALUES / 4095 * 255)


def test_values_of_12_bits_are_spread(tmp_path: Path) -> None:
    bits = "".join(format(int(value), "012b") for value in VALUES.ravel())
    cases = {
        "packed": tiff(12, 1, int(bits, 2).to_bytes(900, "big")),
        "said by TIFF": tiff(16, 1, VALUES.tobytes(), t281=4095),
        "said by PGM": b"P5\n# of a camera\n30 20\n4095\n" + VALUES.astype(">u2").tobytes(),
        "shifted": tiff(16, 1, (VALUES << 4).tobytes()),
    }
    for name, data in cases.items():
        np.testing.assert_allclose(read(tmp_path, data)[..., 0], EIGHT, atol=1, err_msg=name)


def test_12_of_16_bits_are_named_and_read_where_it_is_said(tmp_path: Path) -> None:
    data = packed(Image.fromarray(VALUES), "PNG")
    assert "has 16 bits per pixel but no value above 4095: its camera may give 10 or 12 bits" in refused(tmp_path, data)
    np.testing.assert_allclose(read(tmp_path, data, bits=12)[..., 0], EIGHT, atol=1)
    np.testing.assert_allclose(read(tmp_path, data, bits=16)[..., 0], VALUES / 257, atol=1)
    with pytest.raises(ImageError, match="has values up to 4095, but 10 bits end at 1023"):
        read(tmp_path, data, bits=10)
    assert not read(tmp_path, packed(Image.fromarray(VALUES * 0), "PNG")).any()
    np.testing.assert_array_equal(read(tmp_path, packed(form="PNG"), bits=12), bgr(PICTURE))


def test_a_pixmap_s_largest_value_is_white(tmp_path: Path) -> None:
    values = np.arange(100, dtype=np.uint8).reshape(10, 10)
    found = read(tmp_path, b"P5 10 10 99\n" + values.tobytes())
    np.testing.assert_allclose(found[..., 0], values / 99 * 255, atol=1)
    assert "is cut off before its end" in refused(tmp_path, b"P5 10 10 99\n" + values.tobytes()[:-1])


@pytest.mark.parametrize(
    ("header", "count"), [(b"P5 10 10 4095\n", 200), (b"P6\n# a comment\n10 5 255\n", 150), (b"P6 5 5 65535 ", 150)]
)
def test_a_pixmap_that_lacks_a_byte_is_cut_off(tmp_path: Path, header: bytes, count: int) -> None:
    read(tmp_path, header + b"\x1f" * count)
    assert "is cut off before its end" in refused(tmp_path, header + b"\x1f" * (count - 1))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (tiff(16, 0, VALUES.tobytes()), "photometric interpretation 0, 16 bits"),
        (tiff(8, 8, bytes(600)), "photometric interpretation 8"),
        (tiff(32, 1, bytes(2400), t339=3), "pixels of type float32"),
        (tiff(16, 1, VALUES.tobytes(), t339=2), "pixels of type int16"),
        (b"\0\0\0\x18ftypheic" + bytes(100), r"not read here \(heic, HEIC or AVIF\)"),
        (packed(form="GIF"), "is a GIF, which may hold several pictures"),
        (tiff(8, 1, bytes(600))[:30], "is cut off before its end"),
    ],
)
def test_what_would_be_misread_is_refused_by_name(tmp_path: Path, data: bytes, said: str) -> None:
    assert re.search(said, refused(tmp_path, data))


def test_copies_are_equal_whatever_their_format(tmp_path: Path) -> None:
    made: list[Callable[[], bytes]] = [
        lambda: packed(form="PNG"),
        lambda: packed(form="BMP"),
        lambda: packed(form="TIFF", compression="tiff_lzw"),
        lambda: packed(form="WEBP", lossless=True),
    ]
    assert len({pixel_digest(read(tmp_path, make())) for make in made}) == 1
    assert pixel_digest(SCENE) != pixel_digest(SCENE.reshape(160, 120, 3))


@pytest.mark.parametrize("largest", [100, 255, 1023])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_ascii_pixmap_reads_as_the_binary_one(tmp_path: Path, largest: int, channels: int) -> None:
    values = np.linspace(0, largest, 12 * channels).astype(">u2" if largest > 255 else np.uint8)
    ascii_, binary = (b"P2", b"P5") if channels == 1 else (b"P3", b"P6")
    header = b"\n4 3\n%d\n" % largest
    one = read(tmp_path, ascii_ + header + b" ".join(b"%d" % value for value in values) + b"\n")
    other = read(tmp_path, binary + header + values.tobytes())
    assert np.abs(one.astype(int) - other).max() <= 1 and one.max() == 255


def test_threads_that_read_leave_opencvs_log_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "part.png"
    path.write_bytes(packed(form="PNG"))
    set_level = file_module.set_opencv_log_level
    before = set_level(3)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(read_image, [path] * 100))
    finally:
        assert set_level(before) == 3
