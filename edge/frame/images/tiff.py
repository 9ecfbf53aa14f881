"""TIFF's directories, which TIFF pictures have, and which EXIF data has in other formats."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from edge_inspect.edge.frame.images.facts import Facts, Unreadable, cut_off, damaged, not_read

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MOST_PAGES = 10_000

_SUBFILE, _OLD_SUBFILE, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION, _LARGEST = 254, 255, 258, 259, 262, 274, 281
_JPEG_TABLES = 347
_REDUCED, _MASK = 1, 4
_WHITE_IS_ZERO, _KNOWN_PHOTOMETRIC = 0, (0, 1, 2, 3, 5, 6)
_DEFLATED = (8, 32946)
_OLD_JPEG, _JPEG = 6, 7
_PARTS = ((273, 279), (324, 325))
"""Tags of the offsets and the lengths of a picture's strips, and of its tiles."""
_FORMS = {1: "B", 3: "H", 4: "I", 7: "B", 16: "Q"}
"""Types of values that are whole numbers, and type 7, plain bytes."""


@dataclass(frozen=True)
class Directory:
    """A directory of a TIFF file. Its attributes have the tag of an entry as key.

    Attributes:
        values: First value of each entry of whole numbers.
        places: Position of that value in the file.
        forms: `struct` format of all values of the entry.
    """

    values: dict[int, int]
    places: dict[int, int]
    forms: dict[int, str]

    def all_of(self, tag: int, data: bytes) -> tuple[int, ...]:
        """Return all values of an entry; an empty tuple if the directory does not have it."""
        if tag not in self.places:
            return ()
        if self.places[tag] + struct.calcsize(self.forms[tag]) > len(data):
            raise cut_off()
        return struct.unpack_from(self.forms[tag], data, self.places[tag])

    @property
    def orientation(self) -> int:
        """Orientation of the picture, 1 to 8; 1 if it is missing or invalid."""
        value = self.values.get(_ORIENTATION, 1)
        return value if 1 <= value <= 8 else 1

    @property
    def is_picture(self) -> bool:
        """Whether this is a page of its own, and not a thumbnail or a mask of another one."""
        return not self.values.get(_SUBFILE, 0) & (_REDUCED | _MASK) and self.values.get(_OLD_SUBFILE, 1) != 2


def orientation_of_exif(exif: bytes) -> int:
    """Return the orientation in EXIF data, with or without the prefix `Exif`; 1 if it cannot be read."""
    exif = exif[6:] if exif.startswith(b"Exif\0\0") else exif
    if exif[:4] not in SIGNATURES:
        return 1
    try:
        return next(_directories(exif)).orientation
    except (Unreadable, StopIteration):
        return 1


def examine(data: bytes) -> Facts:
    """Return the facts about a TIFF.

    Raises:
        Unreadable: It has several pages, colours that OpenCV would read wrongly, or a directory outside the file.
    """
    pages = [page for page in _directories(data) if page.is_picture]
    if not pages:
        raise damaged("no directory of it holds a picture")
    if len(pages) > 1:
        raise not_read(f"holds {len(pages)} pages; one picture is needed")
    values = pages[0].values
    if values.get(_COMPRESSION) in _DEFLATED:
        _check_deflated(pages[0], data)
    photometric, bits = values.get(_PHOTOMETRIC, 1), values.get(_BITS, 8)
    if photometric not in _KNOWN_PHOTOMETRIC or (photometric == _WHITE_IS_ZERO and bits > 8):
        raise not_read(f"has colours (photometric interpretation {photometric}, {bits} bits) that cannot be read here")
    largest = values.get(_LARGEST, 0)
    white = largest if bits == 16 and largest in (1023, 4095, 16383) else None
    lossy = values.get(_COMPRESSION) in (_OLD_JPEG, _JPEG)
    return Facts(orientation=pages[0].orientation, white=white, lossy=lossy)


def upright(data: bytes) -> bytes:
    """Return the file with its orientation set to 1, because OpenCV would rotate the picture too."""
    for page in _directories(data):
        if page.orientation != 1:
            order = "<" if data[:2] == b"II" else ">"
            changed = bytearray(data)
            struct.pack_into(f"{order}{page.forms[_ORIENTATION][-1]}", changed, page.places[_ORIENTATION], 1)
            data = bytes(changed)
    return data


def jpeg_streams(data: bytes) -> Iterator[bytes]:
    """Yield each strip or tile of a JPEG-compressed TIFF as a separate JPEG; yield nothing for another compression.

    Raises:
        Unreadable: A strip or tile lies outside the file.
    """
    for page in _directories(data):
        if page.values.get(_COMPRESSION) == _JPEG:
            tables = bytes(page.all_of(_JPEG_TABLES, data))  # between a start and an end marker, which are removed
            for _, part in _parts(page, data):
                yield tables[:-2] + part[2:] if tables else part


def _check_deflated(page: Directory, data: bytes) -> None:
    """Decompress every strip or tile to verify its checksum, which libtiff does not do."""
    for start, part in _parts(page, data):
        try:
            zlib.decompress(part)
        except zlib.error as error:
            raise damaged(f"the part at byte {start} cannot be decompressed ({error})") from error


def _parts(page: Directory, data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the position and the bytes of each strip or tile."""
    for offsets, lengths in _PARTS:
        for start, length in zip(page.all_of(offsets, data), page.all_of(lengths, data), strict=False):
            if start + length > len(data):
                raise cut_off()
            yield start, data[start : start + length]


def _directories(data: bytes) -> Iterator[Directory]:
    """Yield all directories of the chain that begins in the header."""
    order, big = "<" if data[:2] == b"II" else ">", 43 in data[2:4]
    offset = _number(data, 8 if big else 4, f"{order}{'Q' if big else 'I'}")
    seen: set[int] = set()
    while offset:
        if offset in seen or len(seen) == MOST_PAGES:
            raise damaged("its directories follow each other in a circle")
        seen.add(offset)
        directory, offset = _directory(data, offset, order, big)
        yield directory


def _directory(data: bytes, offset: int, order: str, big: bool) -> tuple[Directory, int]:
    """Return the directory at an offset, and the offset of the next one; 0 after the last."""
    size = 20 if big else 12
    count = _number(data, offset, f"{order}{'Q' if big else 'H'}")
    first = offset + (8 if big else 2)
    if first + count * size > len(data):
        raise cut_off()
    values, places, forms = {}, {}, {}
    for place in range(first, first + count * size, size):
        tag, kind = struct.unpack_from(f"{order}HH", data, place)
        number = _number(data, place + 4, f"{order}{'Q' if big else 'I'}")
        if kind not in _FORMS or number < 1:
            continue
        width, inside = struct.calcsize(_FORMS[kind]), place + (12 if big else 8)
        if number * width > (8 if big else 4):
            inside = _number(data, inside, f"{order}{'Q' if big else 'I'}")
            if inside + width > len(data):
                continue
        values[tag], places[tag] = _number(data, inside, f"{order}{_FORMS[kind]}"), inside
        forms[tag] = f"{order}{number}{_FORMS[kind]}"
    return Directory(values, places, forms), _number(data, first + count * size, f"{order}{'Q' if big else 'I'}", 0)


def _number(data: bytes, offset: int, form: str, default: int | None = None) -> int:
    if offset + struct.calcsize(form) > len(data):
        if default is None:
            raise cut_off()
        return default
    (value,) = struct.unpack_from(form, data, offset)
    return int(value)
