"""Cameras: where frames come from. A URI names the camera; each kind of camera is one file behind one interface.

To add a kind, write a file that opens a `Camera`, and add its entry to registry.py. For a live camera, write a `Source`
(source.py): `Feed` or `TriggeredCamera` turns it into a camera. Configuration, `check`, `doctor` and help texts read
the registry.

folder:/path?fps=10&loop=true                    the pictures of a folder, sorted by name
video:/path/line.mp4?loop=true                   a video file
v4l2:///dev/video0?size=1280x720&format=MJPG     a camera with a Linux driver (Video4Linux)
rtsp://user:password@host/stream#timeout=5       a network camera
gst:nvarguscamerasrc ! nvvidconv                 any GStreamer pipeline; edge-inspect adds the sink
aravis:Vendor-Serial?exposure=8000&gain=2        GigE Vision or USB3 Vision, through Aravis
genicam:/path/producer.cti?device=SERIAL         any GenTL producer, through harvesters

docs/cameras.md lists every option and the packages that each kind needs.

Files, from the URI to the frame. This one and the first six need nothing but the standard library:

opening.py         checks a URI and opens its camera
registry.py        all kinds of cameras
kind.py            the description of one kind
split.py           splits a URI into its parts
options.py         reads the values of options
address.py         the parts of a URI, for the code that opens the camera
source.py          the interface of a live source
feed.py            turns a free-running source into a camera that keeps the newest frame
triggered.py       turns a source with a hardware or software trigger into a camera
pace.py            runs a recorded source at a frame rate
folder.py          the pictures of a folder
video.py           a video file
v4l2.py            cameras with a Linux driver (Video4Linux)
v4l2_controls.py   the formats and values that such a camera allows
rtsp.py            network cameras
gstreamer.py       GStreamer pipelines
aravis.py          GigE Vision and USB3 Vision cameras, through Aravis
genicam.py         any GenTL producer, through harvesters
features.py        sets GenICam features by their standard names
pixels.py          converts the pixel formats of machine vision cameras
introspection.py   loads GStreamer and Aravis by GObject introspection
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from edge_inspect.edge.frame.images import Frame


@dataclass(frozen=True)
class Capture:
    """A frame with the time at which it was taken.

    Attributes:
        frame: The picture.
        captured_at: Time at which it was taken, aware and in UTC, as close to the exposure as the source can tell.
        part_id: Id of the part that the frame shows, if the source knows it.
        recipe: Name of the station's recipe by which the part is judged; a source does not know it.
        missed: Number of frames between the one read before and this one that the source lost or nobody read.
    """

    frame: Frame
    captured_at: datetime
    part_id: str | None = None
    recipe: str | None = None
    missed: int = 0


@dataclass
class Place:
    """Position in a recorded source. If the same object is given when the source is reopened, the next frame follows.

    Attributes:
        name: Name of the last picture whose reading began, for a folder.
        frames: Number of frames whose reading began, for a video.
        stopping: Set by whoever reads when no more frames are wanted; the source then no longer waits until one is due.
    """

    name: str = ""
    frames: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)


class Camera(Protocol):
    """A source of frames, read one after another.

    Attributes:
        live: Whether frames come at a rate of their own, so that some are dropped if nobody reads them in time. A
            source that only gives a frame when asked is not live.
    """

    live: bool

    def read(self, buffer: Frame | None, after: float = 0.0) -> Capture | None:
        """Wait for the next frame and return it; return `None` at the end of a recorded source.

        Args:
            buffer: An earlier frame whose memory may be reused.
            after: A live source returns no frame that is older than this time, in seconds of `time.monotonic`. With 0
                it returns the next one.

        Raises:
            CameraError: This frame cannot be read; the next call tries the one after it.
            CameraLost: The source is lost and must be opened again.
            CameraIdle: The camera is waiting for its own trigger.
        """

    def close(self) -> None:
        """Release the source."""
