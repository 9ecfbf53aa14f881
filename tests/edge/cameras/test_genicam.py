"""A real GenTL producer, `viky.cti` of the package genicam, whose camera shows a moving ball."""

from __future__ import annotations

import gc
import importlib.util
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_inspect.edge.cameras import Camera
from edge_inspect.edge.cameras.genicam import GenTlSource
from edge_inspect.edge.cameras.opening import open_camera, parse_uri
from edge_inspect.edge.errors import CameraError


@pytest.fixture(scope="module")
def producer() -> str:
    for package in ("harvesters", "genicam"):
        pytest.importorskip(package, reason="pip install 'edge-inspect[genicam]'")
    found = importlib.util.find_spec("genicam")
    assert found is not None and found.origin is not None
    files = list(Path(found.origin).parent.glob("*.cti"))
    if not files:
        pytest.skip("this release of genicam has no producer in it")
    return f"genicam:{files[0]}"


def test_frames_come_as_they_were_asked_for(producer: str, held: Callable[[], tuple[int, int]]) -> None:
    counts = []
    for _ in range(3):
        camera: Camera = open_camera(f"{producer}?size=320x200&format=Mono8&fps=50&device=1")
        frame = None
        for _ in range(5):
            capture = camera.read(frame)
            assert capture is not None and capture.frame.shape == (200, 320, 3)
            frame = capture.frame
        assert frame is not None and frame.std() > 0
        camera.close()
        del camera
        gc.collect()
        counts.append(held())
    assert counts[2][0] <= counts[0][0] and counts[2][1] <= counts[0][1]


def test_a_colour_camera_gives_colours(producer: str) -> None:
    camera = open_camera(f"{producer}?format=RGBa8&device=2")  # the blue one
    capture = camera.read(None)
    camera.close()
    assert capture is not None
    blue, green, red = capture.frame.reshape(-1, 3).mean(axis=0)
    assert blue > green and blue > red


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("size=50x400", "size: Width cannot be 50; allowed: 100 to 800"),
        ("fps=500", "fps: AcquisitionFrameRate cannot be 500; allowed: 1 to 200 frames per second"),
        ("format=Mono12", "format: PixelFormat cannot be Mono12; allowed: RGBa8, Mono8"),
        ("exposure=100", "has no ExposureTime or ExposureTimeAbs; leave out the option exposure"),
        ("trigger=Line1", "has no TriggerMode; leave out the option trigger"),
        ("device=99", "camera genicam:"),
    ],
)
def test_what_the_camera_refuses_is_said(producer: str, options: str, message: str) -> None:
    with pytest.raises(CameraError, match=message):
        open_camera(f"{producer}?{options}")


def test_frames_that_wait_are_forgotten_and_none_is_waited_for(producer: str) -> None:
    source = GenTlSource(parse_uri(f"{producer}?fps=1")[1])
    done = threading.Event()
    threading.Thread(target=lambda: (source.forget(), done.set()), daemon=True).start()
    assert done.wait(30)
    source.close()


def test_no_producer_is_said(producer: str) -> None:
    with pytest.raises(CameraError, match="camera genicam:/none.cti: "):
        open_camera("genicam:/none.cti")
