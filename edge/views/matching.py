"""Finds the parts that a view may belong to: by part id, or by the time of its trigger."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Protocol

from edge_inspect.edge.views.part import Part


class Matching(Protocol):
    """The parts that lack a view. Used by one thread."""

    def add(self, part: Part) -> None:
        """Add a part."""

    def remove(self, part: Part) -> None:
        """Remove a part, which must have been added."""

    def find(self, view: str, part_id: str | None, at: float) -> list[Part]:
        """Return the parts to which a verdict may belong, and which have no verdict of this view yet.

        Args:
            view: Name of the view.
            part_id: Part id of the verdict.
            at: Time of the trigger, in seconds since 1970.
        """


class ByPartId:
    """The verdict with a part id belongs to the oldest part of this id that has no verdict of its view.

    So each view's n-th verdict of an id belongs to the n-th pass of that part, and a late view of an earlier pass is
    never taken for one of a later pass.

    Args:
        window_s: Largest difference between the triggers of two views in one pass, in seconds, where ids are used
            again, as those of carriers are; `None`: ids are not used again, and clocks do not matter.
    """

    def __init__(self, window_s: float | None) -> None:
        self._window_s = float("inf") if window_s is None else window_s
        self._parts: dict[str, list[Part]] = {}

    def add(self, part: Part) -> None:
        """See `Matching.add`."""
        if part.part_id is not None:
            self._parts.setdefault(part.part_id, []).append(part)

    def remove(self, part: Part) -> None:
        """See `Matching.remove`."""
        if part.part_id is None:
            return
        same = self._parts[part.part_id]
        same[:] = [each for each in same if each.number != part.number]
        if not same:
            del self._parts[part.part_id]

    def find(self, view: str, part_id: str | None, at: float) -> list[Part]:
        """See `Matching.find`."""
        same = self._parts.get(part_id, ()) if part_id is not None else ()
        return [part for part in same if _lacks(part, view, at, self._window_s)][:1]


class ByTime:
    """The verdicts whose triggers lie within a window of each other belong to one part.

    Args:
        window_s: Largest difference between the triggers of two views of one part, in seconds.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._parts: list[Part] = []

    def add(self, part: Part) -> None:
        """See `Matching.add`."""
        insort(self._parts, part, key=_order)

    def remove(self, part: Part) -> None:
        """See `Matching.remove`."""
        del self._parts[bisect_left(self._parts, _order(part), key=_order)]

    def find(self, view: str, part_id: str | None, at: float) -> list[Part]:
        """See `Matching.find`."""
        found = []
        for part in self._parts[bisect_left(self._parts, (at - self._window_s, 0), key=_order) :]:
            if part.at > at + self._window_s:
                break
            if _lacks(part, view, at, self._window_s):
                found.append(part)
        return found


def _lacks(part: Part, view: str, at: float, window_s: float) -> bool:
    """Return whether a part lacks a view, and all of its triggers lie within the window of this one."""
    return view not in part.times and all(abs(at - other) <= window_s for other in part.times.values())


def _order(part: Part) -> tuple[float, int]:
    return part.at, part.number
