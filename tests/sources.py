"""Real sources that can be killed and started again: an RTSP server, a GigE Vision camera, a video file."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from mosquitto import free_port
from system_gi import find_gi

TYPELIBS = "/usr/lib/*/girepository-1.0"


class Killable(Protocol):
    """A source of frames."""

    uri: str

    def start(self) -> None: ...

    def kill(self) -> None: ...

    def stop(self) -> None: ...


class _Process:
    """A source that is a process."""

    def __init__(self, *command: str) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """It is there, and says nothing any more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    stop = kill


class RtspServer(_Process):
    """GStreamer's RTSP server: 320x240, 30 frames a second."""

    def __init__(self, encoder: str = "jpeg") -> None:
        port = free_port()
        script = Path(__file__).with_name("rtsp_server.py")
        super().__init__("/usr/bin/python3", str(script), str(port), encoder)
        self.uri = f"rtsp://127.0.0.1:{port}/line"
        self.port = port

    @staticmethod
    def lacking() -> str:
        """Why it cannot run here, and what would change that."""
        if not _typelib("GstRtspServer-1.0") or not Path("/usr/lib/python3/dist-packages/gi").is_dir():
            return "apt install python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good"
        return ""

    @staticmethod
    def has_h264() -> bool:
        """Whether there is an encoder for it."""
        return not RtspServer.lacking() and any(Path("/usr/lib").glob("*/gstreamer-1.0/libgstx264.so"))


class GigECamera(_Process):
    """Aravis' own fake camera on the loopback interface: 512x512 greyscale, 25 frames a second."""

    PROGRAM = "arv-fake-gv-camera-0.8"

    def __init__(self, options: str = "", *, lost_per_thousand: int = 0) -> None:
        super().__init__(self.PROGRAM, "-i", "127.0.0.1", "-s", "T1", "-r", str(lost_per_thousand))
        self.uri = f"aravis:127.0.0.1{options}"
        # GigE Vision has one port, so a camera of another process would answer in place of a killed one.
        self._alone = os.open(shutil.which(self.PROGRAM) or self.PROGRAM, os.O_RDONLY)
        fcntl.flock(self._alone, fcntl.LOCK_EX)

    def stop(self) -> None:
        self.kill()
        os.close(self._alone)

    @staticmethod
    def lacking() -> str:
        """Why it cannot run here, and what would change that."""
        if not shutil.which(GigECamera.PROGRAM) or not _typelib("Aravis-0.8") or not find_gi():
            return "apt install python3-gi aravis-tools gir1.2-aravis-0.8, for the Python that runs the tests"
        return ""


class VideoFile:
    """A video file that is cut off and written again, as on a share that goes away."""

    def __init__(
        self, folder: Path, options: str = "", *, size: tuple[int, int] = (320, 240), frames: int = 300
    ) -> None:
        self._path, self._kept = folder / "line.avi", folder / "kept.avi"
        self.uri = f"video:{self._path}?loop=true{options}"
        writer = cv2.VideoWriter(str(self._kept), cv2.VideoWriter.fourcc(*"MJPG"), 30.0, size)
        rng = np.random.default_rng(1)
        for _ in range(frames):
            noise = rng.integers(0, 256, (size[1] // 8, size[0] // 8, 3), np.uint8)
            writer.write(cv2.resize(noise, size))
        writer.release()

    def start(self) -> None:
        fresh = self._path.with_suffix(".new")
        shutil.copy(self._kept, fresh)
        fresh.rename(self._path)

    def kill(self) -> None:
        with self._path.open("r+b") as file:
            file.truncate(0)
        self._path.unlink()

    def stop(self) -> None:
        """Its folder is the test's."""


def _typelib(name: str) -> bool:
    return any(Path("/").glob(f"{TYPELIBS.lstrip('/')}/{name}.typelib"))
