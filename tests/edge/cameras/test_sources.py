"""Real sources that are killed in mid-stream: the loss is noticed, and the source is reopened when it is back."""

from __future__ import annotations

import gc
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest
from mosquitto import free_port
from sources import Killable, RtspServer
from system_gi import find_gi

from edge_inspect.edge.cameras import Camera
from edge_inspect.edge.cameras.opening import open_camera
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.errors import CameraError, CameraLost

KILLS = 2


@pytest.mark.parametrize("source", ["rtsp", "aravis", "video"], indirect=True)
def test_a_source_may_be_killed_and_come_back(
    source: Killable, open_soon: Callable[[str], Camera], held: Callable[[], tuple[int, int]]
) -> None:
    after_first: tuple[int, int] | None = None
    for _ in range(KILLS):
        source.start()
        camera = open_soon(source.uri)
        frame = None
        for _ in range(5):
            capture = camera.read(frame)
            assert capture is not None and capture.frame.std() > 0
            assert timedelta(0) <= utc_now() - capture.captured_at < timedelta(seconds=30)
            frame = capture.frame
        source.kill()
        with pytest.raises(CameraLost, match="camera "):
            for _ in range(1000):
                camera.read(None)
        camera.close()
        with pytest.raises(CameraError, match="camera "):
            open_camera(source.uri)
        del camera
        gc.collect()
        after_first = after_first or held()
    assert after_first is not None
    files, threads = held()
    assert files <= after_first[0] and threads <= after_first[1]


@pytest.mark.parametrize("source", ["rtsp", "aravis"], indirect=True)
def test_a_source_that_freezes_is_lost(source: Killable, open_soon: Callable[[str], Camera]) -> None:
    source.start()
    camera = open_soon(source.uri)
    assert camera.read(None) is not None
    source.freeze()
    with pytest.raises(CameraLost):
        for _ in range(1000):
            camera.read(None)


@pytest.mark.parametrize("source", ["rtsp"], indirect=True)
def test_a_stream_that_is_not_there_is_refused_without_its_password(
    source: Killable, open_soon: Callable[[str], Camera]
) -> None:
    source.start()
    open_soon(source.uri)
    wrong = source.uri.replace("//", "//admin:secret@").replace("/line", "/none")
    with pytest.raises(CameraError, match="it refuses the user or the path") as caught:
        open_camera(wrong)
    assert "secret" not in str(caught.value) and "none" not in str(caught.value)


def test_h264_is_decoded_without_frames_kept_back(open_soon: Callable[[str], Camera]) -> None:
    if not RtspServer.has_h264():
        pytest.skip("apt install gstreamer1.0-plugins-ugly, for x264enc")
    server = RtspServer("h264")
    server.start()
    try:
        camera = open_soon(server.uri)
        for _ in range(10):
            capture = camera.read(None)
            assert capture is not None and capture.frame.shape == (240, 320, 3) and capture.frame.std() > 30
    finally:
        server.stop()


def test_nobody_at_the_port_is_said() -> None:
    with pytest.raises(CameraError, match="nothing answers at port .*refused"):
        open_camera(f"rtsp://127.0.0.1:{free_port()}/x")


def gstreamer() -> None:
    if not find_gi():
        pytest.skip("apt install python3-gi, for the Python that runs the tests")
    try:
        open_camera("gst:videotestsrc is-live=true").close()
    except CameraError as error:
        pytest.skip(str(error))


def test_a_pipeline_gives_frames_and_when_they_were_taken() -> None:
    gstreamer()
    camera = open_camera("gst:videotestsrc is-live=true pattern=red ! video/x-raw,width=322,height=240,framerate=30/1")
    capture = camera.read(None)
    assert capture is not None and capture.frame.shape == (240, 322, 3)
    np.testing.assert_allclose(capture.frame.reshape(-1, 3).mean(axis=0), (0, 0, 255), atol=3)
    again = camera.read(capture.frame)
    assert again is not None and again.captured_at > capture.captured_at
    camera.close()


def test_a_pipeline_delivers_the_sensors_time() -> None:
    gstreamer()
    delay = "queue min-threshold-time=1000000000 max-size-time=0 max-size-buffers=0 max-size-bytes=0"
    camera = open_camera(f"gst:videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=10/1 ! {delay}")
    capture = camera.read(None)
    assert capture is not None and utc_now() - capture.captured_at > timedelta(seconds=0.9)
    camera.close()


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ("nosuchsource ! x", 'the pipeline is wrong: no element "nosuchsource"'),
        ("videotestsrc ! appsink", "leave the appsink out"),
        ("v4l2src device=/dev/video99", "camera gst:v4l2src: "),
        ("rtspsrc location=rtsp://127.0.0.1:9/x", "camera gst:rtspsrc: "),
    ],
)
def test_a_pipeline_that_does_not_run_is_said(pipeline: str, message: str) -> None:
    gstreamer()
    with pytest.raises(CameraError, match=message):
        camera = open_camera(f"gst:{pipeline}")
        camera.close()


def test_a_pipeline_that_ends_is_lost() -> None:
    gstreamer()
    camera = open_camera("gst:videotestsrc is-live=true num-buffers=3")
    with pytest.raises(CameraLost, match="the pipeline has ended"):
        for _ in range(10):
            camera.read(None)
    camera.close()


@pytest.mark.skipif(bool(RtspServer.lacking()), reason=RtspServer.lacking())
def test_a_stream_is_a_pipeline_too(open_soon: Callable[[str], Camera]) -> None:
    gstreamer()
    server = RtspServer()
    server.start()
    camera = open_soon(f"gst:rtspsrc location={server.uri} latency=0 ! rtpjpegdepay ! jpegdec#timeout=3")
    capture = camera.read(None)
    assert capture is not None and capture.frame.shape == (240, 320, 3)
    server.kill()
    with pytest.raises(CameraLost):
        for _ in range(1000):
            camera.read(None)
