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
"""For a frame that waits; with 0 harvesters waits until one comes."""


def open_genicam(address: Address) -> Camera:
    """Open a camera of any GenTL producer, by harvesters.

    Args:
        address: The producer's .cti file; options `device`, a serial number (default: the first camera), and those of
            `aravis:`.

    Raises:
        CameraError: harvesters is not installed, there is no such producer or camera, or it refuses a value.
    """
    source = GenTlSource(address)
    if address.trigger is not None:
        return TriggeredCamera(source, software=address.trigger.lower() == "software")
    return Feed(source, address.shown, address.timeout)


class GenTlSource:
    """An open camera that gives frames; see `edge.cameras.triggered.TriggeredSource`."""

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
            with self._said():
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
        with self._said():
            try:
                with self._acquirer.fetch(timeout=self._timeout) as taken:
                    image = taken.payload.components[0]
                    pixels = np.frombuffer(image.data, np.uint8)
                    return Shot(to_bgr(pixels, image.width, image.height, self._format, buffer))
            except self._nothing as error:
                raise CameraIdle(f"camera {self._name}: no frame for {self._timeout:g} s") from error

    def forget(self) -> None:
        """Drop the frames that wait; see `edge.cameras.triggered.TriggeredSource`."""
        with self._said():
            while (waiting := self._acquirer.try_fetch(timeout=_LOOK_S)) is not None:
                waiting.queue()

    def fire(self) -> None:
        """Send the software trigger; see `edge.cameras.triggered.TriggeredSource`."""
        with self._said():
            self._map.TriggerSoftware.execute()

    def close(self) -> None:
        """Let the camera and the producer go."""
        with contextlib.suppress(Exception):  # a camera that has gone cannot be stopped
            if self._acquirer is not None:
                self._acquirer.destroy()
        self._harvester.reset()

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        """Raise what the producer raises, which has no common class, as an error of the camera."""
        try:
            yield
        except CameraError:
            raise
        except Exception as error:
            raise CameraLost(f"camera {self._name}: {error}") from error


class GenTlNodes:
    """A node map's features; see `edge.cameras.features.Nodes`."""

    def __init__(self, node_map: Any) -> None:
        self._map = node_map

    def has(self, name: str) -> bool:
        """Return whether the camera has a feature, and lets it be set now."""
        from genicam.genapi import EAccessMode

        node = getattr(self._map, name, None)
        return node is not None and node.get_access_mode() in (EAccessMode.RW, EAccessMode.WO)

    def bounds(self, name: str) -> tuple[float, float, float]:
        """Return the lowest value, the highest, and the step."""
        node = getattr(self._map, name)
        whole = isinstance(node.value, int)
        return node.min, node.max, node.inc if whole else 0.0

    def choices(self, name: str) -> list[str]:
        """Return what a choice can be now."""
        return list(getattr(self._map, name).symbolics)

    def set(self, name: str, value: float | str) -> None:
        """Set a number or a choice."""
        node = getattr(self._map, name)
        node.value = int(value) if isinstance(node.value, int) and not isinstance(node.value, bool) else value
