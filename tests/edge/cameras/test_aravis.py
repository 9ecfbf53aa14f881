"""Aravis' fake GigE Vision camera, which speaks the real protocol on the loopback interface."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable

import numpy as np
import pytest

from edge_inspect.edge.cameras import Camera
from edge_inspect.edge.cameras.opening import open_camera
from edge_inspect.edge.errors import CameraError, CameraIdle, CameraLost

Gige = Callable[..., str]
Open = Callable[[str], Camera]


def test_what_is_asked_for_is_set(gige: Gige, open_soon: Open) -> None:
    camera = open_soon(gige("?size=320x200&format=RGB8&exposure=20000&gain=4&fps=50"))
    capture = camera.read(None)
    assert capture is not None and capture.frame.shape == (200, 320, 3)


def test_exposure_and_gain_reach_the_sensor(gige: Gige, open_soon: Open) -> None:
    levels = []
    for exposure, gain in ((1000, 0), (20000, 0), (20000, 3)):
        camera = open_soon(gige(f"?exposure={exposure}&gain={gain}&size=64x64"))
        capture = camera.read(None)
        assert capture is not None
        levels.append(float(capture.frame.mean()))
        camera.close()
    assert levels[0] < levels[1] < levels[2]


def test_the_first_frame_may_take_longer_than_the_timeout(gige: Gige, open_soon: Open) -> None:
    camera = open_soon(gige("?fps=1&size=64x64&timeout=0.1"))
    assert camera.read(None) is not None
    with pytest.raises(CameraLost, match="no frame for 0.1 s"):
        for _ in range(5):
            camera.read(None)


def test_a_camera_is_kept_while_the_machine_stands_still(gige: Gige, open_soon: Open) -> None:
    camera = open_soon(gige("?size=64x64&timeout=0.4"))
    assert camera.read(None) is not None
    # The fake camera ends the connection after 3 s without a sign of life.
    pause = f"kill -STOP {os.getpid()}; sleep 2; kill -CONT {os.getpid()}"
    with subprocess.Popen(["sh", "-c", pause]):
        until = time.monotonic() + 3
        while time.monotonic() < until:
            assert camera.read(None) is not None


def test_a_region_is_read(gige: Gige, open_soon: Open) -> None:
    camera = open_soon(gige("?region=64,32,128,96"))
    capture = camera.read(None)
    assert capture is not None and capture.frame.shape == (96, 128, 3)


@pytest.mark.parametrize("form", ["Mono8", "Mono16", "RGB8", "BayerRG8", "BayerGR8", "BayerGB8", "BayerBG8"])
def test_every_pixel_format_becomes_a_frame(gige: Gige, open_soon: Open, form: str) -> None:
    camera = open_soon(gige(f"?format={form}&size=64x48"))
    capture = camera.read(None)
    assert capture is not None and capture.frame.shape == (48, 64, 3)
    assert capture.frame.dtype == np.uint8 and capture.frame.std() > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("exposure=5", "exposure: ExposureTimeAbs cannot be 5; allowed: 10 to 1e[+]07 µs"),
        ("gain=11", "gain: GainRaw cannot be 11; allowed: 0 to 10 in whole numbers"),
        ("gain=1.5", "gain: GainRaw cannot be 1.5; allowed: 0 to 10 in whole numbers"),
        ("size=4096x64", "size: Width cannot be 4096; allowed: 1 to 2048"),
        ("region=0,0,64,4096", "region: Height cannot be 4096; allowed: 1 to 2048"),
        ("fps=2000", "fps: AcquisitionFrameRate cannot be 2000; allowed: 0.1 to 1000 frames per second"),
        ("format=Mono9", "format: PixelFormat cannot be Mono9; allowed: BayerBG8, .*Mono8"),
        ("trigger=Line7", "trigger: TriggerSource cannot be Line7; allowed: Line0, Software"),
    ],
)
def test_a_value_that_the_camera_refuses_is_an_error_with_its_range(
    gige: Gige, open_soon: Open, options: str, message: str
) -> None:
    open_soon(gige()).close()
    with pytest.raises(CameraError, match=f"camera aravis:127.0.0.1: {message}"):
        open_camera(gige(f"?{options}"))


def test_software_triggers_give_a_frame_each_and_none_before(gige: Gige, open_soon: Open) -> None:
    camera = open_soon(gige("?trigger=software&timeout=10"))
    assert not camera.live
    for _ in range(5):
        asked = time.time()
        capture = camera.read(None)
        assert capture is not None and capture.missed == 0
        assert capture.captured_at.timestamp() >= asked - 0.05, "the frame is not one of before"


def test_a_camera_that_waits_for_its_line_is_idle_and_not_lost(gige: Gige, open_soon: Open) -> None:
    camera = open_soon(gige("?trigger=Line0&timeout=0.3"))
    for _ in range(2):
        with pytest.raises(CameraIdle, match="no frame for 0.3 s"):
            camera.read(None)


def test_frames_that_the_network_tears_are_counted(gige: Gige, open_soon: Open) -> None:
    camera = open_soon(gige("?size=512x512&timeout=20", lost_per_thousand=10))
    for _ in range(60):
        capture = camera.read(None)
        assert capture is not None
        if capture.missed:
            break
    assert capture.missed > 0


@pytest.mark.parametrize("source", ["aravis"], indirect=True)
@pytest.mark.parametrize("trigger", ["software", "Line0"])
def test_a_triggered_camera_that_dies_is_lost(source: object, open_soon: Open, trigger: str) -> None:
    source.start()
    camera = open_soon(f"{source.uri}&trigger={trigger}")
    if trigger == "software":
        assert camera.read(None) is not None
    source.kill()
    with pytest.raises(CameraLost):
        for _ in range(6):
            with contextlib.suppress(CameraIdle):
                camera.read(None)


def test_no_such_camera_is_said(gige: Gige) -> None:
    gige()
    with pytest.raises(CameraError, match="camera aravis:None-Here: "):
        open_camera("aravis:None-Here")
