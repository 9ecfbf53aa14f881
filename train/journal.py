"""The progress of a training, as one HTML page beside its checkpoint that can be left open in a browser.

The page is one file that needs no others: pictures are inline, nothing is fetched, there is no script.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from edge_inspect.edge import __version__
from edge_inspect.edge.errors import EdgeInspectError
from edge_inspect.edge.files import write_atomically
from edge_inspect.edge.program import say
from edge_inspect.models.network import Network
from edge_inspect.train.charts import loss_curve
from edge_inspect.train.checkpoint import Checkpoint
from edge_inspect.train.examples import Examples
from edge_inspect.train.pages import facts_of, fill, heading, now, show_charts, show_facts, show_tiles
from edge_inspect.train.phase import Phase

PAGE = "progress.html"
REFRESH = '<meta http-equiv="refresh" content="30">\n'
SHARE = 0.02
"""Share of a training's time that example maps may take while it runs; the last ones are always drawn."""


@dataclass
class History:
    """The steps that have been trained so far.

    Attributes:
        losses: Mean loss of every `Phase.every` steps, in order, by phase.
        seconds: Seconds spent.
        waited: Seconds of these in which steps waited for synthetic defects.
        steps: Finished steps of all phases.
    """

    losses: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    waited: float = 0.0
    steps: int = 0

    def done(self, phase: Phase) -> int:
        """Return how many steps of a phase are finished."""
        return min(len(self.losses.get(phase.name, [])) * phase.every, phase.steps)


class Journal:
    """Writes `progress.html`: what is trained, how far the training is, its loss, and example maps.

    A system's map is worth a look only in its last phase. A page that cannot be written does not end the training; it
    is reported once.

    Args:
        folder: Folder of the page.
        about: Description of the checkpoint in training.
        phases: Phases of the training.
        examples: Pictures for which example maps are drawn.
    """

    def __init__(self, folder: Path, about: Checkpoint, phases: Sequence[Phase], examples: Examples) -> None:
        self._page, self._about, self._phases, self._examples = folder / PAGE, about, phases, examples
        self._maps = ""
        self._complained = False
        self._begun = (0.0, 0)
        self._spent = self._last = 0.0

    def begin(self, history: History) -> None:
        """Begin a phase, or resume it: the time left and the time for maps are counted from here."""
        self._begun = history.seconds, history.done(self._phase(history))
        self._spent = 0.0
        self._write(history)

    def write(self, model: Network, history: History, finished: bool = False) -> None:
        """Update the page. Neither the model nor the random numbers of the training change."""
        allowed = SHARE * (history.seconds - self._begun[0])
        if finished or (history.done(self._phases[-1]) and self._spent + self._last <= allowed):
            started = time.perf_counter()
            self._maps = self._draw(model, history)
            self._last = time.perf_counter() - started
            self._spent += self._last
        self._write(history, finished)

    def _draw(self, model: Network, history: History) -> str:
        try:
            maps = self._examples.draw(model)
        except (OSError, EdgeInspectError) as error:
            return f"<p>There are none: {escape(str(error))}</p>"
        last = self._phases[-1]
        what = "Held-out good images" if self._about.held_out else "Training images, because none were held out"
        tile = ", one tile of each" if self._about.fit.grid.count > 1 else ""
        return (
            f"<p>{what}{tile}, each followed by the same image with a synthetic defect, outlined in yellow. Maps after "
            f"step {history.done(last)} of {last.steps}, on one scale:</p>\n{maps}"
        )

    def _write(self, history: History, finished: bool = False) -> None:
        page = self._render(history, finished).encode(errors="replace")  # a file name need not be valid UTF-8
        try:
            write_atomically(self._page, page)
        except OSError as error:
            if not self._complained:
                say(f"{self._page}: cannot be written: {error.strerror}; the training continues without it")
            self._complained = True

    def _render(self, history: History, finished: bool) -> str:
        about = self._about
        settings = {name.replace("_", " "): value for name, value in about.training.items()}
        standing = (
            f"Finished on {now()}; the checkpoint is beside this page."
            if finished
            else f"Written on {now()}. It is rewritten with every save, about once a minute. If that "
            "stops, the training was interrupted; the same command resumes it from the last save."
        )
        title = heading(about.category, about)
        state = "finished" if finished else "training"
        return fill(
            "journal.html",
            head=f"{'' if finished else REFRESH}<title>{state}: {title}</title>",
            title=title,
            facts=show_facts({**facts_of(about), **settings}),
            tiles=show_tiles(self._tiles(history, finished)),
            standing=standing,
            charts=show_charts(dict(_loss(phase, history) for phase in self._phases)),
            examples=self._maps or f"<p>{self._awaited(history)}</p>",
            footer=f"Written by edge-train fit, edge-inspect {escape(__version__)}.",
        )

    def _tiles(self, history: History, finished: bool) -> list[tuple[str, str]]:
        phase = self._phase(history)
        left = self._left(history)
        pace = "left, about" if phase is self._phases[-1] else "left, at this phase’s pace"
        return [
            (f"{self._phases.index(phase) + 1} of {len(self._phases)}", f"phase: {phase.name}"),
            (f"{history.done(phase)} of {phase.steps}", "steps of this phase"),
            (duration(history.seconds), "spent"),
            ("finished", "nothing is left") if finished else (duration(left) if left is not None else "unknown", pace),
        ]

    def _awaited(self, history: History) -> str:
        last = self._phases[-1]
        if self._phase(history) is last:
            return "They appear with one of the next saves."
        return f"They appear in the last phase, {last.name}, because before it the system has no map worth a look."

    def _phase(self, history: History) -> Phase:
        """Return the first phase that is not finished; the last phase if all are finished."""
        return next((phase for phase in self._phases if history.done(phase) < phase.steps), self._phases[-1])

    def _left(self, history: History) -> float | None:
        """Return the seconds left for all steps at this phase's pace; `None` before its first step."""
        seconds, before = self._begun
        done = history.done(self._phase(history)) - before
        if done <= 0:
            return None
        to_come = sum(phase.steps - history.done(phase) for phase in self._phases)
        return (history.seconds - seconds) / done * to_come


def _loss(phase: Phase, history: History) -> tuple[str, str]:
    """Return a phase's title and its chart."""
    title = f"{phase.name}, {history.done(phase)} of {phase.steps} steps"
    losses = history.losses.get(phase.name)
    if not losses:
        return title, '<p class="soft">There is no loss yet.</p>'
    return title, loss_curve(losses, phase.every, phase.steps)


def duration(seconds: float) -> str:
    """Return a duration as `45 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
