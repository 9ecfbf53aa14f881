"""The parts on disk: evidence of this box, pictures received over MQTT, and pictures that people have labelled."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import cv2

from edge_inspect.edge.contract.messages import Verdict
from edge_inspect.edge.evidence.saved_part import SavedMap, SavedPart, find_picture, read_map, read_part
from edge_inspect.edge.frame_map import frame_map
from edge_inspect.edge.labels.label import Label, PartKey
from edge_inspect.edge.labels.store import LabelStore
from edge_inspect.edge.page.evidence_listing import EvidenceListing, FolderChange
from edge_inspect.edge.page.part_filter import PartFilter
from edge_inspect.edge.page.part_index import IndexedPart, PartIndex, PartScore
from edge_inspect.edge.page.received_parts import ReceivedParts, is_borderline
from edge_inspect.edge.text import clean
from edge_inspect.edge.threads import wait_for_end

log = logging.getLogger(__name__)

_BATCH = 200
_INTERVAL_S = 1.0
# Those who are told show few parts of a station.
_MOST_TOLD = 24
# Listing may take this share of the time of its thread: a folder of 100,000 files is listed less often.
_SHARE = 0.05
_LONGEST_INTERVAL_S = 10.0


class PartStore:
    """Parts that can be reviewed. Every method may be called from any thread; none but `close` waits for its thread.

    Its thread lists the evidence, and saves what is received over MQTT.

    Args:
        evidence: Folders of evidence on this box, which are only read.
        folder: The page's folder of data: `received/` and `parts.db` are made in it.
        received_bytes: Largest size of the received pictures; the oldest are deleted.
        labels: The labels; their pictures outlive the evidence.
        stations: Return the keys of all stations that the page knows. Evidence of earlier releases names only the
            station, and is shown if one station has this name.
        on_new: Called in the thread of the parts with the newest parts that were found on the disk.
    """

    def __init__(
        self,
        evidence: Sequence[Path],
        folder: Path,
        received_bytes: int,
        labels: LabelStore,
        stations: Callable[[], Iterable[str]] = tuple,
        on_new: Callable[[list[PartKey]], None] = lambda keys: None,
    ) -> None:
        self._labels, self._stations, self._on_new = labels, stations, on_new
        received = (folder / "received").absolute()
        self._roots = [received, *(path.absolute() for path in evidence)]
        self._received = ReceivedParts(received, received_bytes)
        self._index = PartIndex(folder / "parts.db", labels.words())
        self._listings: list[EvidenceListing] | None = None
        self._nameless: list[tuple[Path, str]] = []
        self._nameless_among: set[str] = set()
        self._problem: str | None = None
        self._refreshing = threading.Lock()
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="parts", daemon=True)
        self._thread.start()

    def close(self, timeout: float = 10.0) -> None:
        """Save what was received, and end the thread; at most `timeout` seconds."""
        self._closed = True
        self._wake.set()
        wait_for_end(self._thread, timeout)
        self._index.close()

    def receive(self, station: str, verdict: Verdict) -> None:
        """Remember a verdict or a defect, in case its picture comes.

        Args:
            station: Key of the station, `site/line/station`.
            verdict: The message.
        """
        self._received.verdict(station, verdict)

    def receive_picture(self, station: str, identity: str, data: bytes) -> None:
        """Keep the picture of a part: the payload of `image/<id>`."""
        self._received.picture(station, identity, data)

    def receive_map(self, station: str, identity: str, data: bytes) -> None:
        """Keep the map of a part: the payload of `map/<id>`."""
        self._received.map(station, identity, data)

    def matching(self, wanted: PartFilter) -> list[IndexedPart]:
        """Return the parts that meet a filter, in its order; at most `wanted.limit`."""
        return self._index.matching(wanted)

    def counts(self, wanted: PartFilter) -> dict[str, int]:
        """Return how many parts have each word, among those that meet the filter's other conditions."""
        return self._index.counts(wanted)

    def scores(self, station: str, digest: str | None, limit: int) -> tuple[float | None, list[PartScore]]:
        """Return a station's threshold and scores, see `PartIndex.scores`."""
        return self._index.scores(station, digest, limit)

    def find(self, key: PartKey) -> IndexedPart | None:
        """Return a part; `None` if it is not on disk."""
        return self._index.find(key)

    def fetch(self, key: PartKey) -> IndexedPart | None:
        """Return a part, even if it has only just arrived; this may wait for the disk."""
        found = self.find(key)
        if found is None:
            self._refresh_safely()
            found = self.find(key)
        return found

    def has(self, key: PartKey, kind: Literal["picture", "map"]) -> bool:
        """Return whether the picture or the map of a part is on disk. Cheap for a part that is not."""
        if self._index.place(key) is None:
            return False
        path = self.picture_path(key) if kind == "picture" else self._map_path(key)
        return path is not None and path.is_file()

    def picture(self, key: PartKey) -> bytes | None:
        """Return the picture of a part as PNG or JPEG; `None` if there is none."""
        path = self.picture_path(key)
        return None if path is None else _read(path)

    def picture_path(self, key: PartKey) -> Path | None:
        """Return the file of a part's picture: of the evidence, or of its label; `None` if there is none."""
        place = self._index.place(key)
        path = None if place is None or place.folder is None else find_picture(place.folder, key.id)
        if path is None and (label := self._labels.of_part(key)) is not None:
            path = self._labels.pictures / label.picture
        return path

    def map(self, key: PartKey) -> bytes | None:
        """Return the map of a part as a grey PNG in the plane of the frame; 128 is the threshold. `None`: no map."""
        part = self.find(key)
        if part is not None and part.folder is not None and part.saved.verdict.not_found is None:
            anomaly, verdict = read_map(part.folder, part.saved), part.saved.verdict
            if anomaly is not None:
                levels = frame_map(anomaly, (verdict.frame.width, verdict.frame.height), verdict.threshold)
                return bytes(cv2.imencode(".png", levels)[1].tobytes())
        path = self._labelled_map(key)
        return None if path is None else _read(path)

    def _map_path(self, key: PartKey) -> Path | None:
        """Return the file of a part's map: of the evidence, or of its label; `None` if there is none."""
        place = self._index.place(key)
        if place is not None and place.folder is not None and place.found:
            path = place.folder / "maps" / f"{key.id}.png"
            if path.is_file():
                return path
        return self._labelled_map(key)

    def _labelled_map(self, key: PartKey) -> Path | None:
        label = self._labels.of_part(key)
        return None if label is None or label.map is None else self._labels.pictures / label.map

    def labelled(self, label: Label) -> None:
        """Let the index follow a new entry in the label store."""
        try:
            self._index.set_word(label.key, self._labels.word(label.key))
            self._index.put_labelled([_left_of(label)])
        except sqlite3.Error as problem:  # the label itself is stored, and the index will have it after a restart
            log.error("the index of parts does not have the newest label: %s; free space on the disk", problem)

    def refresh(self) -> None:
        """Save what is complete, and list what has changed on the disk. The thread does so about once a second."""
        with self._refreshing:
            self._received.save(all=self._closed)
            if self._listings is None:
                known = self._index.folders()
                self._listings = [EvidenceListing(root, known) for root in self._roots]
                self._drop_other_roots(known)
                labels = (self._labels.of_part(key) for key in self._index.missing())
                self._index.put_labelled(_left_of(label) for label in labels if label is not None)
            self._retry_nameless()
            for root, listing in zip(self._roots, self._listings, strict=True):
                for change in listing.changes():
                    self._index.drop(change.folder, change.gone)
                    self._add(change, received=root == self._roots[0])
                    if self._closed:
                        self._listings = None
                        return

    def _add(self, change: FolderChange, *, received: bool) -> None:
        for start in range(0, len(change.came), _BATCH):
            if self._closed:
                return
            self._put([(change.folder, id) for id in change.came[start : start + _BATCH]], received=received)
            self._received.save()  # listing a large folder takes a while

    def _put(self, found: Iterable[tuple[Path, str]], *, received: bool) -> None:
        parts = []
        for folder, identity in found:
            saved = read_part(folder, identity)
            if saved is None:
                continue
            key = self._key(saved)
            if key is None:
                self._nameless.append((folder, identity))
            else:
                parts.append(IndexedPart(key, folder, saved))
        self._index.put(parts, received=received)
        if parts:
            self._on_new([part.key for part in parts[:_MOST_TOLD]])

    def _key(self, saved: SavedPart) -> str | None:
        if saved.site is not None and saved.line is not None:
            return f"{saved.site}/{saved.line}/{saved.station}"
        named = [key for key in self._stations() if key.rsplit("/", 1)[-1] == saved.station]
        return named[0] if len(named) == 1 else None

    def _retry_nameless(self) -> None:
        """Look again for the stations of parts that name only the station, when more stations are known."""
        if self._nameless and (stations := set(self._stations())) != self._nameless_among:
            self._nameless_among = stations
            parts, self._nameless = self._nameless, []
            self._put(parts, received=False)

    def _drop_other_roots(self, known: dict[Path, set[str]]) -> None:
        """Drop the parts of folders that the configuration named when the page ran last, and names no more."""
        for folder, ids in known.items():
            if not any(root in folder.parents for root in self._roots):
                self._index.drop(folder, ids)

    def _run(self) -> None:
        while not self._closed:
            began = time.monotonic()
            self._refresh_safely()
            took = time.monotonic() - began
            self._wake.wait(min(max(_INTERVAL_S, took / _SHARE), _LONGEST_INTERVAL_S))
        self._refresh_safely()

    def _refresh_safely(self) -> None:
        """Refresh; after an error, everything is listed again, because the index may lack what was listed."""
        try:
            self.refresh()
        except Exception as problem:
            self._listings = None
            if str(problem) != self._problem:
                of_disk = isinstance(problem, OSError | sqlite3.OperationalError)
                log.error(
                    "the parts on disk cannot be listed: %s; free space on the disk of the page's folder of data, and "
                    "let the page's user write there",
                    clean(str(problem)),
                    exc_info=None if of_disk else problem,
                )
            self._problem = str(problem)
        else:
            self._problem = None


def _left_of(label: Label) -> IndexedPart:
    """Return the part that a label is about, as if nothing else of it were left."""
    verdict = label.verdict
    nowhere = SavedMap(low=0, high=0, scale_x=1, scale_y=1, origin_x=0, origin_y=0, valid=(0, 0, 1, 1))
    saved = SavedPart(
        site=label.site,
        line=label.line,
        station=label.station,
        borderline=is_borderline(verdict),
        verdict=verdict,
        regions=(),
        map=nowhere,
    )
    return IndexedPart(label.key.station, None, saved)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:  # deleted meanwhile
        return None
