"""The joiner: which views belong to one part, in which order parts are decided, and when a view is too late.

Pure logic: it knows neither broker, disk nor clock. edge/views/joined_line.py stores what it changes.
"""

from __future__ import annotations

import logging
from bisect import insort
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pydantic import BaseModel

from edge_inspect.edge.contract.messages import Verdict
from edge_inspect.edge.views.clock_check import ClockCheck
from edge_inspect.edge.views.matching import ByPartId, ByTime, Matching
from edge_inspect.edge.views.part import Part, SeenView

log = logging.getLogger(__name__)

MOST_REMEMBERED = 50_000
"""Largest number of decided parts of which a late view is recognised."""


class NewestCapture(BaseModel):
    """The newest frame of a view.

    Attributes:
        id: Id of its verdict.
        at: Time of its trigger, in seconds since 1970.
        boot_id: Id of the boot of the station's box.
    """

    id: str
    at: float
    boot_id: str


class JoinerState(BaseModel):
    """What the joiner keeps over restarts, beside its parts.

    Attributes:
        next_number: Number of the next new part.
        newest: Newest frame of each view, by the view's name; for matching by position only.
        out_of_step: Views whose triggers cannot be matched at present, by name, each with the reason.
        forgotten_until: Latest trigger of a part that is no longer remembered, in seconds since 1970. A verdict whose
            trigger is not after it may belong to such a part.
    """

    next_number: int = 1
    newest: dict[str, NewestCapture] = {}
    out_of_step: dict[str, str] = {}
    forgotten_until: float = 0.0


class Decided(NamedTuple):
    """A part that is to be decided now, as its views have left it, and how long it has waited, in seconds."""

    part: Part
    waited_s: float


