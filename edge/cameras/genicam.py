from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from edge_inspect.edge.cameras import Camera
from edge_inspect.edge.cameras.address import Address
from edge_inspect.edge.cameras.features import configure
from edge_inspect.edge.cameras.feed import Feed
from edge_inspect.edge.cameras.pixels import check_format, to_bgr
from edge_inspect.edge.cameras.source import Shot
from edge_inspect.edge.cameras.triggered import TriggeredCamera
from edge_inspect.edge.errors import CameraError, CameraIdle, CameraLost
from edge_inspect.edge.frame.images import Frame

_LOOK_S = 0.001
"""Timeout in seconds to look for a waiting frame. With 0, harvesters would wait until one comes."""


def open_genicam(address: Address) -> Camera:
    """Open a camera of any GenTL producer through harvesters.

    Args:
        address: The producer's .cti file, with the options of `aravis:` and `device`, the serial number of the camera
            (default: the first camera).

    Raises:
        CameraError: harvesters is not installed, the producer or the camera does not exist, or it refuses a value.
    """
    source = GenTlSource(address)
    if address.trigger is not None:
        return TriggeredCamera(source, software=address.trigger.lower() == "software")
    return Feed(source, address.shown, address.timeout)


class GenTlSource:
    """A camera of a GenTL producer that is running; see `edge.cameras.triggered.TriggeredSource`."""

    stamps = False

    def __init__(self, address: Address) -> None:
        self._name, self._timeout = address.shown, address.timeout
        try:
            from genicam.gentl import TimeoutException
            from harvesters.core import Harvester
        except ImportError as error:
            raise CameraError(
                f"camera {self._name}: harvesters cannot be loaded: {error}; pip install 'edge-inspect[genicam]'"
            ) from error
        self._nothing: type[Exception] = TimeoutException
        self._harvester = Harvester()
        self._acquirer: Any = None
        try:
            with self._as_camera_errors():
                self._harvester.add_file(address.path, check_existence=True)
                self._harvester.update()
                choice = {"serial_number": address.device} if address.device else 0
                self._acquirer = self._harvester.create(choice)
                self._map = self._acquirer.remote_device.node_map
                configure(GenTlNodes(self._map), address)
                self._format = str(self._map.PixelFormat.value)
                check_format(self._name, self._format)
                self._acquirer.start()
        except BaseException:
            self.close()
            raise

    def grab(self, buffer: Frame | None) -> Shot:
        """Return the next frame."""
        with self._as_camera_errors():
            try:
                with self._acquirer.fetch(timeout=self._timeout) as taken:
                    image = taken.payload.components[0]
                    pixels = np.frombuffer(image.data, np.uint8)
                    return Shot(to_bgr(pixels, image.width, image.height, self._format, buffer))
            except self._nothing as error:
                raise CameraIdle(f"camera {self._name}: no frame for {self._timeout:g} s") from error

    def forget(self) -> None:
        """Drop the frames that are waiting; see `edge.cameras.triggered.TriggeredSource`."""
        with self._as_camera_errors():
            while (waiting := self._acquirer.try_fetch(timeout=_LOOK_S)) is not None:
                waiting.queue()

    def fire(self) -> None:
        """Send the software trigger; see `edge.cameras.triggered.TriggeredSource`."""
        with self._as_camera_errors():
            self._map.TriggerSoftware.execute()

    def close(self) -> None:
        """Release the camera and the producer."""
        with contextlib.suppress(Exception):  # a lost camera cannot be stopped
            if self._acquirer is not None:
                self._acquirer.destroy()
        self._harvester.reset()

    @contextlib.contextmanager
    def _as_camera_errors(self) -> Iterator[None]:
        """Turn every exception of the producer into a `CameraError`, because they have no common base class."""
        try:
            yield
        except CameraError:
            raise
        except Exception as error:
            raise CameraLost(f"camera {self._name}: {error}") from error


class GenTlNodes:
    """The features of a node map; see `edge.cameras.features.Nodes`."""

    def __init__(self, node_map: Any) -> None:
        self._map = node_map

    def has(self, name: str) -> bool:
        """Return whether the camera has a feature that can be set now."""
        from genicam.genapi import EAccessMode

        node = getattr(self._map, name, None)
        return node is not None and node.get_access_mode() in (EAccessMode.RW, EAccessMode.WO)

    def bounds(self, name: str) -> tuple[float, float, float]:
        """Return the lowest value, the highest value and the step of a number."""
        node = getattr(self._map, name)
        whole = isinstance(node.value, int)
        return node.min, node.max, node.inc if whole else 0.0

    def choices(self, name: str) -> list[str]:
        """Return the values that an enumeration can have now."""
        return list(getattr(self._map, name).symbolics)

    def set(self, name: str, value: float | str) -> None:
        """Set a number, a switch or an enumeration."""
        node = getattr(self._map, name)
        node.value = int(value) if isinstance(node.value, int) and not isinstance(node.value, bool) else value
