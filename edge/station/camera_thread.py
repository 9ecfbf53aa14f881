"""The camera thread of a station: from the camera, when a frame is asked for, into the ring."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from edge_inspect.edge.cameras import Camera, Capture, Place
from edge_inspect.edge.cameras.opening import open_camera
from edge_inspect.edge.errors import CameraError, CameraIdle, CameraLost
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.health.stage import Stage
from edge_inspect.edge.station.frame_requests import FrameRequest, FrameRequests
from edge_inspect.edge.station.ring import FrameRing
from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)

REOPEN_AFTER_S = 0.5
NO_MORE = "the camera gives no more frames"


class CameraListener(Protocol):
    """Is told what the camera gives, by the camera thread; `edge.station.station.Station` is one."""

    def see(self, capture: Capture, live: bool) -> None:
        """Take in a frame that has come; some may have been lost before it."""

    def show(self, snapshots: Iterable[str], frame: Frame | None, problem: str = "") -> None:
        """Answer snapshots that were asked for, or say why they cannot be had."""

    def miss(self, problem: str, parts: int = 1) -> None:
        """Count parts that there is no frame of."""

    def end(self) -> None:
        """Note that there are no more frames."""


class CameraThread:
    """Reads until it is told to stop or the source ends; a lost camera is opened again, and one that hangs left behind.

    A recorded source goes on where it was, so that no part is inspected twice. An unexpected error, of a driver or of
    our own code, costs the part that it came with.

    Args:
        name: Name of the station.
        uri: The camera, as the configuration names it.
        requests: When to take a frame, and what for.
        ring: Where parts go.
        stage: Told what this thread is at.
        listener: Who the frames are for.
    """

    def __init__(
        self, name: str, uri: str, requests: FrameRequests, ring: FrameRing, stage: Stage, listener: CameraListener
    ) -> None:
        self._name, self._uri = f"camera-{name}", uri
        self._requests, self._ring, self._stage, self._listener = requests, ring, stage, listener
        self._stopping = threading.Event()
        self._unanswered: FrameRequest | None = None
        """The request that the camera has not answered yet."""
        self._again = False
        self._place = Place()
        self._thread: threading.Thread | None = None
        self.live = False
        """Whether frames come at a rate of their own."""

    def start(self) -> None:
        """Open the camera, in a thread of its own."""
        self._stage.work()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def reopen(self) -> None:
        """Open the camera again in a new thread; the one that hangs ends when it comes back, and gives no frame."""
        request, self._unanswered = self._unanswered, None
        self.start()
        problem = f"the camera hangs for {self._stage.limit_s:g} s; it is opened again"
        self._listener.miss(problem, 1 if request is not None and request.inspect else 0)
        self._listener.show(request.snapshots if request is not None else (), None, problem)

    def stop(self) -> None:
        """Take no more frames."""
        self._stopping.set()

    def join(self, timeout: float) -> None:
        """Wait for the end."""
        if self._thread is not None:
            self._thread.join(timeout)

    def _mine(self) -> bool:
        """Return whether the calling thread was not left behind."""
        return self._thread is threading.current_thread()

    def _run(self) -> None:
        ended = False
        while self._mine() and not ended and not self._stopping.is_set():
            self._stage.work()
            try:
                ended = self._open_and_read()
            except Exception as error:
                if self._mine():
                    request, self._unanswered = self._unanswered, None
                    problem = self._unexpected(error)
                    if request is not None:
                        self._tell(request, problem)
                    self._wait_for_camera(problem)
        if self._mine():
            self._requests.close()
            self._forget(NO_MORE)
            self._stage.idle(NO_MORE)
            self._listener.end()

    def _open_and_read(self) -> bool:
        """Read until the end (true), or until the camera has to be opened again (false)."""
        again, self._again = self._again, True
        try:
            camera = open_camera(self._uri, self._place)
        except CameraError as error:
            if self._mine():
                self._wait_for_camera(error)
            return False
        if again and self._mine():
            self._forget("the camera was lost; it is open again")
        try:
            return self._read_all(camera)
        finally:
            if self._mine():
                self._stage.work()  # to let a source go can hang too
            camera.close()

    def _unexpected(self, error: Exception) -> CameraError:
        log.exception("%s: an error that nobody expected", self._name)
        return CameraError(f"an error that nobody expected: {error!r}; the log has more")

    def _wait_for_camera(self, error: CameraError) -> None:
        why = clean(str(error))
        self._stage.fail(why)
        self._listener.miss(why, 0)
        self._forget(why)
        self._stopping.wait(REOPEN_AFTER_S)

    def _read_all(self, camera: Camera) -> bool:
        """Read until the end (true), or until the camera is lost (false)."""
        if self._mine():
            self.live = camera.live
        while self._mine() and (request := self._wait_for_request()) is not None:
            self._unanswered = request
            problem: CameraError | None = None
            try:
                capture = camera.read(self._ring.spare(), request.after)
            except CameraError as error:
                problem = error
            if not self._mine():
                break  # what it was asked for was counted when this thread was left behind
            self._unanswered = None
            if problem is not None:
                self._tell(request, problem)
                if isinstance(problem, CameraIdle):
                    continue
                self._stopping.wait(REOPEN_AFTER_S)
                if isinstance(problem, CameraLost):
                    self._forget(clean(str(problem)))
                    return False
                continue
            if capture is None:
                if self._requests.triggered and request.inspect:
                    self._listener.miss(NO_MORE)
                self._listener.show(request.snapshots, None, NO_MORE)
                return True
            try:
                if not self._take(capture, request, camera.live):
                    return True
            except Exception as error:
                self._tell(request, self._unexpected(error))
        return True

    def _take(self, capture: Capture, request: FrameRequest, live: bool) -> bool:
        """Show a frame, and put it into the ring where it is a part; return whether there may be more."""
        self._stage.advance()
        self._listener.see(capture, live)
        self._listener.show(request.snapshots, capture.frame)
        if not request.inspect:
            return True
        if request.part_id is not None:
            capture = replace(capture, part_id=request.part_id)
        with self._stage.idling("the engine has frames enough"):
            return self._ring.offer(capture)

    def _tell(self, request: FrameRequest, error: CameraError) -> None:
        """Say why a request got no frame; a camera that nobody asked for a part has missed none while it is idle."""
        why = clean(str(error))
        if isinstance(error, CameraIdle):
            self._stage.idle(why)
        else:
            self._stage.fail(why)
        if self._requests.triggered or not isinstance(error, CameraIdle):
            self._listener.miss(why, int(request.inspect))
        self._listener.show(request.snapshots, None, why)

    def _wait_for_request(self) -> FrameRequest | None:
        with self._stage.idling("paused, or waiting for a trigger"):
            return self._requests.wait()

    def _forget(self, problem: str) -> None:
        """Drop the triggers and snapshots that wait for a camera that is lost."""
        triggers, snapshots = self._requests.drop_waiting()
        if triggers:
            self._listener.miss(problem, triggers)
        self._listener.show(snapshots, None, problem)
