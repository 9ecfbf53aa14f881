"""What a live source gives, before it is a `Camera`: `feed.Feed` and `triggered.TriggeredCamera` make one of it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from edge_inspect.edge.frame.images import Frame

OPENING_S = 5.0
"""How long a source may take until its first frame."""


class Shot(NamedTuple):
    """A frame as its source gives it.

    Attributes:
        frame: The picture.
        age_s: How long ago it was taken, as near the sensor as the source knows.
        missed: Frames that the source lost just before it, where it can tell.
    """

    frame: Frame
    age_s: float = 0.0
    missed: int = 0


class Source(Protocol):
    """A camera that takes frames at a rate of its own, or on its own trigger."""

    def grab(self, buffer: Frame | None) -> Shot:
        """Wait for the next frame.

        Args:
            buffer: An earlier frame that may be written over.

        Raises:
            CameraLost: The source is gone.
            CameraIdle: There was none in time, and nothing else tells that the source is gone.
        """

    def close(self) -> None:
        """Let the source go."""
