"""The engine thread, and the thread that replaces it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import SimpleNamespace

import pytest
from mosquitto import wait_until

from edge_inspect.edge import engine_loop
from edge_inspect.edge.engine_loop import EngineLoop


class Station:
    """A station that always has a frame, and records how many threads inspected at the same time."""

    def __init__(self, part_s: float = 0.05) -> None:
        self.part_s = part_s
        self.ended = threading.Event()
        self.hang = threading.Event()
        self.threads: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.inspector = self
        self.ring = SimpleNamespace(waiting=[])

    def take(self) -> SimpleNamespace:
        return SimpleNamespace(begun=None)

    def begin(self, taken: SimpleNamespace) -> None:
        """The engine computes one frame at a time."""

    def inspect(self, taken: SimpleNamespace) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.threads.append(threading.current_thread().name)
        time.sleep(self.part_s)
        while self.hang.is_set():
            time.sleep(0.01)
        self.at_once -= 1

    def stop(self) -> None:
        pass


class Waiting:
    """A station in whose ring frames wait, and that records what is done with them in a list of all stations."""

    def __init__(self, name: str, frames: int, done: list[str], at_a_time: int | None = 3) -> None:
        self.name, self.done, self.at_a_time = name, done, at_a_time
        self.ended = threading.Event()
        self.ended.set()
        self.inspector = self
        self.ring = SimpleNamespace(waiting=[f"{name}{number}" for number in range(frames)])
        self.hang = ""
        self.go_on = threading.Event()

    def take(self) -> SimpleNamespace | None:
        if not self.ring.waiting:
            return None
        return SimpleNamespace(begun=None, name=self.ring.waiting.pop(0))

    def begin(self, taken: SimpleNamespace) -> None:
        self.done.append(f"begin {taken.name}")
        taken.begun = None if self.at_a_time is None else SimpleNamespace(at_a_time=self.at_a_time)

    def inspect(self, taken: SimpleNamespace) -> None:
        if taken.name == self.hang:
            self.go_on.wait()
        self.done.append(taken.name)

    def lose(self, taken: SimpleNamespace) -> None:
        self.done.append(f"lose {taken.name}")

    def stop(self) -> None:
        pass


def run_to_the_end(loop: EngineLoop) -> None:
    loop.start()
    wait_until(lambda: not loop.running, 20)
    loop.join(0)


def test_a_frame_that_waits_alone_is_not_begun_before_it_is_inspected() -> None:
    done: list[str] = []
    run_to_the_end(EngineLoop([Waiting("a", 0, done), Waiting("b", 1, done)]))
    assert done == ["b0"]


def test_as_many_frames_are_begun_as_the_engine_computes_at_a_time_and_read_in_order() -> None:
    done: list[str] = []
    run_to_the_end(EngineLoop([Waiting("a", 3, done), Waiting("b", 2, done)]))
    assert done == [
        *("begin a0", "begin b0", "begin a1", "a0", "begin b1", "b0", "begin a2", "a1"),
        *("b1", "a2"),
    ]


def test_no_engine_gets_more_frames_than_it_computes_at_a_time_beside_one_that_computes_more() -> None:
    """Two stations share an engine that computes two frames at a time; the engine of the third computes five."""
    done: list[str] = []
    at_a_time = {"a": 2, "b": 2, "c": 5}
    run_to_the_end(EngineLoop([Waiting(name, 5, done, most) for name, most in at_a_time.items()]))
    begun, most = Counter[int](), Counter[int]()
    for each in done:
        engine = at_a_time[each.split()[-1][0]]
        begun[engine] += 1 if "begin" in each else -1
        most[engine] = max(most[engine], begun[engine])
    assert most[2] == 2 and most[5] <= 5
    assert [each for each in done if "begin" not in each] == [f"{name}{i}" for i in range(5) for name in "abc"]


def test_frames_are_inspected_one_at_a_time_where_the_engine_begins_none() -> None:
    done: list[str] = []
    run_to_the_end(EngineLoop([Waiting("a", 2, done, None), Waiting("b", 2, done, None)]))
    assert [each for each in done if "begin" not in each] == ["a0", "b0", "a1", "b1"]


def test_a_frame_that_cannot_be_begun_is_inspected_after_those_before_it() -> None:
    done: list[str] = []
    run_to_the_end(EngineLoop([Waiting("a", 2, done), Waiting("b", 2, done, None)]))
    assert [each for each in done if "begin" not in each] == ["a0", "b0", "a1", "b1"]


def test_frames_that_a_hanging_thread_has_begun_are_inspected_by_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_loop, "LEAVE_S", 0.2)
    done: list[str] = []
    station = Waiting("a", 5, done)
    station.hang = "a1"
    loop = EngineLoop([station])
    loop.start()
    wait_until(lambda: done.count("begin a3") == 1, 20)
    run_to_the_end(loop)
    assert [each for each in done if "begin" not in each] == ["a0", "a2", "a3", "a4"]
    station.go_on.set()  # the part of the thread that hung was abandoned with it; it takes no other one
    wait_until(lambda: done[-1] == "a1", 20)


def test_frames_for_which_there_is_no_time_are_lost_and_counted() -> None:
    done: list[str] = []
    station = Waiting("a", 5, done)
    station.hang = "a1"
    loop = EngineLoop([station])
    loop.start()
    wait_until(lambda: done.count("begin a3") == 1, 20)
    threading.Timer(0.5, station.go_on.set).start()
    loop.close(0.1)
    assert [each for each in done if "begin" not in each] == ["a0", "a1", "lose a2", "lose a3"]
    assert station.ring.waiting == ["a4"], "which the station counts when it is closed"


def test_a_thread_that_does_not_hang_ends_before_the_next_one_judges() -> None:
    station = Station()
    loop = EngineLoop([station])
    loop.start()
    for _ in range(5):
        seen = len(station.threads)
        wait_until(lambda before=seen: len(station.threads) > before + 1, 20)
        loop.start()
        assert loop.running
    seen = len(station.threads)
    wait_until(lambda: len(station.threads) > seen + 2, 20)
    loop.close(0.2)
    assert station.most_at_once == 1


def test_the_end_waits_for_the_part_in_hand() -> None:
    station = Station(part_s=1.0)
    loop = EngineLoop([station])
    loop.start()
    wait_until(lambda: station.at_once == 1, 20)
    loop.close(0.1)
    assert station.at_once == 0 and not loop.running


def test_a_thread_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_loop, "LEAVE_S", 0.2)
    station = Station()
    loop = EngineLoop([station])
    loop.start()
    wait_until(lambda: len(station.threads) > 1, 20)
    station.hang.set()
    seen = len(station.threads)
    loop.start()
    wait_until(lambda: len(station.threads) > seen, 20)
    station.hang.clear()
    wait_until(lambda: len(station.threads) > seen + 5, 20)
    assert sum(thread.name == "engine" for thread in threading.enumerate()) == 1
    loop.close(0.2)
