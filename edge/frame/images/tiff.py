"""TIFF's directories: a picture's own, and the one that EXIF puts into other formats."""

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
"""Where a picture's strips, or its tiles, lie, and how long they are."""
_FORMS = {1: "B", 3: "H", 4: "I", 7: "B", 16: "Q"}
"""The types of a value that is a whole number, and 7, of plain bytes."""


@dataclass(frozen=True)
class Directory:
    """One of a file's directories.

    Attributes:
        values: The first value of each entry of whole numbers.
        places: Where that lies in the file.
        forms: How all values of the entry are packed.
    """

    values: dict[int, int]
    places: dict[int, int]
    forms: dict[int, str]

    def all_of(self, tag: int, data: bytes) -> tuple[int, ...]:
        """Return every value of an entry; nothing where it is not there."""
        if tag not in self.places:
            return ()
        if self.places[tag] + struct.calcsize(self.forms[tag]) > len(data):
            raise cut_off()
        return struct.unpack_from(self.forms[tag], data, self.places[tag])

    @property
    def orientation(self) -> int:
        """How the picture lies: 1 where nothing, or nothing sensible, is said."""
        value = self.values.get(_ORIENTATION, 1)
        return value if 1 <= value <= 8 else 1

    @property
    def is_picture(self) -> bool:
        """Whether it is a page of its own: neither a small copy of another nor its mask."""
        return not self.values.get(_SUBFILE, 0) & (_REDUCED | _MASK) and self.values.get(_OLD_SUBFILE, 1) != 2


def orientation_of_exif(exif: bytes) -> int:
    """Return the orientation that EXIF data has, with or without its `Exif` in front; 1 where it cannot be read."""
    exif = exif[6:] if exif.startswith(b"Exif\0\0") else exif
    if exif[:4] not in SIGNATURES:
        return 1
    try:
        return next(_directories(exif)).orientation
    except (Unreadable, StopIteration):
        return 1


def examine(data: bytes) -> Facts:
    """Return what a TIFF says of itself.

    Raises:
        Unreadable: It has more than one page, colours that OpenCV would misread, or a directory outside of the file.
    """
    pages = [page for page in _directories(data) if page.is_picture]
    if not pages:
        raise damaged("no directory of it holds a picture")
    if len(pages) > 1:
        raise not_read(f"holds {len(pages)} pages, and one picture is wanted")
    values = pages[0].values
    if values.get(_COMPRESSION) in _DEFLATED:
        _check_deflated(pages[0], data)
    photometric, bits = values.get(_PHOTOMETRIC, 1), values.get(_BITS, 8)
    if photometric not in _KNOWN_PHOTOMETRIC or (photometric == _WHITE_IS_ZERO and bits > 8):
        raise not_read(f"has colours (photometric interpretation {photometric}, {bits} bits) that are not read here")
    largest = values.get(_LARGEST, 0)
    white = largest if bits == 16 and largest in (1023, 4095, 16383) else None
    lossy = values.get(_COMPRESSION) in (_OLD_JPEG, _JPEG)
    return Facts(orientation=pages[0].orientation, white=white, lossy=lossy)


def upright(data: bytes) -> bytes:
    """Return the file with its orientation taken back to 1: OpenCV would turn the picture too."""
    for page in _directories(data):
        if page.orientation != 1:
            order = "<" if data[:2] == b"II" else ">"
            changed = bytearray(data)
            struct.pack_into(f"{order}{page.forms[_ORIENTATION][-1]}", changed, page.places[_ORIENTATION], 1)
            data = bytes(changed)
    return data


def jpeg_streams(data: bytes) -> Iterator[bytes]:
    """Yield each strip or tile of a TIFF whose pixels are packed as JPEG, as a JPEG of its own; else nothing.

    Raises:
        Unreadable: A strip lies outside of the file.
    """
    for page in _directories(data):
        if page.values.get(_COMPRESSION) == _JPEG:
            tables = bytes(page.all_of(_JPEG_TABLES, data))  # from a start marker to an end marker, which go
            for _, part in _parts(page, data):
                yield tables[:-2] + part[2:] if tables else part


def _check_deflated(page: Directory, data: bytes) -> None:
    """Unpack every strip or tile, for its checksum: libtiff leaves that alone."""
    for start, part in _parts(page, data):
        try:
            zlib.decompress(part)
        except zlib.error as error:
            raise damaged(f"the part at byte {start} cannot be unpacked ({error})") from error


def _parts(page: Directory, data: bytes) -> Iterator[tuple[int, bytes]]:
    """Return where each strip or tile begins, and its bytes."""
    for offsets, lengths in _PARTS:
        for start, length in zip(page.all_of(offsets, data), page.all_of(lengths, data), strict=False):
            if start + length > len(data):
                raise cut_off()
            yield start, data[start : start + length]


def _directories(data: bytes) -> Iterator[Directory]:
    """Return every directory in the chain from the header."""
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
    """Return the directory at an offset, and where the next one is; 0 after the last."""
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
