from __future__ import annotations

import time

import cv2

from edge_inspect.edge.cameras.address import Address
from edge_inspect.edge.cameras.feed import Feed
from edge_inspect.edge.cameras.source import Shot
from edge_inspect.edge.cameras.v4l2_controls import Controls
from edge_inspect.edge.errors import CameraError, CameraLost
from edge_inspect.edge.frame.images import Frame, jpeg, to_frame
from edge_inspect.edge.frame.images.facts import Unreadable

_JPEG = (b"MJPG", b"JPEG")


def open_v4l2(address: Address) -> Feed:
    """Open a camera that has a Linux driver, through Video4Linux.

    Args:
        address: The device file, with the options `exposure`, `gain`, `size`, `format` (four letters), `fps` and
            `timeout`.

    Raises:
        CameraError: The device does not exist, is in use, or refuses a value.
    """
    return Feed(V4l2Source(address), address.shown, address.timeout)


class V4l2Source:
    """A Video4Linux device; see `edge.cameras.source.Source`."""

    def __init__(self, address: Address) -> None:
        self._name = address.shown
        with Controls(address.path, self._name) as controls:
            if address.format is not None:
                controls.check_format(address.format)
            if address.size is not None:
                controls.check_size(address.size, address.format)
            self._timeout = address.timeout
            self._capture = cv2.VideoCapture(address.path, cv2.CAP_V4L2)
            if not self._capture.isOpened():
                raise CameraError(f"camera {self._name}: cannot be opened; does another program use it?")
            try:
                self._configure(address)
                controls.set_exposure_and_gain(address.exposure, address.gain)
                self._packed = self._take_packed()
            except BaseException:
                self.close()
                raise

    def grab(self, buffer: Frame | None) -> Shot:
        """Return the next frame. A damaged JPEG is skipped and counted as missed."""
        until, torn = time.monotonic() + self._timeout, 0
        while True:
            done, image = self._capture.read(None if self._packed else buffer)
            if not done:
                raise CameraLost(f"camera {self._name}: gives no more frames")
            # The driver's time stamp, from the clock of time.monotonic; 0 if the driver sets none.
            stamped = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            age = time.monotonic() - stamped
            try:
                packed = self._packed and image.shape[2:] != (3,)  # a driver may ignore the setting
                frame = to_frame(jpeg.decode(image.tobytes(), padded=True) if packed else image)
                return Shot(frame, age if stamped and 0 <= age < 10 else 0.0, torn)
            except Unreadable as error:
                torn += 1
                if time.monotonic() >= until:
                    raise CameraLost(
                        f"camera {self._name}: {torn} frames in a row are damaged ({error}); use another "
                        "cable or port, a smaller size, or format YUYV"
                    ) from error

    def close(self) -> None:
        """Close the device."""
        self._capture.release()

    def _take_packed(self) -> bool:
        """Return whether frames come as JPEG and are decoded here, because OpenCV does not report lost data."""
        code = int(self._capture.get(cv2.CAP_PROP_FOURCC))
        return code.to_bytes(4, "little", signed=True) in _JPEG and bool(self._capture.set(cv2.CAP_PROP_CONVERT_RGB, 0))

    def _configure(self, address: Address) -> None:
        """Set format, size and rate, in the order that the driver needs."""
        wanted: list[tuple[str, int, float]] = []
        if address.format is not None:
            wanted.append(("format", cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*address.format)))
        if address.size is not None:
            wanted += [("size", cv2.CAP_PROP_FRAME_WIDTH, address.size[0])]
            wanted += [("size", cv2.CAP_PROP_FRAME_HEIGHT, address.size[1])]
        if address.fps is not None:
            wanted.append(("fps", cv2.CAP_PROP_FPS, address.fps))
        for _, number, value in wanted:
            self._capture.set(number, value)
        for option, number, value in wanted:
            got = self._capture.get(number)
            if abs(got - value) > 0.01 * value:
                raise CameraError(
                    f"camera {self._name}: the device took {got:g} where {option} asks for {value:g}; "
                    f"v4l2-ctl -d {address.path} --list-formats-ext shows which values can be combined"
                )
