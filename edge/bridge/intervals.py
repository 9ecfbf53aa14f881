"""A set of whole numbers, stored as intervals: it needs little memory even for many numbers that lie together."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class Intervals:
    """A set of whole numbers as intervals (first, last), both included, in order; no interval touches the next.

    Args:
        intervals: Intervals to begin with.
    """

    def __init__(self, intervals: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in intervals:
            self.add(first, last)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._firsts, self._lasts, strict=True))

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self._lasts[at]

    def __len__(self) -> int:
        """Return the number of intervals."""
        return len(self._firsts)

    def count(self, first: int, last: int) -> int:
        """Return how many of the numbers `first` to `last` are in the set."""
        low, high = bisect_left(self._lasts, first), bisect_right(self._firsts, last)
        return sum(
            min(b, last) - max(a, first) + 1 for a, b in zip(self._firsts[low:high], self._lasts[low:high], strict=True)
        )

    def total(self) -> int:
        """Return how many numbers are in the set."""
        return sum(self._lasts) - sum(self._firsts) + len(self._firsts)

    def last(self) -> int:
        """Return the highest number; the set must not be empty."""
        return self._lasts[-1]

    def from_(self, number: int) -> int:
        """Return the lowest number in the set that is `number` or higher; there must be one."""
        at = bisect_left(self._lasts, number)
        return max(number, self._firsts[at])

    def add(self, first: int, last: int) -> None:
        """Add the numbers `first` to `last`."""
        low, high = bisect_left(self._lasts, first - 1), bisect_right(self._firsts, last + 1)
        if low < high:
            first, last = min(first, self._firsts[low]), max(last, self._lasts[high - 1])
        self._firsts[low:high], self._lasts[low:high] = [first], [last]

    def remove(self, first: int, last: int) -> int:
        """Remove the numbers `first` to `last`; return how many of them were in the set."""
        removed = self.count(first, last)
        if removed:
            low, high = bisect_left(self._lasts, first), bisect_right(self._firsts, last)
            left, right = self._firsts[low], self._lasts[high - 1]
            kept = [(a, b) for a, b in ((left, first - 1), (last + 1, right)) if a <= b]
            self._firsts[low:high], self._lasts[low:high] = [a for a, _ in kept], [b for _, b in kept]
        return removed
