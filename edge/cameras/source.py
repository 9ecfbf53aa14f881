"""The interface of a live source. `feed.Feed` or `triggered.TriggeredCamera` turns a source into a `Camera`."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from edge_inspect.edge.frame.images import Frame

OPENING_S = 5.0
"""Seconds that a source may take until its first frame."""


class Shot(NamedTuple):
    """A frame as a live source gives it.

    Attributes:
        frame: The picture.
        age_s: Seconds since it was taken, measured from as close to the exposure as the source can tell.
        missed: Number of frames that the source lost just before this one, if it can tell.
    """

    frame: Frame
    age_s: float = 0.0
    missed: int = 0


class Source(Protocol):
    """A camera that takes frames at a rate of its own, or at its own trigger."""

    def grab(self, buffer: Frame | None) -> Shot:
        """Wait for the next frame and return it.

        Args:
            buffer: An earlier frame whose memory may be reused.

        Raises:
            CameraLost: The source is lost.
            CameraIdle: No frame came in time, but the source does not seem to be lost.
        """

    def close(self) -> None:
        """Release the source."""
