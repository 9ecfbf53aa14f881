from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections import Counter
from dataclasses import replace

from edge_inspect.edge.configuration.settings import EvidenceSettings
from edge_inspect.edge.contract.health import EvidenceHealth
from edge_inspect.edge.contract.messages import Region, Verdict
from edge_inspect.edge.engines import AnomalyMap
from edge_inspect.edge.evidence.folder import EvidenceFolder
from edge_inspect.edge.evidence.saved_part import PartToSave, pack
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)


class EvidenceWriter:
    """Saves frames in a thread of its own. Nobody waits for it: what it has no time for is dropped and counted.

    Args:
        settings: What to save, and where.
    """

    def __init__(self, settings: EvidenceSettings) -> None:
        self._settings = settings
        self._queue: queue.Queue[PartToSave | None] = queue.Queue(settings.queue)
        self._lock = threading.Lock()
        self._saved: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._folder: EvidenceFolder | None = None
        self._problem: str | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="evidence", daemon=True)
        self._thread.start()

    def offer(
        self,
        station: str,
        verdict: Verdict,
        regions: tuple[Region, ...],
        frame: Frame,
        anomaly: AnomalyMap,
        *,
        sample: bool = False,
    ) -> bool:
        """Take a part that is worth saving; return whether it keeps the frame. Never waits.

        Args:
            station: Name of the station that inspected the part.
            verdict: The verdict on the part.
            regions: Where a rejected part is defective.
            frame: The picture; if it is taken, it must not be written over.
            anomaly: The map; its values are copied.
            sample: It is taken whatever its score.
        """
        borderline = abs(verdict.score - verdict.threshold) <= self._settings.borderline * abs(verdict.threshold)
        if not (verdict.is_above or borderline or sample):
            return False
        if self._queue.full():
            self._drop(station)
            return False
        anomaly = replace(anomaly, values=anomaly.values.copy())
        self._queue.put_nowait(PartToSave(station, verdict, regions, borderline, frame, anomaly, sample))
        return True

    def health(self, station: str) -> EvidenceHealth:
        """Return what was saved and dropped of a station."""
        with self._lock:
            return EvidenceHealth(
                saved=self._saved[station],
                dropped=self._dropped[station],
                bytes=self._folder.bytes if self._folder else 0,
                problem=self._problem,
            )

    def close(self, timeout: float) -> None:
        """Save what waits, as far as there is time."""
        self._closed = True
        with contextlib.suppress(queue.Full):  # then the thread has parts yet, and ends after the last one
            self._queue.put_nowait(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        self._open()
        while not (self._closed and self._queue.empty()) and (part := self._queue.get()) is not None:
            try:
                self._save(part)
            except OSError as error:
                self._report(error)
                self._drop(part.station)
            except Exception:  # a mistake of ours, which must not end the thread
                log.exception("evidence of %s is not saved", part.station)
                self._drop(part.station)

    def _open(self) -> EvidenceFolder | None:
        """Count what is there, at the start; where that fails, once more at each part."""
        settings = self._settings
        try:
            self._folder = EvidenceFolder(settings.folder, settings.max_bytes, settings.keep_free_bytes)
        except OSError as error:
            self._report(error)
        return self._folder

    def _save(self, part: PartToSave) -> None:
        folder = self._folder or self._open()
        if folder is None:
            self._drop(part.station)
            return
        day = f"{part.verdict.decided_at:%Y-%m-%d}"
        folder.add(day, part.station, part.verdict.id, pack(part, self._settings.format))
        with self._lock:
            self._saved[part.station] += 1
        if self._problem is not None:
            log.info("evidence %s: is saved again", self._settings.folder)
            self._problem = None

    def _drop(self, station: str) -> None:
        with self._lock:
            self._dropped[station] += 1

    def _report(self, error: OSError) -> None:
        problem = clean(f"{error.strerror}: {error.filename or self._settings.folder}")
        if self._problem is None:
            log.warning("evidence %s: nothing is saved: %s", self._settings.folder, problem)
        self._problem = problem
