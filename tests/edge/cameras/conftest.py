"""Fixtures with real sources, which tests can kill in mid-stream and restart."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sources import GigECamera, Killable, RtspServer, VideoFile

from edge_inspect.edge.cameras import Camera
from edge_inspect.edge.cameras.opening import open_camera
from edge_inspect.edge.errors import CameraError


@pytest.fixture
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Killable]:
    """Source that the test's parameter names; the test starts it."""
    kinds: dict[str, Callable[[], Killable]] = {
        "rtsp": RtspServer,
        "aravis": lambda: GigECamera("?timeout=10"),
        "video": lambda: VideoFile(tmp_path),
    }
    lacking = {"rtsp": RtspServer.lacking, "aravis": GigECamera.lacking}.get(request.param, str)()
    if lacking:
        pytest.skip(lacking)
    made = kinds[request.param]()
    yield made
    made.stop()


@pytest.fixture
def gige() -> Iterator[Callable[..., str]]:
    """Starts a GigE Vision camera and gives its URI with options."""
    if lacking := GigECamera.lacking():
        pytest.skip(lacking)
    made: list[GigECamera] = []

    def start(options: str = "", lost_per_thousand: int = 0) -> str:
        if not made:
            made.append(GigECamera(lost_per_thousand=lost_per_thousand))
            made[0].start()
        return made[0].uri + options

    yield start
    for camera in made:
        camera.stop()


@pytest.fixture
def open_soon() -> Iterator[Callable[[str], Camera]]:
    """Opens a camera whose source is starting; closes it at the end."""
    opened: list[Camera] = []

    def wait(uri: str, timeout: float = 60.0) -> Camera:
        deadline = time.monotonic() + timeout
        while True:
            try:
                opened.append(open_camera(uri))
                return opened[-1]
            except CameraError as error:
                if time.monotonic() > deadline:
                    pytest.fail(f"not open within {timeout} s: {error}")
                time.sleep(0.1)

    yield wait
    for camera in opened:
        camera.close()


@pytest.fixture
def held() -> Callable[[], tuple[int, int]]:
    """Return the number of file descriptors and of Python threads of this process."""
    return lambda: (len(os.listdir("/proc/self/fd")), threading.active_count())
