"""The camera thread and its requests, with a camera that does what the test says."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from mosquitto import wait_until

from edge_inspect.edge.cameras import Capture, Place, folder
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.errors import CameraError, CameraIdle, CameraLost
from edge_inspect.edge.frame.images import Frame, read_image, write_image
from edge_inspect.edge.health.stage import Stage
from edge_inspect.edge.station import camera_thread
from edge_inspect.edge.station.camera_thread import CameraThread
from edge_inspect.edge.station.frame_requests import FrameRequest, FrameRequests
from edge_inspect.edge.station.ring import FrameRing

Answer = str | None | Exception
"""A part's id, the end, or what is raised."""


class Scripted:
    """A camera that gives what it is handed."""

    live = False

    def __init__(self) -> None:
        self.answers: queue.Queue[Answer] = queue.Queue()
        self.opened = 0
        self.afters: list[float] = []
        self.closing = self.opening = lambda: None

    def open(self, uri: str, place: Place) -> Scripted:
        self.opened += 1
        self.opening()
        return self

    def read(self, buffer: Frame | None, after: float = 0.0) -> Capture | None:
        self.afters.append(after)
        answer = self.answers.get(timeout=30)
        if isinstance(answer, Exception):
            raise answer
        return None if answer is None else Capture(np.zeros((2, 2, 3), np.uint8), utc_now(), answer)

    def close(self) -> None:
        self.closing()


class Watcher:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.missed: list[tuple[str, int]] = []
        self.shown: list[tuple[str, str]] = []
        self.ended = threading.Event()

    def choose_recipe(self, capture: Capture, request: FrameRequest) -> str | None:
        return None

    def see(self, capture: Capture, live: bool) -> None:
        if capture.part_id == "odd":
            raise ZeroDivisionError("of a part")

    def show(self, pictures: Iterable[str], frame: Frame | None, problem: str = "") -> None:
        self.shown += [(picture, problem) for picture in pictures]

    def miss(self, problem: str, parts: int = 1) -> None:
        self.missed += [(problem, parts)] if parts else []

    def end(self) -> None:
        self.ended.set()


class Line:
    """A camera thread and what is around it."""

    def __init__(self, *, triggered: bool, uri: str = "any:") -> None:
        self.requests = FrameRequests(triggered=triggered, waiting=4)
        self.ring = FrameRing(16, "every", threading.Event())
        self.listener = Watcher()
        self.thread = CameraThread("a", uri, self.requests, self.ring, Stage("a", "camera", 15.0), self.listener)

    def parts(self) -> list[str | None]:
        return [waiting.capture.part_id for waiting in self.ring.waiting]


Make = Callable[..., Line]


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    made = Scripted()
    monkeypatch.setattr(camera_thread, "open_camera", made.open)
    return made


@pytest.fixture
def make(camera: Scripted) -> Iterator[Make]:
    lines: list[Line] = []

    def start(*, triggered: bool = False) -> Line:
        lines.append(Line(triggered=triggered))
        lines[-1].thread.start()
        return lines[-1]

    yield start
    for line in lines:
        line.thread.stop()
        line.requests.close()
        line.ring.close()
        camera.answers.put(None)
        line.thread.close(30)


def test_frames_that_fail_one_after_another_do_not_begin_a_recorded_source_again(camera: Scripted, make: Make) -> None:
    for answer in ("1", CameraError("torn 2"), CameraError("torn 3"), "4", None):
        camera.answers.put(answer)
    line = make()
    assert line.listener.ended.wait(30)
    assert line.parts() == ["1", "4"] and camera.opened == 1
    assert line.listener.missed == [("torn 2", 1), ("torn 3", 1)]


def test_a_camera_that_hangs_while_it_is_let_go_misses_its_part_once(camera: Scripted, make: Make) -> None:
    hangs, go = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        go.wait(30)

    camera.closing = hang
    line = make(triggered=True)
    assert line.requests.request_snapshot("snapshot") and line.requests.request_part("p1")
    camera.answers.put(CameraLost("gone"))
    assert hangs.wait(30)
    line.thread.reopen()
    go.set()
    assert sum(parts for _, parts in line.listener.missed) == 1
    assert [picture for picture, _ in line.listener.shown] == ["snapshot"]


def test_parts_that_went_by_while_the_camera_was_opened_again_are_missed(camera: Scripted, make: Make) -> None:
    line = make(triggered=True)
    wait_until(lambda: camera.opened == 1)
    camera.opening = lambda: line.requests.request_part("late")
    assert line.requests.request_part("p1")
    camera.answers.put(CameraLost("gone"))
    wait_until(lambda: sum(parts for _, parts in line.listener.missed) == 2, 30)
    assert line.requests.request_part("p2")
    camera.answers.put("file")
    wait_until(lambda: line.parts() == ["p2"], 30)