class Joiner:
    """Collects the views of each part until all that are required have come, or `timeout_s` is over. Not thread-safe.

    Parts are decided in order: matched by part id, in the order in which the first view of each arrived; matched by
    position, in the order of their triggers. No part waits for others longer than its own time-out. Each verdict of a
    view belongs to exactly one part, and each part is decided once. A view that comes after its part was decided
    changes nothing. If its part may have been forgotten, that cannot be told from a part that was never decided; its
    verdict is then rejected as a part of its own, so that no part is lost.

    Matched by position, the views of a part are found by the time of the trigger: the time at which the frame was taken
    minus the delay of the view. So a trigger that a station has missed costs only the part of that trigger, which is
    rejected because the view is missing. Three things show that times cannot be trusted: a view took two frames within
    twice the window, a verdict fits more than one part, or two views of one part give different part ids. Then nothing
    is guessed: the verdict concerned is rejected as a part of its own. If the views come from several boxes, whose
    clocks may differ, the view is also out of step then, and so is a view whose box has set its clock or was rebooted.
    While a view is out of step, every part is rejected. That ends with the first part after a pause of the line that is
    longer than the time-out, if all views of that part fit together.

    Args:
        delays: Names of the views, each with the time from the part's trigger to its frame, in seconds.
        required: Views without which a part is not accepted.
        by_position: Whether views are matched by position; otherwise by part id.
        window_s: Largest difference between the triggers of the views of one part, in seconds. Matched by part id,
            `None` means that ids are not used again.
        timeout_s: Longest time that a part waits for its views, in seconds from the arrival of the first one.
        state: State at the end of the last process.
        parts: Parts that were not finished then.
        now: Seconds of the monotonic clock. The parts wait anew from now on.
    """

    def __init__(
        self,
        delays: Mapping[str, float],
        required: Iterable[str],
        by_position: bool,
        window_s: float | None,
        timeout_s: float,
        state: JoinerState,
        parts: Iterable[Part] = (),
        now: float = 0.0,
    ) -> None:
        self._delays, self._required = dict(delays), frozenset(required)
        self._by_position, self._window_s, self._timeout_s = by_position, window_s or 0.0, timeout_s
        self._matching: Matching = ByTime(self._window_s) if by_position else ByPartId(window_s)
        self.state = state
        self.late = 0
        """Number of verdicts that came after their part was decided, or may have."""
        self.changed: dict[int, Part | None] = {}
        """Parts that have changed since their owner emptied this, by number; `None`: the part is finished."""
        self._open: list[Part] = []
        self._since: dict[int, float] = {}
        self._clocks = {view: ClockCheck(self._window_s) for view in self._delays} if by_position else {}
        self._remembered: OrderedDict[int, Part] = OrderedDict()
        self._heard_at = now
        for part in sorted(parts, key=lambda each: each.number):
            if not part.alone:
                self._matching.add(part)
            if part.decided:
                self._remembered[part.number] = part
            else:
                self._enter(part, now)

    @property
    def waiting(self) -> int:
        """Number of parts that wait to be decided."""
        return len(self._open)

    def take(self, view: str, message: Verdict, now: float) -> None:
        """Take a verdict or a defect of a view; each verdict only once.

        Args:
            view: Name of the view.
            message: The verdict; if it is a defect, with its regions.
            now: Seconds of the monotonic clock.
        """
        at = message.captured_at.timestamp() - self._delays[view]
        pauses = now - self._heard_at > self._timeout_s and not self._open
        self._heard_at = now
        self._look_at_clock(view, message, now)
        problem = self._why_uncertain(view, message, at)
        found = [] if problem is not None else self._matching.find(view, message.part_id, at)
        if len(found) > 1:
            problem = f"the verdict fits {len(found)} parts; the window is too large, or a clock is wrong"
        elif found and _contradicts(found[0], message):
            problem = f"part id {message.part_id!r} differs from {found[0].part_id!r}, which another view gave"
        if problem is not None:
            self.leave_step(view, problem)
        elif found:
            self._add(found[0], view, message, at, now)
            return
        elif at <= self.state.forgotten_until:
            problem = "it comes so late that its part may be forgotten"
            self.late += 1
            log.warning("view %s: verdict %d is rejected as a part of its own: %s", view, message.sequence, problem)
        self._begin(view, message, at, problem, pauses, now)

    def release(self, now: float) -> list[Decided]:
        """Return the parts that can be decided, in order; call this every few milliseconds while views can be heard."""
        decided: list[Decided] = []
        left: list[Part] = []
        for number, part in enumerate(self._open):
            waited = now - self._since[part.number]
            complete = self._required <= part.times.keys()
            if waited < self._timeout_s and (left or not (complete or part.problem is not None)):
                left.append(part)
                if self._by_position:
                    continue
                # The parts behind it wait not longer than it does.
                left += self._open[number + 1 :]
                break
            del self._since[part.number]
            self._look_at_step(part)
            # A copy, because the original loses what the views have said.
            decided.append(Decided(part.model_copy(), max(0.0, waited)))
            self._remember(part)
        self._open = left
        return decided

    def wait_anew(self, now: float) -> None:
        """Let every part wait for its whole time-out from now on, because until now no view could be heard."""
        self._heard_at = now
        for number in self._since:
            self._since[number] = now

    def leave_step(self, view: str, why: str) -> None:
        """Reject all parts until a pause of the line, because the time of a view's triggers cannot be trusted.

        Nothing changes if views are matched by part id, or if all views come from one box, and so have one clock.
        """
        boots = {newest.boot_id for newest in self.state.newest.values()}
        shares_clock = len(boots) == 1 and len(self.state.newest) == len(self._delays)
        if self._by_position and not shares_clock and view not in self.state.out_of_step:
            log.error("view %s is out of step, and all parts are rejected until the line pauses: %s", view, why)
            self.state.out_of_step[view] = why

    def _why_uncertain(self, view: str, message: Verdict, at: float) -> str | None:
        """Return why a verdict cannot be matched, whatever the other views say; `None` if it can."""
        if not self._by_position:
            return "its verdict has no part id" if message.part_id is None else None
        newest = self.state.newest.get(view)
        if newest is not None and message.id < newest.id:
            return None
        self.state.newest[view] = NewestCapture(id=message.id, at=at, boot_id=message.boot_id)
        if newest is not None and newest.boot_id != message.boot_id:
            self.leave_step(view, "its box was rebooted, and its clock may differ from what it was")
        if newest is None or at - newest.at > 2 * self._window_s:
            return None
        return (
            f"it took a frame {at - newest.at:.6f} s after the one before, which is not more than twice the window: "
            "its trigger bounces, its clock was set back, or the window is too large"
        )

    def _look_at_clock(self, view: str, message: Verdict, now: float) -> None:
        if (clock := self._clocks.get(view)) is None:
            return
        step = clock.step(message.decided_at.timestamp(), now)
        if step is not None:
            self.leave_step(view, f"the clock of its box was set forward by about {step:.3f} s")

    def _begin(self, view: str, message: Verdict, at: float, problem: str | None, pauses: bool, now: float) -> None:
        part = Part(
            number=self.state.next_number,
            at=at,
            part_id=message.part_id,
            seen={view: SeenView.of(message)},
            times={view: at},
            after_pause=pauses,
            alone=problem is not None,
            problem=problem,
            uncertain=None if problem is None else view,
        )
        self.state.next_number += 1
        if not part.alone:
            self._matching.add(part)
        self._enter(part, now)
        self.changed[part.number] = part

    def _enter(self, part: Part, now: float) -> None:
        self._since[part.number] = now
        if self._by_position:
            insort(self._open, part, key=lambda each: (each.at, each.number))
        else:
            self._open.append(part)

    def _add(self, part: Part, view: str, message: Verdict, at: float, now: float) -> None:
        part.times[view] = at
        self.changed[part.number] = part
        if not part.decided:
            part.seen[view] = SeenView.of(message)
            part.part_id = part.part_id if part.part_id is not None else message.part_id
            return
        self.late += 1
        log.warning("view %s: verdict %d came after its part was decided", view, message.sequence)
        if part.times.keys() >= self._delays.keys():
            del self._remembered[part.number]
            self._forget(part)

    def _look_at_step(self, part: Part) -> None:
        """Reject a part while a view is out of step, unless it proves that all views are in step again."""
        outs = self.state.out_of_step
        if not outs:
            return
        if part.after_pause and part.problem is None and part.times.keys() >= self._delays.keys():
            log.warning("the views are in step again")
            outs.clear()
        elif part.problem is None:
            view, why = next(iter(outs.items()))
            part.problem, part.uncertain = f"it is out of step: {why}", view

    def _remember(self, part: Part) -> None:
        """Keep what recognises a late view of a decided part; forget the oldest part above the limit."""
        part.decided, part.seen = True, {}
        self.changed[part.number] = part
        if part.alone or part.times.keys() >= self._delays.keys():
            self._forget(part)
            return
        self._remembered[part.number] = part
        if len(self._remembered) > MOST_REMEMBERED:
            _, oldest = self._remembered.popitem(last=False)
            self.state.forgotten_until = max(self.state.forgotten_until, oldest.at)
            self._forget(oldest)

    def _forget(self, part: Part) -> None:
        if not part.alone:
            self._matching.remove(part)
        self.changed[part.number] = None


def _contradicts(part: Part, message: Verdict) -> bool:
    return part.part_id is not None and message.part_id is not None and part.part_id != message.part_id
