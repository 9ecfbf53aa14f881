"""PNG's chunks, from the signature to IEND. Bytes after IEND do not belong to the picture."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from edge_inspect.edge.frame.images.facts import Facts, cut_off, damaged, not_read
from edge_inspect.edge.frame.images.tiff import orientation_of_exif

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MEANS = (b"eXIf", b"acTL", b"tRNS")
"""Optional chunks whose checksum is verified too, because they affect orientation, frames or transparency."""


def examine(data: bytes) -> Facts:
    """Return the facts about a PNG.

    Raises:
        Unreadable: The file ends before IEND, the checksum of a chunk is wrong, or it is an animation.
    """
    orientation = 1
    for kind, content in _chunks(data):
        if kind == b"eXIf":
            orientation = orientation_of_exif(content)
        elif kind == b"acTL" and content[:4] > b"\0\0\0\1":
            raise not_read(f"is an animation of {int.from_bytes(content[:4], 'big')} frames; one picture is needed")
    return Facts(orientation=orientation)


def size(data: bytes) -> tuple[int, int]:
    """Return width and height of a PNG, without decoding it.

    Raises:
        Unreadable: It does not begin as a PNG does.
    """
    if not data.startswith(SIGNATURE) or len(data) < 24 or data[12:16] != b"IHDR":
        raise damaged("it has no header of a PNG")
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the content of each chunk up to IEND."""
    place = len(SIGNATURE)
    while True:
        if place + 12 > len(data):
            raise cut_off()
        (length,) = struct.unpack_from(">I", data, place)
        kind, end = data[place + 4 : place + 8], place + 8 + length
        if not kind.isalpha():
            raise damaged(f"no chunk begins at byte {place}")
        if end + 4 > len(data):
            raise cut_off()
        content = data[place + 8 : end]
        checksum = int.from_bytes(data[end : end + 4], "big")
        if (kind[:1].isupper() or kind in _MEANS) and zlib.crc32(content, zlib.crc32(kind)) != checksum:
            raise damaged(f"chunk {kind.decode()} at byte {place} has a wrong checksum")
        yield kind, content
        if kind == b"IEND":
            return
        place = end + 4
