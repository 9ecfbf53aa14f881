from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from edge_inspect.edge.cameras.address import Address
from edge_inspect.edge.cameras.feed import Feed
from edge_inspect.edge.cameras.introspection import load
from edge_inspect.edge.cameras.source import OPENING_S, Shot, Source
from edge_inspect.edge.errors import CameraError, CameraLost
from edge_inspect.edge.frame.images import Frame, to_frame

TAIL = " ! videoconvert ! video/x-raw,format=BGR ! appsink name=frames sync=false max-buffers=2 drop=true"


def open_pipeline(address: Address) -> Feed:
    """Open a GStreamer pipeline of a live source, such as `nvarguscamerasrc` for a Jetson's CSI cameras.

    The pipeline runs by GObject introspection if that is installed, because it tells when a frame was taken. Otherwise
    it runs in an OpenCV that was built with GStreamer, such as JetPack's.

    Args:
        address: The pipeline without a sink. A conversion to BGR and an appsink are added to it.

    Raises:
        CameraError: The pipeline is wrong or does not start, or this box cannot run pipelines.
    """
    if "appsink" in address.path:
        raise CameraError(f"camera {address.shown}: leave the appsink out of the pipeline; edge-inspect adds its own")
    source: Source
    try:
        gst, app = load("Gst", "1.0"), load("GstApp", "1.0")
    except CameraError as error:
        if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
            raise CameraError(f"{error}; or an OpenCV that was built with GStreamer, such as JetPack's") from error
        source = OpenCvPipeline(address)
    else:
        source = Pipeline(address, gst, app)
    return Feed(source, address.shown, address.timeout)


class Pipeline:
    """A pipeline that runs by GObject introspection; see `edge.cameras.source.Source`.

    Args:
        address: The pipeline.
        gst: The namespace `Gst`.
        app: The namespace `GstApp`. The appsink has its methods only if this is loaded.
    """

    def __init__(self, address: Address, gst: Any, app: Any) -> None:
        self._name, self._timeout, self._gst = address.shown, address.timeout, gst
        gst.init(None)
        glib = load("GLib", "2.0")
        try:
            self._pipeline = gst.parse_launch(address.path + TAIL)
        except glib.Error as error:
            raise CameraError(f"camera {self._name}: the pipeline is wrong: {error.message}") from error
        self._sink = self._pipeline.get_by_name("frames")
        self._pipeline.set_state(gst.State.PLAYING)
        state, *_ = self._pipeline.get_state(int(OPENING_S * gst.SECOND))
        if state not in (gst.StateChangeReturn.SUCCESS, gst.StateChangeReturn.NO_PREROLL):
            problem = self._problem() or f"it did not start within {OPENING_S:g} s"
            self.close()
            raise CameraError(f"camera {self._name}: {problem}")

    def grab(self, buffer: Frame | None) -> Shot:
        """Return the next frame."""
        sample = self._sink.try_pull_sample(int(self._timeout * self._gst.SECOND))
        if sample is None:
            raise CameraLost(f"camera {self._name}: {self._problem() or f'no frame for {self._timeout:g} s'}")
        form = sample.get_caps().get_structure(0)
        width, height = form.get_value("width"), form.get_value("height")
        data = sample.get_buffer()
        done, view = data.map(self._gst.MapFlags.READ)
        if not done:
            raise CameraLost(f"camera {self._name}: a frame cannot be read")
        try:
            lines = np.frombuffer(view.data, np.uint8).reshape(height, -1)[:, : 3 * width]
            if buffer is None or buffer.shape != (height, width, 3):
                buffer = np.empty((height, width, 3), np.uint8)
            np.copyto(buffer, lines.reshape(height, width, 3))
        finally:
            data.unmap(view)
        return Shot(buffer, self._age(sample, data))

    def close(self) -> None:
        """Stop the pipeline."""
        self._pipeline.set_state(self._gst.State.NULL)
        self._pipeline.get_state(self._gst.CLOCK_TIME_NONE)

    def _age(self, sample: Any, data: Any) -> float:
        """Return the seconds since the source stamped the frame, by the pipeline's clock; 0 without a time stamp."""
        clock = self._pipeline.get_clock()
        stamped = sample.get_segment().to_running_time(self._gst.Format.TIME, data.pts)
        if clock is None or stamped == self._gst.CLOCK_TIME_NONE:
            return 0.0
        age: float = (clock.get_time() - self._pipeline.get_base_time() - stamped) / self._gst.SECOND
        return max(0.0, age)

    def _problem(self) -> str:
        """Return the error that the pipeline reports; an empty text if it reports none."""
        message = self._pipeline.get_bus().pop_filtered(self._gst.MessageType.ERROR)
        if message is None:
            return "the pipeline has ended" if self._sink.is_eos() else ""
        error, _ = message.parse_error()
        return f"{message.src.get_name()}: {error.message}"


class OpenCvPipeline:
    """A pipeline that runs in an OpenCV built with GStreamer; see `edge.cameras.source.Source`."""

    def __init__(self, address: Address) -> None:
        self._name, self._timeout = address.shown, address.timeout
        options = [cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(1000 * address.timeout)]
        self._capture = cv2.VideoCapture(address.path + TAIL, cv2.CAP_GSTREAMER, options)
        if not self._capture.isOpened():
            raise CameraError(f"camera {self._name}: the pipeline does not start; try it with gst-launch-1.0")

    def grab(self, buffer: Frame | None) -> Shot:
        """Return the next frame."""
        done, image = self._capture.read(buffer)
        if not done:
            raise CameraLost(f"camera {self._name}: the pipeline has ended, or no frame came for {self._timeout:g} s")
        return Shot(to_frame(image))

    def close(self) -> None:
        """Stop the pipeline."""
        self._capture.release()
