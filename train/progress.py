"""Progress of long steps on standard error: a bar on a terminal, and a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from tqdm import tqdm

T = TypeVar("T")
LINE_EVERY_S = 10.0


class Progress:
    """Counts the steps of a long task.

    Args:
        total: Number of all steps.
        label: Name of the task.
        unit: Name of its steps.
        done: Number of steps done earlier; the time left is estimated from the steps done now.
    """

    def __init__(self, total: int, label: str, unit: str, done: int = 0) -> None:
        self._label, self._unit, self._total = label, unit, total
        self._done, self._before = done, done
        self._started = self._said = time.monotonic()
        self._bar = _bar(total, label, unit, done) if sys.stderr.isatty() else None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def step(self, count: int = 1, note: str = "") -> None:
        """Count `count` more steps as done; `note` is shown beside the count."""
        self._done += count
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(count)
            return
        now = time.monotonic()
        if now - self._said >= LINE_EVERY_S or self._done == self._total:
            self._said = now
            left = (now - self._started) / (self._done - self._before) * (self._total - self._done)
            tail = f", {note}" if note else ""
            print(
                f"{self._label}: {self._done}/{self._total} {self._unit}, {left:.0f} s left{tail}",
                file=sys.stderr,
                flush=True,
            )


def _bar(total: int, label: str, unit: str, done: int) -> tqdm[Any] | None:
    """Return a bar; `None` on a box that teaches bundles, which has no tqdm."""
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return None
    bar: tqdm[Any] = tqdm(total=total, initial=done, desc=label, unit=unit, dynamic_ncols=True)
    return bar


def tracked(items: Iterable[T], total: int, label: str, unit: str) -> Iterator[T]:
    """Yield the items, with progress."""
    with Progress(total, label, unit) as progress:
        for item in items:
            yield item
            progress.step()
