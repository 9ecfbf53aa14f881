"""A crew of engines that look at the pictures of labelled parts, several pictures at once.

Reading a picture and looking at it take about as long as each other, and a small network does not keep every core busy.
So each engine of the crew has its share of the cores, and a thread that reads the pictures for it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from queue import SimpleQueue
from typing import TypeVar

from edge_inspect.calibrate.teach.labelled_parts import LabelledPart, frame_of
from edge_inspect.edge.frame.images import Frame

LARGEST = 4
"""Most engines of a crew; each holds the network's weights."""

Engine = TypeVar("Engine")
Seen = TypeVar("Seen")


def look_at(
    parts: Sequence[LabelledPart],
    bits: int | None,
    open_engine: Callable[[int], AbstractContextManager[Engine]],
    look: Callable[[Engine, Frame], Seen],
) -> Iterator[Seen]:
    """Yield what a crew sees in the pictures of parts, in their order.

    Args:
        parts: The parts.
        bits: See `read_image`.
        open_engine: Opens an engine that uses that many threads.
        look: Called with an engine and a picture, in a thread of the crew. What it returns must not be overwritten when
            the same engine looks at its next picture.

    Raises:
        ImageError: A picture cannot be read.
        EngineError: An engine cannot be built, or failed.
    """
    if not parts:
        return
    cores = len(os.sched_getaffinity(0))
    size = min(LARGEST, cores, len(parts))
    free: SimpleQueue[Engine] = SimpleQueue()

    def one(part: LabelledPart) -> Seen:
        frame = frame_of(part, bits)
        engine = free.get()
        try:
            return look(engine, frame)
        finally:
            free.put(engine)

    with ExitStack() as opened, ThreadPoolExecutor(size, "crew") as pool:
        for engine in pool.map(open_engine, [cores // size] * size):
            free.put(opened.enter_context(engine))
        waiting: deque[Future[Seen]] = deque()
        for part in parts:
            waiting.append(pool.submit(one, part))
            if len(waiting) > 2 * size:  # a result may hold a megabyte
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
