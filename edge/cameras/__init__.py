"""Cameras: where frames come from, by one URI scheme. Each kind is one file here, behind one small interface.

To add one: a file that opens a `Camera`, and its entry in registry.py. A live camera is a `Source` (source.py) that
`Feed` or `TriggeredCamera` makes a camera. Configuration, `check`, `doctor` and help texts read the registry.

folder:/path?fps=10&loop=true                    the pictures of a folder, sorted by name
video:/path/line.mp4?loop=true                   a video file
v4l2:///dev/video0?size=1280x720&format=MJPG     a camera that the kernel knows, by Video4Linux
rtsp://user:password@host/stream#timeout=5       a network camera
gst:nvarguscamerasrc ! nvvidconv                 any GStreamer pipeline; edge-inspect adds its end
aravis:Vendor-Serial?exposure=8000&gain=2        GigE Vision or USB3 Vision, by Aravis
genicam:/path/producer.cti?device=SERIAL         any GenTL producer, by harvesters

docs/cameras.md has every option, and what each kind needs installed.

Files, from the URI to the frame. The first six, and this one, import nothing but the standard library:

opening.py         a URI is checked, and its camera opened
registry.py        the kinds of cameras there are
kind.py            what a kind says of itself
split.py           a URI in its parts
options.py         how options are read
address.py         the parts of a URI, for the code that opens the camera
source.py          what a live source gives before it is a camera
feed.py            a free-running source as a camera: the newest frame waits
triggered.py       a source that waits for its own trigger as a camera
pace.py            a recorded source runs at a rate
folder.py          pictures of a folder
video.py           a video file
v4l2.py            cameras that the kernel knows
v4l2_controls.py   which formats and values such a camera allows
rtsp.py            network cameras
gstreamer.py       GStreamer pipelines
aravis.py          GigE Vision and USB3 Vision by Aravis
genicam.py         any GenTL producer by harvesters
features.py        GenICam features by their standard names
pixels.py          pixel formats of machine vision cameras
introspection.py   GObject introspection, for GStreamer and Aravis
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from edge_inspect.edge.frame.images import Frame


@dataclass(frozen=True)
class Capture:
    """A frame and when it was taken.

    Attributes:
        frame: The picture.
        captured_at: Aware, in UTC, as near the sensor as the source gives.
        part_id: Which part it shows, where the source knows.
        missed: Frames that the source gave since the last one read, and nobody took.
    """

    frame: Frame
    captured_at: datetime
    part_id: str | None = None
    missed: int = 0


@dataclass
class Place:
    """Where a recorded source is. Who opens it again passes the same one on, and it goes on with the next frame.

    Attributes:
        name: Of a folder: the picture that was begun last.
        frames: Of a video: how many were begun.
    """

    name: str = ""
    frames: int = 0


class Camera(Protocol):
    """Gives frames one after another.

    Attributes:
        live: Frames come at a rate of their own. A source that waits to be asked never comes too fast.
    """

    live: bool

    def read(self, buffer: Frame | None, after: float = 0.0) -> Capture | None:
        """Wait for the next frame; `None` is the end of a source that ends.

        Args:
            buffer: An earlier frame that may be written over.
            after: A live source gives no frame older than this, in `time.monotonic` seconds; 0: the next one.

        Raises:
            CameraError: This frame cannot be had; the next call gives another one.
            CameraLost: The source is gone, until it is opened again.
            CameraIdle: The camera waits for its own trigger.
        """

    def close(self) -> None:
        """Let the source go."""
