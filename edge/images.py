"""Pictures from files, in the one form everything else takes: uint8 BGR."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import ImageError

Frame = NDArray[np.uint8]
"""A picture: (height, width, 3) uint8, BGR."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def list_images(folder: Path) -> list[Path]:
    """The pictures directly in `folder`, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())


def read_image(path: Path) -> Frame:
    """Reads a picture. Greyscale becomes three equal channels, 16 bits become 8 (divided by 257), alpha is dropped.

    Raises:
        ImageError: The file is missing, truncated or no picture.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror}") from error
    if _truncated(data):
        raise ImageError(f"{path}: is cut off before its end; copy the file again or remove it")
    try:
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except cv2.error as error:  # more pixels than OpenCV takes
        raise ImageError(f"{path}: OpenCV cannot decode it: {error.err}") from error
    if image is None:
        raise ImageError(f"{path}: is not a picture OpenCV can read; remove it or save it again as PNG")
    return to_frame(np.asarray(image), str(path))


def to_frame(image: NDArray[np.generic], source: str = "image") -> Frame:
    """Turns a decoded picture of 1, 3 or 4 channels and 8 or 16 bits into a `Frame`.

    Raises:
        ImageError: Another number of channels or another type.
    """
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if image.dtype != np.uint8:
        raise ImageError(f"{source}: has pixels of type {image.dtype}; 8 and 16 bits are supported")
    if image.ndim == 3 and image.shape[2] == 3:
        return np.ascontiguousarray(image)
    if image.ndim == 2 or image.shape[2] == 1:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    if image.shape[2] == 4:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGRA2BGR), np.uint8)
    raise ImageError(f"{source}: has {image.shape[2]} channels; 1, 3 and 4 are supported")


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Reads a ground-truth mask: (height, width) uint8, 1 where it is marked, 0 elsewhere.

    Marked is above 127; in a mask of values 0 and 1, above 0.
    """
    mask = read_image(path).max(axis=2)
    return np.asarray(mask > (127 if mask.max() > 1 else 0), np.uint8)


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Writes a picture; the format follows the suffix.

    Raises:
        ImageError: OpenCV has no such format, the folder cannot be written, or the disk is full.
    """
    try:
        _, data = cv2.imencode(path.suffix, image)
    except cv2.error as error:
        raise ImageError(f"{path}: OpenCV cannot encode {path.suffix!r}; take {', '.join(SUFFIXES)}") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise ImageError(f"{path}: cannot be written: {error.strerror}") from error


def _truncated(data: NDArray[np.uint8]) -> bool:
    """Whether a PNG or JPEG lacks its end: OpenCV decodes such files and fills the rest with grey."""
    tail = data[-64:].tobytes()
    if data[:8].tobytes() == b"\x89PNG\r\n\x1a\n":
        return b"IEND" not in tail
    if data[:3].tobytes() == b"\xff\xd8\xff":
        return b"\xff\xd9" not in data[-4096:].tobytes()
    return False
