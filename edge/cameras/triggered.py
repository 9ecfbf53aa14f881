from __future__ import annotations

import time
from datetime import timedelta
from typing import Protocol

from edge_inspect.edge.cameras import Capture
from edge_inspect.edge.cameras.source import Source
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.errors import CameraIdle, CameraLost
from edge_inspect.edge.frame.images import Frame


class TriggeredSource(Source, Protocol):
    """A source that takes one frame at each trigger, in the order of the triggers.

    Attributes:
        stamps: Whether its frames have a time stamp, from which their age follows.
    """

    stamps: bool

    def forget(self) -> None:
        """Drop the frames that are waiting to be read.

        Raises:
            CameraLost: The source is lost.
        """

    def fire(self) -> None:
        """Send the software trigger.

        Raises:
            CameraLost: The source is lost.
        """


class TriggeredCamera:
    """A camera with a trigger of its own. It gives every frame in order and skips none for a newer one.

    Args:
        source: The source. The camera closes it.
        software: Whether `read` sends a software trigger. Otherwise an input line of the camera triggers it.
    """

    def __init__(self, source: TriggeredSource, *, software: bool) -> None:
        self._source, self._software = source, software
        self.live = not software

    def read(self, buffer: Frame | None, after: float = 0.0) -> Capture | None:
        """Return the frame of the next trigger; see `edge.cameras.Camera`."""
        if self._software or (after and not self._source.stamps):
            self._source.forget()
        if self._software:
            self._source.fire()
        while True:
            try:
                shot = self._source.grab(buffer)
            except CameraIdle as error:
                if self._software:
                    raise CameraLost(f"{error} (after a software trigger)") from error
                raise
            if time.monotonic() - shot.age_s >= after or self._software:
                missed = 0 if after else shot.missed
                return Capture(shot.frame, utc_now() - timedelta(seconds=shot.age_s), missed=missed)
            buffer = shot.frame

    def close(self) -> None:
        """Release the source."""
        self._source.close()
