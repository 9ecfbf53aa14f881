"""Parts whose pictures come over MQTT: brought together from their messages, and saved in the layout of evidence."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.contract.ids import is_uuid7
from edge_inspect.edge.contract.messages import Defect, Region, Verdict
from edge_inspect.edge.evidence.folder import EvidenceFolder
from edge_inspect.edge.evidence.saved_part import SavedMap, SavedPart, files_of
from edge_inspect.edge.frame.images import jpeg, png
from edge_inspect.edge.frame.images.facts import Unreadable
from edge_inspect.edge.frame_map import AT_THRESHOLD
from edge_inspect.edge.labels.export import folder_names
from edge_inspect.edge.labels.label import PartKey
from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)

_BORDERLINE = 0.1
_WAIT_S = 3.0
_MOST_WAITING = 4096
_MOST_WAITING_BYTES = 64 * 2**20
_KEEP_FREE_BYTES = 256 * 2**20
_LARGEST_MAP = 1024


@dataclass
class _Waiting:
    """What has arrived of one part."""

    since: float
    verdict: Verdict | None = None
    regions: tuple[Region, ...] | None = None
    picture: bytes = b""
    map: bytes = b""

    @property
    def complete(self) -> bool:
        verdict = self.verdict
        return (
            verdict is not None
            and bool(self.picture and self.map)
            and (not verdict.is_rejected or verdict.shadow or self.regions is not None)
        )


class ReceivedParts:
    """Collects the messages of parts in memory, and writes the parts that have a picture to the disk.

    `verdict`, `picture` and `map` only remember, and may be called from any thread. One thread calls `save`, which
    writes.

    Args:
        folder: Folder of the received parts.
        max_bytes: Largest size of all files; the oldest parts are deleted.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._path, self._max_bytes = folder, max_bytes
        self._folder: EvidenceFolder | None = None
        self._lock = threading.Lock()
        self._waiting: OrderedDict[PartKey, _Waiting] = OrderedDict()
        self._bytes = 0
        self._problem: str | None = None

    @property
    def waiting_bytes(self) -> int:
        """Bytes of all pictures and maps that wait in memory."""
        return self._bytes

    def verdict(self, station: str, verdict: Verdict) -> None:
        """Remember a verdict, or a defect with its regions."""
        with self._lock:
            waiting = self._of(PartKey(station, verdict.id))
            waiting.verdict = verdict
            if isinstance(verdict, Defect):
                waiting.regions = verdict.regions

    def picture(self, station: str, identity: str, data: bytes) -> None:
        """Remember the picture of a part. Without a verdict it is forgotten again, as that of a snapshot is."""
        with self._lock:
            if is_uuid7(identity):
                waiting = self._of(PartKey(station, identity), len(data))
                self._bytes -= len(waiting.picture)
                waiting.picture = data

    def map(self, station: str, identity: str, data: bytes) -> None:
        """Remember the map of a part."""
        with self._lock:
            if is_uuid7(identity):
                waiting = self._of(PartKey(station, identity), len(data))
                self._bytes -= len(waiting.map)
                waiting.map = data

    def save(self, *, all: bool = False) -> int:
        """Write the parts that are complete, or have waited for long enough; return how many were written.

        Args:
            all: Whether to write every part with a picture, because the page ends.
        """
        late = time.monotonic() - _WAIT_S
        with self._lock:
            due = [key for key, part in self._waiting.items() if all or part.complete or part.since < late]
            parts = [(key, self._forget(key)) for key in due]
        return sum(self._write(key, part, part.verdict) for key, part in parts if part.verdict and part.picture)

    def _of(self, key: PartKey, more: int = 0) -> _Waiting:
        """Return what has arrived of a part, after making room for more bytes: the oldest are forgotten."""
        waiting = self._waiting.pop(key, None) or _Waiting(time.monotonic())
        while len(self._waiting) >= _MOST_WAITING or (self._waiting and self._bytes + more > _MOST_WAITING_BYTES):
            self._forget(next(iter(self._waiting)))
        self._waiting[key] = waiting
        self._bytes += more
        return waiting

    def _forget(self, key: PartKey) -> _Waiting:
        part = self._waiting.pop(key)
        self._bytes -= len(part.picture) + len(part.map)
        return part

    def _write(self, key: PartKey, part: _Waiting, verdict: Verdict) -> bool:
        try:
            files = _files(key, part, verdict)
        except (Unreadable, ValueError) as problem:
            log.warning("picture of part %s of %s is not kept: %s", key.id, clean(key.station), problem)
            return False
        try:
            if self._folder is None:
                self._folder = EvidenceFolder(self._path, self._max_bytes, _KEEP_FREE_BYTES)
            if key.id in self._folder:  # a repeat; what people have seen already stays as it is
                return False
            day = f"{verdict.decided_at:%Y-%m-%d}"
            self._folder.add(day, folder_names([key.station])[key.station], key.id, files)
        except OSError as problem:
            reason = clean(problem.strerror or str(problem))
            if reason != self._problem:
                log.error("received pictures %s: none is kept: %s", clean(self._path), reason)
            self._problem = reason
            return False
        if self._problem is not None:
            log.info("received pictures %s: they are kept again", clean(self._path))
            self._problem = None
        return True


def is_borderline(verdict: Verdict) -> bool:
    """Return whether a score is near the threshold, as `evidence.borderline` is by default."""
    return abs(verdict.score - verdict.threshold) <= _BORDERLINE * abs(verdict.threshold)


def _files(key: PartKey, part: _Waiting, verdict: Verdict) -> dict[str, bytes]:
    """Return the files of a part in the layout of evidence.

    Raises:
        Unreadable, ValueError: The picture or the map is damaged, or does not fit the verdict.
    """
    size = verdict.frame.width, verdict.frame.height
    jpeg.examine(part.picture)
    if jpeg.size(part.picture) != size:
        raise ValueError(f"it has {jpeg.size(part.picture)} pixels, and the verdict's frame has {size}")
    levels = _levels(part.map) if part.map else np.zeros((1, 1), np.uint8)
    down, across = levels.shape
    # The map is in the plane of the frame; 128 is the threshold.
    placed = SavedMap(
        low=0.0,
        high=max(verdict.threshold, 0.0) * 255 / AT_THRESHOLD,
        scale_x=size[0] / across,
        scale_y=size[1] / down,
        origin_x=0.0,
        origin_y=0.0,
        valid=(0, 0, across, down),
    )
    site, line, station = key.station.split("/")
    saved = SavedPart(
        site=site,
        line=line,
        station=station,
        borderline=is_borderline(verdict),
        verdict=Verdict(**{name: getattr(verdict, name) for name in Verdict.model_fields}),
        regions=part.regions or (),
        map=placed,
    )
    files = files_of(saved, part.picture, ".jpg", levels.astype(np.uint16) * 257)
    return {name: data for name, data in files.items() if part.map or not name.startswith("maps/")}


def _levels(data: bytes) -> NDArray[np.uint8]:
    """Return the levels of a map's PNG, (height, width).

    Raises:
        Unreadable, ValueError: It is damaged, or no small grey picture.
    """
    if max(png.size(data)) > _LARGEST_MAP:
        raise ValueError(f"its map has more than {_LARGEST_MAP} pixels a side")
    png.examine(data)
    levels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if levels is None or levels.ndim != 2 or levels.dtype != np.uint8:
        raise ValueError("its map is no grey picture with 8 bits")
    return np.asarray(levels, np.uint8)
