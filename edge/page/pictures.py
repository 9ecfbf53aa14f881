"""The newest pictures and maps of all stations, in memory, as they were received."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal, NamedTuple

from edge_inspect.edge.frame.images import jpeg, png

PictureKind = Literal["picture", "map"]
_SIGNATURES: dict[PictureKind, bytes] = {"picture": jpeg.SIGNATURE, "map": png.SIGNATURE}
LARGEST_BYTES: dict[PictureKind, int] = {"picture": 2**24, "map": 2**19}


class PictureName(NamedTuple):
    """Key of a station, id of the verdict or of the command, and kind."""

    station: str
    identity: str
    kind: PictureKind


def is_picture(kind: PictureKind, data: bytes) -> bool:
    """Return whether a message has the size and the first bytes of a picture or of a map."""
    return data.startswith(_SIGNATURES[kind]) and len(data) <= LARGEST_BYTES[kind]


class PictureMemory:
    """Keeps bytes up to a total size, and forgets those first that were used last. Not thread-safe.

    Args:
        most_bytes: The largest total size.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes, self._bytes = most_bytes, 0
        self._kept: OrderedDict[tuple[object, ...], bytes] = OrderedDict()

    def put(self, name: tuple[object, ...], data: bytes) -> None:
        """Keep data under a name, in place of what had this name."""
        self._bytes += len(data) - len(self._kept.pop(name, b""))
        self._kept[name] = data
        while self._bytes > self._most_bytes:
            self._bytes -= len(self._kept.popitem(last=False)[1])

    def get(self, name: tuple[object, ...]) -> bytes | None:
        """Return the data with this name; `None` if it is not kept."""
        if name in self._kept:
            self._kept.move_to_end(name)
        return self._kept.get(name)

    def __contains__(self, name: tuple[object, ...]) -> bool:
        return name in self._kept
