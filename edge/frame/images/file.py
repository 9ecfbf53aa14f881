"""Read and write a picture's file."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.errors import ImageError
from edge_inspect.edge.files import read_file
from edge_inspect.edge.frame.images import formats, jpeg, png, tiff
from edge_inspect.edge.frame.images.facts import Facts, Unreadable
from edge_inspect.edge.frame.images.folder import SUFFIXES
from edge_inspect.edge.frame.images.frame import Frame, to_frame
from edge_inspect.edge.text import clean

MOST_BYTES = 1 << 32
"""Largest size of a file in bytes: that of the largest picture that OpenCV reads, uncompressed with 16 bits."""

_SILENT = 0
_silence = threading.Lock()
"""Held while OpenCV's log is off. All threads share its log level, and each must restore the previous one."""
set_opencv_log_level: Callable[[int], int] = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
"""OpenCV's function to set the log level, which returns the previous one. OpenCV 5 has it in another module."""

_TURNS: dict[int, tuple[bool, int | None]] = {
    1: (False, None),
    2: (True, None),
    3: (False, cv2.ROTATE_180),
    4: (True, cv2.ROTATE_180),
    5: (True, cv2.ROTATE_90_COUNTERCLOCKWISE),
    6: (False, cv2.ROTATE_90_CLOCKWISE),
    7: (True, cv2.ROTATE_90_CLOCKWISE),
    8: (False, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
"""For each EXIF orientation: whether left and right are swapped first, and how the picture is rotated after that."""


def read_image(path: Path, bits: int | None = None) -> Frame:
    """Read a picture and rotate it upright by its EXIF orientation.

    Greyscale becomes three equal channels, 16 bits become 8, and alpha is dropped. Bytes after the end of the picture
    are ignored. Damaged pictures are refused as far as the format shows damage (see `edge.frame.images.jpeg`).

    Args:
        path: Path of the file. Its content, not its suffix, decides the format.
        bits: Number of bits that the values of a 16-bit picture use, one of `edge.frame.fit_modes.DEPTHS`. `None` means
            16. Then a 16-bit picture with no value above 4095 is refused, because it probably has 10 or 12 bits.

    Raises:
        ImageError: The file is missing or damaged, is not a picture, has several pictures, or cannot be read here.
    """
    image, facts = read_raw(path)
    try:
        return to_frame(_scaled(image, facts.white, bits), clean(path))
    except Unreadable as error:
        raise ImageError(f"{clean(path)}: {error}") from error


def read_raw(path: Path) -> tuple[NDArray[np.generic], Facts]:
    """Return a picture's values as they are stored, but rotated upright, and the facts that its file gives.

    Raises:
        ImageError: As `read_image`.
    """
    try:
        data = read_file(path, MOST_BYTES)
    except OSError as error:
        raise ImageError(f"{clean(path)}: cannot be read: {error.strerror}") from error
    try:
        facts = _examine(data)
        return _turned(_decode(data), facts.orientation), facts
    except Unreadable as error:
        raise ImageError(f"{clean(path)}: {error}") from error
    except MemoryError as error:
        raise ImageError(f"{clean(path)}: is too large for this machine's memory") from error


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a picture in the format that the suffix names.

    Raises:
        ImageError: OpenCV does not have the format, the folder cannot be written, or the disk is full.
    """
    try:
        _, data = cv2.imencode(path.suffix, image)
    except cv2.error as error:
        known = ", ".join(SUFFIXES)
        raise ImageError(f"{clean(path)}: OpenCV cannot encode {path.suffix!r}; take {known}") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise ImageError(f"{clean(path)}: cannot be written: {error.strerror}") from error


def pixel_digest(frame: Frame) -> str:
    """Return the sha256 of a picture's size and pixels. Copies have the same one, whatever their name and format."""
    digest = hashlib.sha256(np.array(frame.shape, "<u4").tobytes())
    digest.update(np.ascontiguousarray(frame).data)
    return digest.hexdigest()


def _examine(data: bytes) -> Facts:
    if not data:
        raise Unreadable("is an empty file; copy it again or remove it")
    if data.startswith(png.SIGNATURE):
        return png.examine(data)
    if data.startswith(jpeg.SIGNATURE):
        return jpeg.examine(data)
    if data.startswith(tiff.SIGNATURES):
        return tiff.examine(data)
    return formats.examine(data)


def _decode(data: bytes) -> NDArray[np.generic]:
    if data.startswith(jpeg.SIGNATURE):
        return jpeg.decode(data)
    if data.startswith(tiff.SIGNATURES):
        for stream in tiff.jpeg_streams(data):  # because libtiff hides libjpeg's warnings
            jpeg.examine(stream)
            jpeg.decode(stream)
        data = tiff.upright(data)
    with _silence:
        before = set_opencv_log_level(_SILENT)  # because the error that is raised has the reason
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error as error:  # more pixels than OpenCV can read
            raise Unreadable(f"OpenCV cannot decode it: {error.err}") from error
        finally:
            set_opencv_log_level(before)
    if image is None:
        raise Unreadable("is not a picture that OpenCV can read; remove it or save it again as PNG")
    return np.asarray(image)


def _turned(image: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    mirrored, turn = _TURNS[orientation]
    if mirrored:
        image = np.asarray(cv2.flip(image, 1))
    return image if turn is None else np.asarray(cv2.rotate(image, turn))


def _scaled(image: NDArray[np.generic], white: int | None, bits: int | None) -> NDArray[np.generic]:
    """Return the values scaled so that white is the type's largest value."""
    if image.dtype not in (np.uint8, np.uint16):
        return image
    full = 255 if image.dtype == np.uint8 else 65535
    if image.dtype == np.uint16 and white is None:
        largest = int(image.max(initial=0))
        if bits is None and 0 < largest < 4096:
            raise Unreadable(
                f"has 16 bits per pixel but no value above {largest}: its camera may give 10 or 12 bits; set that with "
                "bits (edge-train fit --bits 12), or set --bits 16 if the picture is that dark"
            )
        white = (1 << bits) - 1 if bits else full
        if largest > white:
            raise Unreadable(f"has values up to {largest}, but {bits} bits end at {white}")
    if white is None or white == full:
        return image
    return np.asarray(np.minimum((image.astype(np.uint64) * full + white // 2) // white, full), image.dtype)
