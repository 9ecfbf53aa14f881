"""A real RTSP server with a test picture, H.264 or JPEG, as a process of its own: `rtsp_server.py PORT ENCODER`.

Run by the system's Python, which has Debian's GObject introspection.
"""

from __future__ import annotations

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

ENCODERS = {"jpeg": "jpegenc ! rtpjpegpay", "h264": "x264enc tune=zerolatency key-int-max=15 ! rtph264pay"}


def main(port: str, encoder: str) -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    picture = "video/x-raw,format=I420,width=320,height=240,framerate=30/1"
    factory.set_launch(f"( videotestsrc is-live=true ! {picture} ! {ENCODERS[encoder]} name=pay0 )")
    factory.set_shared(True)
    server.get_mount_points().add_factory("/line", factory)
    server.attach(None)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
