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
from edge_inspect.edge.threads import wait_for_end

log = logging.getLogger(__name__)


class EvidenceWriter:
    """Saves frames in a thread of its own. Nobody waits for it; if it has no time for a frame, it drops and counts it.

    Args:
        settings: Settings of the evidence.
        site: Name of the plant; written to each part's file.
        line: Name of the line; the same.

    Attributes:
        path: The folder of evidence.
    """

    def __init__(self, settings: EvidenceSettings, site: str | None = None, line: str | None = None) -> None:
        self._settings, self._site, self._line = settings, site, line
        self.path = settings.folder
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
        """Queue a part to be saved if it is rejected, borderline or a sample; return whether it is queued. Never waits.

        Args:
            station: Name of the station that inspected the part.
            verdict: Verdict on the part.
            regions: Defect regions of a rejected part.
            frame: Frame of the part; if the part is queued, the frame must not be overwritten.
            anomaly: Anomaly map; its values are copied.
            sample: Whether to save the part regardless of its score.
        """
        borderline = abs(verdict.score - verdict.threshold) <= self._settings.borderline * abs(verdict.threshold)
        if not (verdict.is_rejected or borderline or sample):
            return False
        if self._queue.full():
            self._drop(station)
            return False
        anomaly = replace(anomaly, values=anomaly.values.copy())
        place = self._site, self._line
        self._queue.put_nowait(PartToSave(station, verdict, regions, borderline, frame, anomaly, sample, *place))
        return True

    def health(self, station: str) -> EvidenceHealth:
        """Return the number of saved and dropped frames of a station, and the last problem."""
        with self._lock:
            return EvidenceHealth(
                saved=self._saved[station],
                dropped=self._dropped[station],
                bytes=self._folder.bytes if self._folder else 0,
                problem=self._problem,
            )

    def close(self, timeout: float) -> None:
        """Save the parts that wait, for at most `timeout` seconds, and end the thread."""
        self._closed = True
        with contextlib.suppress(queue.Full):  # the thread ends after the last part, even without this `None`
            self._queue.put_nowait(None)
        wait_for_end(self._thread, timeout)

    def _run(self) -> None:
        self._open()
        while not (self._closed and self._queue.empty()) and (part := self._queue.get()) is not None:
            try:
                self._save(part)
            except OSError as error:
                self._report(error)
                self._drop(part.station)
            except Exception:  # a bug of this program, which must not end the thread
                log.exception("evidence of %s is not saved", part.station)
                self._drop(part.station)

    def _open(self) -> EvidenceFolder | None:
        """Open the folder and list its parts; if that fails, it is tried again at the next part."""
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
            log.info("evidence %s: frames are saved again", self._settings.folder)
            self._problem = None

    def _drop(self, station: str) -> None:
        with self._lock:
            self._dropped[station] += 1

    def _report(self, error: OSError) -> None:
        problem = clean(f"{error.strerror}: {error.filename or self._settings.folder}")
        if self._problem is None:
            log.warning("evidence %s: no frames are saved: %s", self._settings.folder, problem)
        self._problem = problem
