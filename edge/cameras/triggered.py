from __future__ import annotations

import time
from datetime import timedelta
from typing import Protocol

from edge.cameras import Capture
from edge.cameras.source import Source
from edge.errors import CameraIdle, CameraLost
from edge.images import Frame
from edge.messages import utc_now


class TriggeredSource(Source, Protocol):
    """A source that takes a frame at each trigger, in the order of the triggers."""

    def fire(self) -> None:
        """Sends the software trigger; frames that wait are forgotten.

        Raises:
            CameraLost: The source is gone.
        """


class TriggeredCamera:
    """A camera with a trigger of its own: every frame is given, in order, none passed over for a newer one.

    Args:
        source: Closed by `close`.
        name: As messages show it.
        software: `read` triggers the camera itself; otherwise a line of the camera does.
    """

    def __init__(self, source: TriggeredSource, name: str, *, software: bool) -> None:
        self._source, self._name, self._software = source, name, software
        self.live = not software

    def read(self, buffer: Frame | None, after: float = 0.0) -> Capture | None:
        """The frame of the next trigger; see `edge.cameras.Camera`."""
        if self._software:
            self._source.fire()
        missed = 0
        while True:
            try:
                shot = self._source.grab(buffer)
            except CameraIdle as error:
                if self._software:
                    raise CameraLost(f"camera {self._name}: gave no frame for a software trigger") from error
                raise
            missed += shot.missed
            if time.monotonic() - shot.age_s >= after or self._software:
                return Capture(shot.frame, utc_now() - timedelta(seconds=shot.age_s), missed=0 if after else missed)
            buffer = shot.frame

    def close(self) -> None:
        """Lets the source go."""
        self._source.close()
