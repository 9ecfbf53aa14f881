"""The engine thread, and the thread that replaces it."""

from __future__ import annotations

import threading
import time

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

    def inspect_next(self) -> bool:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.threads.append(threading.current_thread().name)
        time.sleep(self.part_s)
        while self.hang.is_set():
            time.sleep(0.01)
        self.at_once -= 1
        return True

    def stop(self) -> None:
        pass


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
