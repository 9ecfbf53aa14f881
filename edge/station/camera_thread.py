"""The camera thread of a station: reads a frame from the camera for each request, and puts it into the ring."""

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
from edge_inspect.edge.threads import wait_for_end

log = logging.getLogger(__name__)

REOPEN_AFTER_S = 0.5
NO_MORE = "the camera gives no more frames"


class CameraListener(Protocol):
    """Receives what the camera thread has to report, such as `edge.station.station.Station`."""

    def choose_recipe(self, capture: Capture, request: FrameRequest) -> str | None:
        """Return the recipe of a frame that has come; `None` if the station has no recipes."""

    def see(self, capture: Capture, live: bool) -> None:
        """Examine a frame that has come; `capture.missed` frames were lost before it."""

    def show(self, snapshots: Iterable[str], frame: Frame | None, problem: str = "") -> None:
        """Answer requested snapshots with a frame, or with the reason why there is none."""

    def miss(self, problem: str, parts: int = 1) -> None:
        """Count parts of which there is no frame."""

    def end(self) -> None:
        """Note that the camera gives no more frames."""


class CameraThread:
    """Reads frames until it is stopped or the source ends. A lost camera is opened again.

    If a driver hangs, its thread is left behind and a new thread opens the camera again. A recorded source continues at
    the next frame, so that no part is inspected twice. An unexpected error, of a driver or of our own code, costs only
    the part during which it occurred.

    Args:
        name: Name of the station.
        uri: URI of the camera, from the configuration.
        requests: Requests for frames.
        ring: Ring into which frames of parts are put.
        stage: Stage that this thread keeps up to date for the watchdog.
        listener: Receives frames and problems.
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
        self._place = Place(stopping=self._stopping)
        self._thread: threading.Thread | None = None
        self.live = False
        """Whether the camera gives frames at its own rate, as a live camera does."""

    def start(self) -> None:
        """Start the thread, which opens the camera."""
        self._stage.work()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def reopen(self) -> None:
        """Open the camera again in a new thread; the old one ends when its driver returns, without a frame."""
        request, self._unanswered = self._unanswered, None
        self.start()
        problem = f"the camera has been hanging for {self._stage.limit_s:g} s; it is opened again"
        self._listener.miss(problem, 1 if request is not None and request.inspect else 0)
        self._listener.show(request.snapshots if request is not None else (), None, problem)

    def stop(self) -> None:
        """Tell the thread to take no more frames and to end, and return at once."""
        self._stopping.set()

    def close(self, timeout: float) -> None:
        """End the thread, and wait for it at most `timeout` seconds."""
        self.stop()
        if self._thread is not None:
            wait_for_end(self._thread, timeout)

    def _mine(self) -> bool:
        """Return whether the calling thread is the current camera thread, and was not left behind."""
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
        """Open the camera and read; return true at the end, and false if the camera has to be opened again."""
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
                self._stage.work()  # closing a camera can hang too
            camera.close()

    def _unexpected(self, error: Exception) -> CameraError:
        log.exception("%s: unexpected error", self._name)
        return CameraError(f"unexpected error: {error!r}; the log has the traceback")

    def _wait_for_camera(self, error: CameraError) -> None:
        why = clean(str(error))
        self._stage.fail(why)
        self._listener.miss(why, 0)
        self._forget(why)
        self._stopping.wait(REOPEN_AFTER_S)

    def _read_all(self, camera: Camera) -> bool:
        """Read frames; return true at the end, and false if the camera is lost."""
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
                break  # the request was counted as missed when this thread was left behind
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
        """Show a frame, and put it into the ring if it shows a part; return whether more frames are wanted."""
        self._stage.advance()
        if request.part_id is not None:
            capture = replace(capture, part_id=request.part_id)
        capture = replace(capture, recipe=self._listener.choose_recipe(capture, request))
        self._listener.see(capture, live)
        self._listener.show(request.snapshots, capture.frame)
        if not request.inspect:
            return True
        with self._stage.idling("the ring is full"):
            return self._ring.offer(capture)

    def _tell(self, request: FrameRequest, error: CameraError) -> None:
        """Report why a request got no frame. An idle camera has missed a part only if a trigger asked for one."""
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
        """Drop the triggers and snapshots that wait, because the camera is lost."""
        triggers, snapshots = self._requests.drop_waiting()
        if triggers:
            self._listener.miss(problem, triggers)
        self._listener.show(snapshots, None, problem)
