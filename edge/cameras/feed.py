from __future__ import annotations

import threading
import time
from collections import deque
from datetime import timedelta

from edge_inspect.edge.cameras import Capture
from edge_inspect.edge.cameras.source import OPENING_S, Shot, Source
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.errors import CameraError, CameraLost
from edge_inspect.edge.frame.images import Frame

GRACE_S = 0.5
"""Seconds to wait beyond the timeout. The source's own error says more than that no frame came, so it comes first."""


class Feed:
    """A camera made of a free-running source. A thread reads every frame and keeps the newest one.

    Without that thread the driver's queue would fill up, and the station would get old frames after a pause or from
    before a trigger.

    Args:
        source: The source. The feed closes it.
        name: Name of the camera in messages.
        timeout: Seconds without a frame after which the source counts as lost.
    """

    live = True

    def __init__(self, source: Source, name: str, timeout: float) -> None:
        self._source, self._name, self._timeout = source, name, timeout
        self._changed = threading.Condition()
        self._spare: deque[Frame] = deque(maxlen=2)
        self._newest: Shot | None = None
        self._taken = 0.0
        self._missed = 0
        self._started = self._closing = False
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"feed-{name}"[:40], daemon=True)
        self._thread.start()

    def read(self, buffer: Frame | None, after: float = 0.0) -> Capture | None:
        """Return the newest frame that has not been read yet; see `edge.cameras.Camera`."""
        with self._changed:
            if buffer is not None:
                self._spare.append(buffer)
            patience = self._timeout if self._started else max(self._timeout, OPENING_S)
            # Two waits: if the machine stood still during the first, the second gives the source time for a frame.
            for span_s in (patience, GRACE_S):
                self._changed.wait_for(lambda: self._fresh(after) or self._problem, span_s)
            shot = self._newest
            if shot is None or not self._fresh(after):
                if self._problem is None:
                    raise CameraLost(f"camera {self._name}: no frame for {patience:g} s")
                raise self._problem
            self._newest = None
            missed, self._missed = (self._missed + shot.missed, 0) if not after else (0, 0)
        return Capture(shot.frame, utc_now() - timedelta(seconds=shot.age_s), missed=missed)

    def close(self) -> None:
        """End the thread and close the source."""
        self._closing = True
        self._thread.join()
        self._source.close()

    def _fresh(self, after: float) -> bool:
        return self._newest is not None and self._taken >= after

    def _run(self) -> None:
        try:
            while not self._closing:
                self._keep(self._source.grab(self._take_spare()))
        except CameraError as error:
            self._fail(CameraLost(str(error)))
        except BaseException as error:  # a bug: it is raised in the thread that reads
            self._fail(error)

    def _keep(self, shot: Shot) -> None:
        with self._changed:
            if self._newest is not None:
                self._missed += 1 + self._newest.missed
                self._spare.append(self._newest.frame)
            self._newest, self._taken, self._started = shot, time.monotonic() - shot.age_s, True
            self._changed.notify()

    def _fail(self, problem: BaseException) -> None:
        with self._changed:
            self._problem = problem
            self._changed.notify()

    def _take_spare(self) -> Frame | None:
        with self._changed:
            return self._spare.popleft() if self._spare else None
