from __future__ import annotations

import socket
from urllib.parse import urlsplit

import cv2

from edge_inspect.edge.cameras.address import Address
from edge_inspect.edge.cameras.feed import Feed
from edge_inspect.edge.cameras.source import OPENING_S, Shot
from edge_inspect.edge.errors import CameraError, CameraLost
from edge_inspect.edge.frame.images import Frame, to_frame


def open_rtsp(address: Address) -> Feed:
    """Open a network camera, by OpenCV's FFmpeg; TCP where the camera speaks it, for a lost packet is a torn picture.

    The time of a frame is that of its arrival: the stream does not say how long encoding and network took.

    Args:
        address: The stream's URL; option `timeout`.

    Raises:
        CameraError: Nothing answers, or the camera refuses.
    """
    return Feed(RtspSource(address), address.shown, address.timeout)


class RtspSource:
    """An RTSP stream, read frame by frame; see `edge.cameras.source.Source`."""

    def __init__(self, address: Address) -> None:
        self._name, self._timeout = address.shown, address.timeout
        self._reach(address.path)
        options = {
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: int(1000 * max(OPENING_S, address.timeout)),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC: int(1000 * address.timeout),
            cv2.CAP_PROP_N_THREADS: 1,  # each decoding thread more keeps a frame back
        }
        self._capture = cv2.VideoCapture(
            address.path, cv2.CAP_FFMPEG, [number for option in options.items() for number in option]
        )
        if not self._capture.isOpened():
            raise CameraError(
                f"camera {self._name}: cannot be opened: it refuses the user or the path, or sends nothing that FFmpeg "
                "decodes; try the URL with ffplay"
            )

    def _reach(self, url: str) -> None:
        """Say why nothing answers; FFmpeg, at every attempt, would only write it to standard error."""
        parts = urlsplit(url)
        port = parts.port or (322 if parts.scheme == "rtsps" else 554)
        try:
            socket.create_connection((parts.hostname, port), OPENING_S).close()
        except OSError as error:
            raise CameraError(f"camera {self._name}: nothing answers at port {port}: {error}") from error

    def grab(self, buffer: Frame | None) -> Shot:
        """Return the next frame."""
        done, image = self._capture.read(buffer)
        if not done:
            raise CameraLost(f"camera {self._name}: the stream has ended, or gave nothing for {self._timeout:g} s")
        return Shot(to_frame(image))

    def close(self) -> None:
        """End the stream."""
        self._capture.release()
