"""An engine views the pictures of labelled parts, while other threads read the next ones.

Reading a picture takes about as long as inferring it. The engine has all cores: two engines with one of two cores each
took a third longer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import islice
from typing import TypeVar

from edge_inspect.calibrate.teach.labelled_parts import LabelledPart, frame_of
from edge_inspect.edge.frame.images import Frame

READERS = 2
"""Number of threads that read pictures."""
AHEAD = 4
"""Number of pictures read ahead."""

Engine = TypeVar("Engine")
Seen = TypeVar("Seen")


def view(
    parts: Sequence[LabelledPart],
    bits: int | None,
    open_engine: Callable[[], AbstractContextManager[Engine]],
    look: Callable[[Engine, Frame], Seen],
) -> Iterator[Seen]:
    """Yield what an engine sees in the pictures of parts, in their order.

    Args:
        parts: The parts; without any, no engine is opened.
        bits: See `read_image`.
        open_engine: Opens the engine.
        look: Returns what the engine sees in a picture.

    Raises:
        ImageError: A picture cannot be read.
        EngineError: The engine cannot be built, or failed.
    """
    if not parts:
        return
    with open_engine() as engine, ThreadPoolExecutor(READERS, "read") as pool:
        coming: deque[Future[Frame]] = deque()
        left = iter(parts)
        while True:
            coming.extend(pool.submit(frame_of, part, bits) for part in islice(left, AHEAD - len(coming)))
            if not coming:
                return
            yield look(engine, coming.popleft().result())
