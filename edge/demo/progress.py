"""Shows the progress of the demo's steps on standard error: a bar on a terminal, otherwise a line every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
LINE_EVERY_S = 5.0
_WIDTH = 30


class Progress:
    """Shows how much of a step is done.

    The training uses tqdm instead, which `edge` must not import.

    Args:
        total: Number of units of the step, at least 1.
        unit: Name of the units, in the plural.
    """

    def __init__(self, total: int, unit: str) -> None:
        self._total, self._unit = total, unit
        self._terminal = sys.stderr.isatty()
        self._said = time.monotonic()

    def show(self, done: int) -> None:
        """Show that `done` units are done."""
        now, last = time.monotonic(), done >= self._total
        text = f"  {done}/{self._total} {self._unit}"
        if self._terminal:
            filled = "#" * (_WIDTH * done // self._total)
            print(f"\r  [{filled:{_WIDTH}}]{text}", end="\n" if last else "", file=sys.stderr, flush=True)
        elif last or now - self._said >= LINE_EVERY_S:
            self._said = now
            print(text, file=sys.stderr, flush=True)


def tracked(items: Iterable[T], total: int, unit: str) -> Iterator[T]:
    """Yield the items, and show how many are done."""
    progress = Progress(total, unit)
    for done, item in enumerate(items, 1):
        yield item
        progress.show(done)
