"""The side of runtime.py that is timed: a system in a process of its own that answers one task a line.

It imports the standard library and numpy alone, because it also runs in anomalib's environment, which has nothing of
this project. A worker opens its system, judges the first picture, and says so; then it reads tasks from standard input:

    {"task": "latency", "seconds": 1}                     milliseconds of each frame, one after another, processor time
    {"task": "throughput", "seconds": 1, "in_flight": 2}  frames a second with so many frames under way
    {"task": "memory", "count": 20}                       the peak of the process after so many frames
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

MARK = "RUNTIME "
"""Begins each line that the worker answers; libraries write what they like to standard output."""

WARM = 3
LEAST = 10
"""Frames of a turn, however slow the system is."""


class System(Protocol):
    """What is timed."""

    def read(self, path: Path) -> Any:
        """Return a picture in the form that the system takes."""

    def judge(self, frame: Any) -> bool:
        """Return the verdict on a frame in memory."""

    def stream(self, frames: Iterable[Any], in_flight: int) -> Iterator[bool]:
        """Yield the verdicts on frames of which so many may be under way at a time."""


def work(open_system: Callable[[], System], pictures: Sequence[Path]) -> None:
    """Open a system, judge one picture, and do what standard input asks for until it ends."""
    system = open_system()
    frames = [system.read(pictures[0])]
    answer({"ok": system.judge(frames[0])})
    frames += [system.read(path) for path in pictures[1:]]
    for line in sys.stdin:
        asked = json.loads(line)
        task = asked.pop("task")
        answer(TASKS[task](system, frames, **asked))


def answer(result: dict[str, Any]) -> None:
    """Write a line that runtime.py reads."""
    print(MARK + json.dumps(result), flush=True)


def latency(system: System, frames: Sequence[Any], seconds: float) -> dict[str, Any]:
    """Return `ms` of each frame, and `cpu_s`, the processor time of them all."""
    for frame in frames[:WARM]:
        system.judge(frame)
    taken: list[float] = []
    begun, cpu = time.perf_counter(), time.process_time()
    while len(taken) < LEAST or time.perf_counter() < begun + seconds:
        frame, started = frames[len(taken) % len(frames)], time.perf_counter()
        system.judge(frame)
        taken.append(time.perf_counter() - started)
    cpu = time.process_time() - cpu
    return {"ms": [round(each * 1000, 4) for each in taken], "cpu_s": cpu}


def throughput(system: System, frames: Sequence[Any], seconds: float, in_flight: int) -> dict[str, Any]:
    """Return `fps`, frames a second, and `cpu_s` a thousand of them."""
    for _ in system.stream(frames[:WARM], in_flight):
        pass
    begun, cpu = time.perf_counter(), time.process_time()

    def given() -> Iterator[Any]:
        count = 0
        while count < LEAST or time.perf_counter() < begun + seconds:
            yield frames[count % len(frames)]
            count += 1

    count = sum(1 for _ in system.stream(given(), in_flight))
    elapsed, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return {"fps": count / elapsed, "cpu_s_per_1000": 1000 * cpu / count}


def memory(system: System, frames: Sequence[Any], count: int) -> dict[str, Any]:
    """Return `peak_mb`, the largest memory of the process in MiB after `count` frames."""
    for i in range(count):
        system.judge(frames[i % len(frames)])
    status = Path("/proc/self/status").read_text().splitlines()
    return {"peak_mb": int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024}


TASKS: dict[str, Callable[..., dict[str, Any]]] = {"latency": latency, "throughput": throughput, "memory": memory}
