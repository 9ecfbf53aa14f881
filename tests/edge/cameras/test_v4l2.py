"""Video4Linux without a device: requests to the kernel, and its answers in the kernel's own layouts."""

from __future__ import annotations

import errno
import fcntl
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

from edge_inspect.edge.cameras.address import Address
from edge_inspect.edge.cameras.opening import open_camera
from edge_inspect.edge.cameras.v4l2 import V4l2Source
from edge_inspect.edge.cameras.v4l2_controls import Controls
from edge_inspect.edge.errors import CameraError, CameraLost

FORMATS = [b"YUYV", b"MJPG"]
SIZES = {b"YUYV": [(640, 480), (1280, 720)], b"MJPG": [(1920, 1080)]}
CONTROLS = {0x009A0901: (0, 3, 1), 0x009A0902: (3, 2047, 1), 0x00980913: (0, 100, 1)}


class Kernel:
    """A kernel that answers as uvcvideo does. The layouts come from linux/videodev2.h, independently of the code."""

    def __init__(self) -> None:
        self.set: dict[int, int] = {}

    def ioctl(self, file: int, request: int, data: bytes) -> bytes:
        assert request >> 30 == 3 and (request >> 8) & 0xFF == ord("V"), "_IOWR('V', ...)"
        assert (request >> 16) & 0x3FFF == len(data)
        return bytes(getattr(self, f"_answer_{request & 0xFF}")(bytearray(data)))

    def _answer_2(self, data: bytearray) -> bytearray:  # VIDIOC_ENUM_FMT
        (index,) = struct.unpack_from("=I", data)
        if index >= len(FORMATS):
            raise OSError(errno.EINVAL, "Invalid argument")
        data[44:48] = FORMATS[index]
        return data

    def _answer_74(self, data: bytearray) -> bytearray:  # VIDIOC_ENUM_FRAMESIZES
        index, form = struct.unpack_from("=I4s", data)
        if index >= len(SIZES.get(form, [])):
            raise OSError(errno.EINVAL, "Invalid argument")
        struct.pack_into("=III", data, 8, 1, *SIZES[form][index])
        return data

    def _answer_36(self, data: bytearray) -> bytearray:  # VIDIOC_QUERYCTRL
        (control,) = struct.unpack_from("=I", data)
        if control not in CONTROLS:
            raise OSError(errno.EINVAL, "Invalid argument")
        struct.pack_into("=iii", data, 40, *CONTROLS[control])
        return data

    def _answer_28(self, data: bytearray) -> bytearray:  # VIDIOC_S_CTRL
        control, value = struct.unpack("=Ii", data)
        self.set[control] = value
        return data


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(fcntl, "ioctl", made.ioctl)
    return made


@pytest.fixture
def controls(kernel: Kernel, tmp_path: Path) -> Any:
    device = tmp_path / "video0"
    device.touch()
    with Controls(str(device), "v4l2:/dev/video0") as opened:
        yield opened


def test_formats_and_sizes_that_the_device_has_are_taken(controls: Controls) -> None:
    controls.check_format("MJPG")
    controls.check_size((1280, 720), "YUYV")
    controls.check_size((1920, 1080), None)


def test_others_are_refused_with_what_it_has(controls: Controls) -> None:
    with pytest.raises(CameraError, match="format cannot be H264; allowed: YUYV, MJPG"):
        controls.check_format("H264")
    with pytest.raises(CameraError, match="size cannot be 1920x1080; allowed: 640x480, 1280x720"):
        controls.check_size((1920, 1080), "YUYV")
    with pytest.raises(CameraError, match="size cannot be 8x8; allowed: 640x480, 1280x720, 1920x1080"):
        controls.check_size((8, 8), None)


def test_exposure_and_gain_end_the_automatics(controls: Controls, kernel: Kernel) -> None:
    controls.set_exposure_and_gain(8000.0, 50.0)
    assert kernel.set == {0x009A0901: 1, 0x009A0902: 80, 0x00980913: 50}


def test_a_refused_value_is_an_error_with_the_range(controls: Controls, kernel: Kernel) -> None:
    with pytest.raises(CameraError, match="exposure cannot be 250; allowed: 300 to 204700 in steps of 100"):
        controls.set_exposure_and_gain(250.0, None)
    with pytest.raises(CameraError, match="gain cannot be 101; allowed: 0 to 100 in steps of 1"):
        controls.set_exposure_and_gain(None, 101.0)
    assert 0x009A0902 not in kernel.set and 0x00980913 not in kernel.set


def test_no_device_and_a_file_that_is_none_are_said(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="camera v4l2:/dev/video99: No such file or directory"):
        open_camera("v4l2:///dev/video99")
    (tmp_path / "file").touch()
    with pytest.raises(CameraError, match="size cannot be 640x480|cannot be opened"):
        open_camera(f"v4l2:{tmp_path}/file?size=640x480")


class Capture:
    """OpenCV with a device that sends JPEG: if it is told not to convert, it returns the frames as they came."""

    sent: ClassVar[list[bytes]] = []
    converts = True

    def __init__(self, path: str, backend: int) -> None:
        self._frames = iter(self.sent)
        self._converts = self.converts

    def isOpened(self) -> bool:
        return True

    def get(self, number: int) -> float:
        return float(cv2.VideoWriter.fourcc(*"MJPG")) if number == cv2.CAP_PROP_FOURCC else 0.0

    def set(self, number: int, value: float) -> bool:
        self._converts = self._converts and not (number == cv2.CAP_PROP_CONVERT_RGB and value == 0)
        return True

    def read(self, buffer: object = None) -> tuple[bool, np.ndarray | None]:
        data = next(self._frames, None)
        if data is None:
            return False, None
        packed = np.frombuffer(data, np.uint8)
        return True, cv2.imdecode(packed, cv2.IMREAD_COLOR) if self._converts else packed[None]

    def release(self) -> None:
        pass


def jpeg(value: int) -> bytes:
    noise = np.random.default_rng(value).integers(0, 256, (120, 160, 3), np.uint8)
    return bytes(cv2.imencode(".jpg", noise)[1].tobytes())


@pytest.fixture
def source(kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., V4l2Source]:
    """A device that sends these frames."""
    (tmp_path / "video0").touch()
    monkeypatch.setattr(cv2, "VideoCapture", Capture)

    def start(*sent: bytes, timeout: float = 60.0) -> V4l2Source:
        monkeypatch.setattr(Capture, "sent", list(sent))
        return V4l2Source(Address(str(tmp_path / "video0"), "v4l2:video0", timeout=timeout))

    return start


def test_frames_that_lost_data_are_passed_over_and_counted(source: Callable[..., V4l2Source]) -> None:
    whole = [jpeg(1), jpeg(2)]
    lost = [data[:2000] + data[5000:] for data in whole]
    opened = source(whole[0], lost[0], lost[1][:-2], b"", whole[1][:-2] + b"\x12\x34" + whole[1][-2:])
    for data, missed in ((whole[0], 0), (whole[1], 3)):
        shot = opened.grab(None)
        np.testing.assert_array_equal(shot.frame, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
        assert shot.missed == missed
    with pytest.raises(CameraLost, match="gives no more frames"):
        opened.grab(None)


def test_a_camera_of_nothing_but_torn_frames_is_lost(source: Callable[..., V4l2Source]) -> None:
    opened = source(*[jpeg(1)[:3000]] * 3, timeout=0.0)
    with pytest.raises(CameraLost, match=r"1 frames in a row are damaged .*use another cable or port"):
        opened.grab(None)
