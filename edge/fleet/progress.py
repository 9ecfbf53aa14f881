"""The progress of a roll-out: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import TextIO

from edge_inspect.edge.fleet.rollout import Rollout
from edge_inspect.edge.fleet.row_table import columns, share
from edge_inspect.edge.fleet.station_task import StationTask
from edge_inspect.edge.text import clean

_EVERY_S = 0.5
_UP_AND_CLEAR = "\x1b[{}F\x1b[J"
_WORDS = {
    "waiting": "waits",
    "sent": "is changed now",
    "watched": "is watched",
    "good": "good",
    "refused": "not changed",
    "back_sent": "is rolled back now",
    "back": "rolled back",
    "left": "not rolled back",
    "stuck": "could not be rolled back",
}
"""Words for the states of a station."""


class Progress:
    """Prints lines about what happens, and on a terminal a table below them that is drawn anew.

    Args:
        file: Where to print; by default, standard output.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file or sys.stdout
        self._live = self._file.isatty()
        self._lines, self._drawn_at, self._paused = 0, float("-inf"), False

    def say(self, text: str) -> None:
        """Print a line with the time."""
        self._clear()
        print(f"{time.strftime('%H:%M:%S')}  {clean(text)}", file=self._file, flush=True)
        self._drawn_at = float("-inf")

    def say_paused(self, *, paused: bool) -> None:
        """Print a line if the roll-out was paused, or goes on."""
        if paused != self._paused:
            self._paused = paused
            self.say("paused; no further station is changed" if paused else "goes on")

    def show(self, rollout: Rollout) -> None:
        """Draw the table, if this is a terminal and the last one is old."""
        if not self._live or time.monotonic() - self._drawn_at < _EVERY_S:
            return
        self._clear()
        lines = _table(rollout, shutil.get_terminal_size())
        print("\n".join(lines), file=self._file, flush=True)
        self._lines, self._drawn_at = len(lines), time.monotonic()

    def _clear(self) -> None:
        if self._lines:
            self._file.write(_UP_AND_CLEAR.format(self._lines))
            self._lines = 0


def summary(rollout: Rollout) -> list[str]:
    """Return a line about each station: its state, and why it is in it."""
    stopped = rollout.record.stopped is not None
    return columns([(clean(task.key), _state(task, stopped=stopped)) for task in rollout.tasks.values()])


def _table(rollout: Rollout, size: os.terminal_size) -> list[str]:
    tasks, stopped = list(rollout.tasks.values()), rollout.record.stopped is not None
    first = [task for task in tasks if task.entry.state not in ("waiting", "good", "back")]
    shown = sorted([*first, *(task for task in tasks if task not in first)][: max(1, size.lines - 4)], key=tasks.index)
    good = sum(task.entry.state == "good" for task in tasks)
    head = f"{good} of {len(tasks)} stations are good" + ("; paused" if rollout.paused else "")
    lines = columns([(clean(task.key), _state(task, stopped=stopped), *_figures(task)) for task in shown])
    return [line[: size.columns - 1] for line in (head, *lines)]


def _state(task: StationTask, *, stopped: bool) -> str:
    state = task.entry.state
    word = _WORDS["refused" if stopped and state == "waiting" else state]
    return f"{word}: {clean(task.entry.detail)}" if task.entry.detail else word


def _figures(task: StationTask) -> tuple[str, str]:
    watch = task.watch
    if watch is None or watch.share is None or task.entry.state == "good":
        return "", ""
    return f"{watch.parts} parts", f"{share(watch.share)} rejected"
