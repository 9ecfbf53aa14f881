"""The shift: when it begins, and what a station has done since then."""

from __future__ import annotations

import time as time_module
from collections.abc import Callable, Sequence
from datetime import datetime, time, timedelta
from typing import Any, NamedTuple

from pydantic import BaseModel

from edge_inspect.edge.bridge.intervals import Intervals
from edge_inspect.edge.clock import is_possible
from edge_inspect.edge.contract.fields import format_time
from edge_inspect.edge.contract.ids import is_uuid7, uuid7_time
from edge_inspect.edge.health.control_limits import control_limits

# A gap as long as this is no loss of messages: the station has a new outbox, or another program counts there.
_LONGEST_GAP = 1_000_000
# Limits the memory that a station with wild sequence numbers can make the page use.
_MOST_INTERVALS = 10_000
# No two clocks of a plant differ by a day, unless one of them was never set; a message arrives within an hour.
_AHEAD_S, _RECENT_S = 86_400, 3_600


class Shift(NamedTuple):
    """A shift.

    Attributes:
        since: When it began.
        name: Its begin and its end as times of day: `06:00-14:00`.
    """

    since: datetime
    name: str


def shift_at(now: datetime, times: Sequence[time]) -> Shift:
    """Return the shift at a moment.

    Args:
        now: The moment, in the time zone in which the shifts begin.
        times: Times of day at which shifts begin, in rising order; at least one.
    """
    begun = [at for at in times if at <= now.time()]
    begin = begun[-1] if begun else times[-1]
    end = times[(times.index(begin) + 1) % len(times)]
    day = now.date() if begun else now.date() - timedelta(days=1)
    # Without a time zone astimezone() takes this box's, with the summer time of that day.
    since = datetime.combine(day, begin).astimezone()
    return Shift(since, f"{begin:%H:%M}-{end:%H:%M}")


def was_ahead(newest: str, identity: str, now: float) -> bool:
    """Return whether the newest id was made by a clock that was ahead, and another id is of the present.

    Ids of one outbox rise even if the clock is set back. So the other id comes from a new outbox, or from another
    program, and it is the newer one.

    Args:
        newest: The highest id so far.
        identity: The other id.
        now: The present time, in seconds since 1970.
    """
    return is_yet_to_come(newest, now) and is_uuid7(identity) and abs(uuid7_time(identity) - now) < _RECENT_S


def is_yet_to_come(identity: str, now: float) -> bool:
    """Return whether the time in an id lies more than a day after `now`, in seconds since 1970."""
    return is_uuid7(identity) and uuid7_time(identity) > now + _AHEAD_S


class SavedShift(BaseModel):
    """The counters of a station, as they are kept over a restart of the page.

    Attributes:
        since: Begin of the shift that is counted.
        inspected: Number of parts in the shift.
        rejected: Number of these that were rejected.
        first: Sequence number at which the shift began; 0 before the first part.
        seen: Sequence numbers, from `first`, of the parts that have come, as intervals (first, last).
        newest_id: The highest id of a verdict.
    """

    since: datetime | None = None
    inspected: int = 0
    rejected: int = 0
    first: int = 0
    seen: list[tuple[int, int]] = []
    newest_id: str = ""


class ShiftCounts:
    """Counts the parts of one station in the present shift. A repeated verdict is counted once.

    Args:
        saved: The counters when the page ended.
        now: Returns the present time, in seconds since 1970.
    """

    def __init__(self, saved: SavedShift | None = None, now: Callable[[], float] = time_module.time) -> None:
        saved, self._now = saved or SavedShift(), now
        self._since, self.inspected, self.rejected = saved.since, saved.inspected, saved.rejected
        self._first, self._seen, self._newest_id = saved.first, Intervals(saved.seen), saved.newest_id

    @property
    def missed(self) -> int:
        """Number of parts of the shift that never came, although a later one did."""
        return self._seen.last() - self._first + 1 - self._seen.total() if len(self._seen) else 0

    def begin(self, since: datetime) -> bool:
        """Start counting at 0 if a new shift has begun; return whether it has."""
        if self._since is not None and abs((since - self._since).total_seconds()) < 1:
            return False
        self._since, self.inspected, self.rejected = since, 0, 0
        if len(self._seen):
            self._first, self._seen = self._seen.last() + 1, Intervals()
        return True

    def add(self, sequence: int, identity: str, decided_at: datetime, *, rejected: bool) -> bool:
        """Count a part; return false if it was counted before, or came before this shift.

        A low number with the highest id of all comes from a new outbox, which counts from 1 again. Ids of one outbox
        rise with the sequence numbers, whatever the clock is set to.
        """
        highest = self._seen.last() if len(self._seen) else self._first - 1
        ahead = was_ahead(self._newest_id, identity, self._now())
        is_newest = ahead or identity > self._newest_id
        if not self._first or (is_newest and not 0 < sequence - highest <= _LONGEST_GAP):
            self._first, self._seen = sequence, Intervals()
        elif sequence < self._first or sequence in self._seen or len(self._seen) >= _MOST_INTERVALS:
            return False
        self._seen.add(sequence, sequence)
        self._newest_id = identity if is_newest else self._newest_id
        # A box whose clock was never set would otherwise have no parts in any shift.
        if self._since is not None and decided_at < self._since and is_possible(decided_at.timestamp()):
            return False
        self.inspected += 1
        self.rejected += rejected
        return True

    def show(self, shift: Shift, usual: float | None) -> dict[str, Any]:
        """Return the counters for browsers.

        Args:
            shift: The present shift.
            usual: Usual share of rejects of the station; `None` if it is unknown.
        """
        limits = control_limits(usual, self.inspected) if usual is not None else None
        return {
            "since": format_time(shift.since),
            "name": shift.name,
            "inspected": self.inspected,
            "rejected": self.rejected,
            "missed": self.missed,
            "share": self.rejected / self.inspected if self.inspected else None,
            "low": limits.low if limits else None,
            "high": limits.high if limits else None,
        }

    def saved(self) -> SavedShift:
        """Return the counters to keep."""
        return SavedShift(
            since=self._since,
            inspected=self.inspected,
            rejected=self.rejected,
            first=self._first,
            seen=list(self._seen),
            newest_id=self._newest_id,
        )