def test_a_trigger_without_a_frame_is_a_part_missed(camera: Scripted, make: Make) -> None:
    line = make(triggered=True)
    assert line.requests.request_part("p1") and line.requests.request_part("p2")
    camera.answers.put(CameraIdle("no frame"))
    camera.answers.put(None)
    assert line.listener.ended.wait(30)
    assert [parts for _, parts in line.listener.missed] == [1, 1]


def test_a_camera_that_waits_for_its_own_trigger_misses_nothing(camera: Scripted, make: Make) -> None:
    line = make()
    for answer in (CameraIdle("no frame"), "1", None):
        camera.answers.put(answer)
    assert line.listener.ended.wait(30)
    assert line.parts() == ["1"] and line.listener.missed == []


def test_a_snapshot_that_fails_is_no_part(camera: Scripted, make: Make) -> None:
    line = make(triggered=True)
    assert line.requests.request_snapshot("snapshot")
    camera.answers.put(CameraError("torn"))
    wait_until(lambda: line.listener.shown == [("snapshot", "torn")], 30)
    assert line.listener.missed == []


def test_frames_of_a_pause_are_not_taken_though_the_camera_thread_was_busy() -> None:
    requests = FrameRequests(triggered=False, waiting=1)
    afters = []
    for pause in (False, True, False):
        before = time.monotonic()
        if pause:
            requests.set_paused(True)
            requests.set_paused(False)
        request = requests.wait()
        assert request is not None and request.inspect
        afters.append(request.after >= before)
        assert pause or request.after == 0
    assert afters == [False, True, False]


@pytest.mark.parametrize("triggered", [False, True])
@pytest.mark.parametrize(
    "error", [RuntimeError("driver"), UnicodeEncodeError("utf-8", "\udcfc", 0, 1, "surrogates"), MemoryError()]
)
def test_an_error_that_nobody_expected_costs_one_part(
    camera: Scripted, make: Make, error: Exception, triggered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    line = make(triggered=triggered)
    for answer in ("1", error, "odd", "2", None):
        if triggered and answer is not None:
            assert line.requests.request_part(None)
        camera.answers.put(answer)
        if answer is error:
            wait_until(lambda: camera.opened == 2, 30)
    if triggered:
        wait_until(lambda: len(line.parts()) == 2, 30)
        line.requests.request_part(None)
    assert line.listener.ended.wait(30)
    assert line.parts() == ["1", "2"]
    assert [parts for _, parts in line.listener.missed][:2] == [1, 1]
    assert repr(error) in line.listener.missed[0][0] and "of a part" in line.listener.missed[1][0]
    assert caplog.text.count("Traceback") == 2


def test_what_fails_at_the_opening_and_at_the_closing_is_tried_again(camera: Scripted, make: Make) -> None:
    def fail() -> None:
        camera.opening = lambda: None
        raise OSError("no such device")

    camera.opening = camera.closing = fail
    camera.answers.put(CameraLost("gone"))
    camera.answers.put("1")
    line = make()
    wait_until(lambda: line.parts() == ["1"], 30)
    assert camera.opened == 3
    camera.closing = lambda: None


def test_a_recorded_source_that_hangs_at_its_last_picture_has_ended_when_it_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        write_image(tmp_path / f"{name}.png", np.zeros((4, 4, 3), np.uint8))
    hangs, go = threading.Event(), threading.Event()

    def hang(path: Path, *more: object) -> Frame:
        if path.name == "c.png":
            hangs.set()
            go.wait(30)
        return read_image(path)

    monkeypatch.setattr(folder, "read_image", hang)
    line = Line(triggered=False, uri=f"folder:{tmp_path}")
    line.thread.start()
    assert hangs.wait(30)
    line.thread.reopen()
    assert line.listener.ended.wait(30)
    go.set()
    assert line.parts() == ["a", "b"]
    assert sum(parts for _, parts in line.listener.missed) == 1


def test_a_recorded_source_does_not_wait_for_its_frame_rate_when_it_is_stopped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_image(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8))
    write_image(tmp_path / "b.png", np.zeros((4, 4, 3), np.uint8))
    line = Line(triggered=False, uri=f"folder:{tmp_path}?fps=0.01&loop=true")
    line.thread.start()
    wait_until(lambda: line.parts() == ["a"], 30)  # the next frame is due in 100 s
    line.thread.stop()
    line.requests.close()
    line.ring.close()
    line.thread.close(30)
    assert line.listener.ended.is_set() and "left behind" not in caplog.text
