from __future__ import annotations

import contextlib
import time
from typing import Any

import numpy as np

from edge_inspect.edge.cameras import Camera
from edge_inspect.edge.cameras.address import Address
from edge_inspect.edge.cameras.features import configure
from edge_inspect.edge.cameras.feed import Feed
from edge_inspect.edge.cameras.introspection import load
from edge_inspect.edge.cameras.pixels import check_format, to_bgr
from edge_inspect.edge.cameras.source import OPENING_S, Shot
from edge_inspect.edge.cameras.triggered import TriggeredCamera
from edge_inspect.edge.clock import StampAge
from edge_inspect.edge.errors import CameraError, CameraIdle, CameraLost, ImageError
from edge_inspect.edge.frame.images import Frame

BUFFERS = 8
"""Number of frames that can wait in the driver while the station is busy."""
_LOOK_S = 0.2


def open_aravis(address: Address) -> Camera:
    """Open a GigE Vision or USB3 Vision camera through Aravis 0.8.

    Args:
        address: Vendor and serial number, an IP address, or an empty path for the first camera that is found, with the
            options `exposure`, `gain`, `size`, `region`, `format`, `fps`, `trigger` and `timeout`.

    Raises:
        CameraError: Aravis is not installed, the camera does not exist, or it refuses a value.
    """
    source = AravisSource(address, load("Aravis", "0.8"), load("GLib", "2.0"))
    if address.trigger is not None:
        return TriggeredCamera(source, software=address.trigger.lower() == "software")
    return Feed(source, address.shown, address.timeout)


class AravisSource:
    """A GigE Vision or USB3 Vision camera that is running; see `edge.cameras.triggered.TriggeredSource`.

    Args:
        address: Address of the camera.
        aravis: The namespace `Aravis`.
        glib: The namespace `GLib`.
    """

    stamps = True

    def __init__(self, address: Address, aravis: Any, glib: Any) -> None:
        self._name, self._timeout = address.shown, address.timeout
        self._patience = self._timeout if address.trigger is not None else max(self._timeout, OPENING_S)
        self._aravis, self._error = aravis, glib.Error
        self._lost: list[bool] = []
        self._last: int | None = None
        self._stamps = StampAge()
        try:
            self._camera = aravis.Camera.new(address.path or None)
            device = self._camera.get_device()
            # The closure holds the list and not self, which would keep the camera open for ever.
            device.connect("control-lost", lambda _, lost=self._lost: lost.append(True))
            configure(AravisNodes(device, aravis), address)
            self._format = device.get_string_feature_value("PixelFormat")
            check_format(self._name, self._format)
            self._stream = self._camera.create_stream(None, None)
            payload = self._camera.get_payload()
            for _ in range(BUFFERS):
                self._stream.push_buffer(aravis.Buffer.new_allocate(payload))
            self._camera.start_acquisition()
        except glib.Error as error:
            raise CameraError(f"camera {self._name}: {error.message}; arv-tool-0.8 lists the cameras") from error

    def grab(self, buffer: Frame | None) -> Shot:
        """Return the next frame. Frames that lost packets are skipped; the next frame's number shows how many."""
        patience, self._patience = self._patience, self._timeout
        waited, torn = 0.0, 0
        while True:
            began = time.monotonic()
            taken = self._stream.timeout_pop_buffer(round(1e6 * _LOOK_S))
            if self._lost:
                raise CameraLost(f"camera {self._name}: it no longer answers, or another program has taken it")
            if taken is not None:
                try:
                    if taken.get_status() == self._aravis.BufferStatus.SUCCESS:
                        return self._shot(taken, buffer)
                    torn += 1
                finally:
                    self._stream.push_buffer(taken)
            # After the whole machine stood still, the clock has gone on, but the camera has had no time for a frame.
            waited += min(time.monotonic() - began, _LOOK_S)
            if waited >= patience:
                raise CameraIdle(f"camera {self._name}: no frame for {patience:g} s{_advise(torn)}")

    def forget(self) -> None:
        """Drop the frames that are waiting; see `edge.cameras.triggered.TriggeredSource`."""
        while (waiting := self._stream.try_pop_buffer()) is not None:
            self._stream.push_buffer(waiting)
        self._last = None

    def fire(self) -> None:
        """Send the software trigger; see `edge.cameras.triggered.TriggeredSource`."""
        try:
            self._camera.software_trigger()
        except self._error as error:
            raise CameraLost(f"camera {self._name}: {error.message}") from error

    def close(self) -> None:
        """End the stream. The camera is released with the last reference to it."""
        if self._camera is not None and not self._lost:  # stopping a lost camera would wait for its answer
            with contextlib.suppress(self._error):
                self._camera.stop_acquisition()
        self._stream = self._camera = None

    def _shot(self, taken: Any, buffer: Frame | None) -> Shot:
        number = taken.get_frame_id()
        # A lower number than before means that the camera began to count anew, not that frames were lost.
        missed = max(0, number - self._last - 1) if self._last is not None else 0
        self._last = number
        pixels = np.frombuffer(taken.get_data(), np.uint8)
        try:
            frame = to_bgr(pixels, taken.get_image_width(), taken.get_image_height(), self._format, buffer)
        except ImageError as error:
            raise CameraLost(f"camera {self._name}: {error}") from error
        # The time stamp is from the box's clock, when the frame's first packet arrived, after exposure and readout.
        return Shot(frame, self._stamps.age(taken.get_system_timestamp() / 1e9), missed)


def _advise(torn: int) -> str:
    if not torn:
        return ""
    return f": {torn} lost packets; raise net.core.rmem_max above a frame's size, or use larger network packets"


class AravisNodes:
    """The features of a device; see `edge.cameras.features.Nodes`."""

    def __init__(self, device: Any, aravis: Any) -> None:
        self._device, self._aravis = device, aravis

    def has(self, name: str) -> bool:
        """Return whether the camera has a feature that can be set now."""
        if not self._device.is_feature_available(name):
            return False
        modes = self._aravis.GcAccessMode
        return self._device.get_feature(name).get_actual_access_mode() in (modes.RW, modes.WO)

    def bounds(self, name: str) -> tuple[float, float, float]:
        """Return the lowest value, the highest value and the step of a number."""
        if isinstance(self._device.get_feature(name), self._aravis.GcFloat):
            low, high = self._device.get_float_feature_bounds(name)
            return low, high, 0.0
        low, high = self._device.get_integer_feature_bounds(name)
        return low, high, self._device.get_integer_feature_increment(name)

    def choices(self, name: str) -> list[str]:
        """Return the values that an enumeration can have now."""
        return list(self._device.dup_available_enumeration_feature_values_as_strings(name))

    def set(self, name: str, value: float | str) -> None:
        """Set a number, a switch or an enumeration."""
        node = self._device.get_feature(name)
        if isinstance(value, str):
            self._device.set_string_feature_value(name, value)
        elif isinstance(node, self._aravis.GcBoolean):
            self._device.set_boolean_feature_value(name, bool(value))
        elif isinstance(node, self._aravis.GcFloat):
            self._device.set_float_feature_value(name, float(value))
        else:
            self._device.set_integer_feature_value(name, int(value))
