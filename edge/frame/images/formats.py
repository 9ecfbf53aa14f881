"""Formats that need only a few lines of code: WebP, portable pixmaps, JPEG 2000, and formats that are refused."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from edge_inspect.edge.frame.images.facts import Facts, cut_off, damaged, not_read
from edge_inspect.edge.frame.images.tiff import orientation_of_exif

_PIXMAP = re.compile(rb"P([1-6])(?:\s|#[^\n]*\n)+?(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:(?:\s|#[^\n]*\n)+(\d+))?(?:\s|$)")
_CODESTREAM = b"\xff\x4f\xff\x51"
_ANIMATED = 0x02


def examine(data: bytes) -> Facts:
    """Return the facts about a picture whose format is neither JPEG nor PNG nor TIFF.

    Raises:
        Unreadable: The format cannot be read here, the file is an animation, or it is cut off.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    if data[:1] == b"P" and data[1:2].isdigit():
        return _pixmap(data)
    if data[4:8] == b"jP  " or data[:4] == _CODESTREAM:
        return _jpeg_2000(data)
    if data[:4] == b"GIF8":
        raise not_read("is a GIF, which may hold several pictures")
    if data[4:8] == b"ftyp":
        raise not_read(f"is of a kind that is not read here ({data[8:12].decode('ascii', 'replace')}, HEIC or AVIF)")
    return Facts()


def _webp(data: bytes) -> Facts:
    if struct.unpack_from("<I", data, 4)[0] + 8 > len(data):
        raise cut_off()
    orientation, lossy = 1, False
    for kind, content in _riff_chunks(data):
        if kind == b"ANIM" or (kind == b"VP8X" and content[:1] and content[0] & _ANIMATED):
            raise not_read("is an animation; one picture is needed")
        if kind == b"EXIF":
            orientation = orientation_of_exif(content)
        lossy |= kind == b"VP8 "
    return Facts(orientation=orientation, lossy=lossy)


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place, end = 12, struct.unpack_from("<I", data, 4)[0] + 8
    while place + 8 <= end:
        (length,) = struct.unpack_from("<I", data, place + 4)
        if place + 8 + length > end:
            raise damaged(f"its part at byte {place} is longer than the file")
        yield data[place : place + 4], data[place + 8 : place + 8 + length]
        place += 8 + length + length % 2


def _pixmap(data: bytes) -> Facts:
    found = _PIXMAP.match(data)
    if found is None or found[1] in b"14":
        return Facts()
    if found[4] is None:
        raise damaged("its header has no largest value")
    if not 0 < (largest := int(found[4])) <= 65535:
        raise damaged(f"its header says that {largest} is the largest value")
    if found[1] in b"56":
        values = int(found[2]) * int(found[3]) * (3 if found[1] == b"6" else 1)
        if found.end() + values * (2 if largest > 255 else 1) > len(data):
            raise cut_off()
    scaled = found[1] in b"23" and largest <= 255  # OpenCV itself scales these to 255
    return Facts(white=None if scaled or largest in (255, 65535) else largest)


def _jpeg_2000(data: bytes) -> Facts:
    """Return the facts about a JPEG 2000. The number of bits is in the codestream's first segment, SIZ."""
    place = data.find(_CODESTREAM)
    if place < 0 or place + 43 > len(data):
        raise cut_off()
    precision = data[place + 42]
    if precision & 0x80:
        raise not_read("has pixels with a sign")
    bits = precision + 1
    if bits > 16:
        raise not_read(f"has {bits} bits a pixel")
    reversible = _reversible(data, place)
    return Facts(white=None if bits in (8, 16) else (1 << bits) - 1, lossy=not reversible)


def _reversible(data: bytes, place: int) -> bool:
    """Return whether the segment COD of the codestream names the lossless wavelet."""
    place += 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == 0x52:
            return data[place + 13 : place + 14] == b"\1"
        place += 2 + length
    return False
