from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge_inspect.edge.cameras import Capture, Place
from edge_inspect.edge.cameras.address import Address
from edge_inspect.edge.cameras.pace import Pace
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.errors import CameraError, CameraLost
from edge_inspect.edge.frame.images import Frame, to_frame


class VideoCamera:
    """A camera that plays a video file at its recorded frame rate.

    No frame is given twice, even if the file has to be opened again.

    Args:
        address: The file, with the options `fps` (another rate; 0 means as fast as frames are read) and `loop`.
        place: Position at which to continue.

    Raises:
        CameraError: The file does not exist or OpenCV cannot decode it.
    """

    def __init__(self, address: Address, place: Place) -> None:
        self._path, self._place = Path(address.path), place
        if not self._path.is_file():
            raise CameraError(f"camera video:{self._path}: no such file")
        self._capture = cv2.VideoCapture(str(self._path))
        if not self._capture.isOpened():
            raise CameraError(f"camera video:{self._path}: OpenCV cannot decode it; re-encode it as H.264 MP4")
        recorded = self._capture.get(cv2.CAP_PROP_FPS) or 25.0
        self._pace = Pace(recorded if address.fps is None else address.fps, place.stopping)
        self.live = self._pace.live
        self._loop = address.loop
        self._seen = place.frames > 0
        # If OpenCV is asked for a frame after the last one, it returns the last one again.
        self._over = 0 < self._capture.get(cv2.CAP_PROP_FRAME_COUNT) <= place.frames
        if self._seen:
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, place.frames)

    def read(self, buffer: Frame | None, after: float = 0.0) -> Capture | None:
        """Return the next frame; see `edge.cameras.Camera`."""
        self._place.frames += 1  # counted first, because reading may hang
        self._pace.wait()
        done, image = (False, None) if self._over else self._capture.read(buffer)
        if not done and self._loop and self._seen:
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
            self._place.frames, self._over = 1, False
            done, image = self._capture.read(buffer)
        if not done:
            if not self._seen:
                raise CameraLost(f"camera video:{self._path}: holds no frame that can be decoded")
            if self._loop:
                raise CameraLost(f"camera video:{self._path}: cannot be read any more; was it moved or cut off?")
            return None
        self._seen = True
        return Capture(to_frame(np.asarray(image)), utc_now())

    def close(self) -> None:
        """Close the file."""
        self._capture.release()
