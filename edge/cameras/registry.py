"""All kinds of cameras, by the scheme of their URIs."""

from __future__ import annotations

from edge_inspect.edge.cameras.introspection import look_for_aravis, look_for_gstreamer
from edge_inspect.edge.cameras.kind import CameraKind
from edge_inspect.edge.cameras.options import Reader, depth, flag, number, rate, region, seconds, size, word
from edge_inspect.edge.cameras.split import split_pipeline, split_url
from edge_inspect.edge.finding import Finding, look_for_package

_RECORDED: dict[str, Reader] = {"fps": rate, "loop": flag}
_TIMEOUT: dict[str, Reader] = {"timeout": seconds}
_SENSOR: dict[str, Reader] = {"exposure": number, "gain": number, "size": size}
_FORMAT: dict[str, Reader] = {"format": word, "fps": rate}
_GENICAM: dict[str, Reader] = {**_SENSOR, "region": region, **_FORMAT, "trigger": word, **_TIMEOUT}


def _look_for_harvesters() -> list[Finding]:
    return [look_for_package("harvesters", "pip install 'edge-inspect[genicam]'; only for genicam: cameras")]


CAMERAS: dict[str, CameraKind] = {
    kind.scheme: kind
    for kind in (
        CameraKind(
            "folder", "a folder's pictures by name", "folder:FolderCamera", {**_RECORDED, "bits": depth}, recorded=True
        ),
        CameraKind("video", "a video file", "video:VideoCamera", _RECORDED, recorded=True),
        CameraKind(
            "v4l2", "a camera with a Linux driver", "v4l2:open_v4l2", {**_SENSOR, **_FORMAT, **_TIMEOUT}, exclusive=True
        ),
        CameraKind("rtsp", "a network camera", "rtsp:open_rtsp", _TIMEOUT, split=split_url),
        CameraKind("rtsps", "a network camera, over TLS", "rtsp:open_rtsp", _TIMEOUT, split=split_url),
        CameraKind(
            "gst", "a GStreamer pipeline", "gstreamer:open_pipeline", _TIMEOUT, split=split_pipeline,
            look=look_for_gstreamer,
        ),
        CameraKind(
            "aravis", "GigE Vision or USB3 Vision", "aravis:open_aravis", _GENICAM, exclusive=True, may_be_empty=True,
            look=look_for_aravis,
        ),
        CameraKind(
            "genicam", "any GenTL producer", "genicam:open_genicam", {"device": word, **_GENICAM}, exclusive=True,
            look=_look_for_harvesters,
        ),
    )
}  # fmt: skip
