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
    """Open a network camera through OpenCV's FFmpeg.

    The stream uses TCP if the camera supports it, because with UDP each lost packet damages a picture. The time of a
    frame is the time at which it arrived: the stream does not say how long encoding and transport took.

    Args:
        address: URL of the stream, with the option `timeout`.

    Raises:
        CameraError: Nothing answers, or the camera refuses the connection.
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
            cv2.CAP_PROP_N_THREADS: 1,  # each further decoding thread delays the stream by a frame
        }
        self._capture = cv2.VideoCapture(
            address.path, cv2.CAP_FFMPEG, [number for option in options.items() for number in option]
        )
        if not self._capture.isOpened():
            raise CameraError(
                f"camera {self._name}: cannot be opened: it refuses the user or the path, or sends nothing that FFmpeg "
                "can decode; try the URL with ffplay"
            )

    def _reach(self, url: str) -> None:
        """Raise the reason if nothing answers. FFmpeg would only write it to standard error at every attempt."""
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
            raise CameraLost(f"camera {self._name}: the stream has ended, or no frame came for {self._timeout:g} s")
        return Shot(to_frame(image))

    def close(self) -> None:
        """Close the stream."""
        self._capture.release()
