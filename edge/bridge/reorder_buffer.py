"""The reorder buffer: puts a station's parts in order, drops repeats, and knows which parts are missing."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import BaseModel

from edge_inspect.edge.bridge.intervals import Intervals
from edge_inspect.edge.bridge.received_messages import ReceivedPart, StatusOrHealth

# Both limit the memory that a station with wild sequence numbers can make the bridge use.
_MOST_GAPS = 10_000
_BOOTS_KEPT = 16


class OrderedPart(NamedTuple):
    """A part that the buffer releases. `late`: a part with a higher number was released before it."""

    part: ReceivedPart
    late: bool


class SequencePosition(BaseModel):
    """How far a station has been followed; it survives a restart of the bridge.

    Attributes:
        first: Number of the first part that was followed; 0 before it.
        next: Number of the next part to release; 0 before the first part.
        missing: Numbers below `next` of parts that have not come, as intervals (first, last).
        newest_id: The highest message id so far.
        boots: The box's last boots, by id, with the number of the first part of each.
        lost: Number of parts that were lost.
        repeats: Number of repeated messages.
        resets: Number of times that the station's count restarted at 1.
    """

    first: int = 0
    next: int = 0
    missing: list[tuple[int, int]] = []
    newest_id: str = ""
    boots: dict[str, int] = {}
    lost: int = 0
    repeats: int = 0
    resets: int = 0


@dataclass
class _Waiting:
    part: ReceivedPart
    since: float


class ReorderBuffer:
    """Puts the parts of one station in order.

    A part is released when all parts before it were released. But no part waits longer than `hold_s`, neither for
    missing parts before it nor for its own defect. A part that comes after that is released at once and marked late. A
    part that was given up is not expected any more.

    The station continues its count after a restart, so a number that was released before is a repeat. Only a new outbox
    restarts the count at 1. The buffer recognises this when a low number comes with an id that is higher than all
    before (ids are UUIDv7, and those of one outbox rise whatever the clock is set to), or from a boot of the box that
    was unknown when that number was released. If the clock was set back before the outbox was replaced, neither is the
    case. Then the buffer recognises it by a health message whose count is below the numbers that had come before the
    previous health message.

    If no part has come from a station yet, it is followed from the count in its first health message. If older parts
    from its outbox come before that, it is followed from the first of these.

    Args:
        position: Position when the bridge ended.
        hold_s: Longest time that a part waits, in seconds.
    """

    def __init__(self, position: SequencePosition, hold_s: float) -> None:
        self._hold_s = hold_s
        self._first, self.next = position.first, position.next
        self.missing = Intervals(position.missing)
        """Numbers up to `highest` of parts that have not come, or that still wait for their defect."""
        self.highest = max(0, position.next - 1)
        """Highest number of a part that has come."""
        self.announced = 0
        """Highest number that the station has announced in a status or health message."""
        self._highest_before_health = 0
        self._newest_id, self._boots = position.newest_id, dict(position.boots)
        self.lost, self.repeats, self.resets = position.lost, position.repeats, position.resets
        self._held: dict[int, _Waiting] = {}
        self._order: list[int] = []
        self._late: dict[int, _Waiting] = {}

    @property
    def position(self) -> SequencePosition:
        """The present position. It counts the parts that wait in the buffer as missing."""
        return SequencePosition(
            first=self._first,
            next=self.next,
            missing=[(first, min(last, self.next - 1)) for first, last in self.missing if first < self.next],
            newest_id=self._newest_id,
            boots=dict(self._boots),
            lost=self.lost,
            repeats=self.repeats,
            resets=self.resets,
        )

    @property
    def absent(self) -> int:
        """Number of missing parts without those whose verdict has come and whose defect has not."""
        waiting = (*self._held.values(), *self._late.values())
        return self.missing.total() - sum(not one.part.complete for one in waiting)

    @property
    def behind(self) -> int:
        """Number of announced parts above `highest`; some of them may be on their way."""
        return max(0, self.announced - self.highest) if self.next else 0

    def take(self, part: ReceivedPart, now: float) -> list[OrderedPart]:
        """Take a part that has come; return the parts that can be released, in order.

        Args:
            part: The part, from its verdict or its defect.
            now: Seconds of the monotonic clock.
        """
        ready: list[OrderedPart] = []
        number = part.sequence
        if not self._first:
            self._first = self.next = min(number, self.next or number)
            self.highest = self._first - 1
        elif self._count_restarts(part):
            ready = self._restart_count()
        if number > self.highest:
            self.missing.add(self.highest + 1, number)
            self.highest = number
        elif number not in self.missing:
            self.repeats += 1
            return ready + self.release(now)
        self._remember_boot(part.boot_id, number)
        self._newest_id = max(self._newest_id, part.id)
        if part.complete:
            self.missing.remove(number, number)
        self._wait(part, now)
        # A part that waits here for its defect cannot be given up; it is released after `hold_s`.
        while len(self.missing) > _MOST_GAPS and self.give_up(*next(iter(self.missing))):
            pass
        return ready + self.release(now)

    def release(self, now: float) -> list[OrderedPart]:
        """Return the parts that have waited long enough or need not wait; call this every few milliseconds."""
        ready = []
        for number in sorted(self._late):
            waiting = self._late[number]
            if waiting.part.complete or self._waited_long_enough(waiting, now):
                del self._late[number]
                self.missing.remove(number, number)
                ready.append(OrderedPart(waiting.part, late=True))
        while self._order:
            number = self._order[0]
            waiting = self._held[number]
            if not self._waited_long_enough(waiting, now) and (number > self.next or not waiting.part.complete):
                break
            del self._held[number], self._order[0]
            self.missing.remove(number, number)
            self.next = number + 1
            ready.append(OrderedPart(waiting.part, late=False))
        return ready

    def announce(self, message: StatusOrHealth, *, retained: bool) -> list[OrderedPart]:
        """Take the count in a status or health message; return parts that are released because the count restarted."""
        ready: list[OrderedPart] = []
        # A status is repeated with every connection and may contain an old count. Health contains the present count.
        is_of_now = not retained and message.state is None
        if is_of_now and not self.next:
            self.next, self.highest = message.sequence + 1, message.sequence
        # A retained message may be older than the parts that have come since.
        if self.next and not retained and message.boot_id not in self._boots:
            if message.sequence < self.highest:
                ready = self._restart_count()
            self._remember_boot(message.boot_id, message.sequence + 1)
        if is_of_now:
            if message.sequence < self._highest_before_health:
                ready = self._restart_count()
            self._highest_before_health = self.highest
        self.announced = message.sequence if is_of_now else max(self.announced, message.sequence)
        return ready

    def give_up(self, first: int, last: int) -> int:
        """Give up the missing parts `first` to `last`, which cannot be recovered; return how many they are."""
        # A rejected part that waits for its defect is not lost: it is released without the defect.
        here = [number for number in (*self._held, *self._late) if first <= number <= last and number in self.missing]
        lost = self.missing.remove(first, last) - len(here)
        for number in here:
            self.missing.add(number, number)
        self.lost += lost
        return lost

    def _count_restarts(self, part: ReceivedPart) -> bool:
        if part.sequence > self.highest:
            return False
        unknown_boot = part.boot_id not in self._boots
        had = part.sequence >= self._first and part.sequence not in self.missing
        return part.id > self._newest_id or (had and unknown_boot)

    def _restart_count(self) -> list[OrderedPart]:
        """Release the waiting parts, give up the missing ones (the new outbox does not have them), expect part 1."""
        ready = self.release(float("inf"))
        self.lost += self.missing.remove(0, self.highest)
        self._first = self.next = 1
        self.highest = self.announced = self._highest_before_health = 0
        self._newest_id, self._boots = "", {}
        self.resets += 1
        return ready

    def _remember_boot(self, boot_id: str, number: int) -> None:
        """Keep the newest boots, each with its first number. A part older than all of them counts as a repeat."""
        self._boots.setdefault(boot_id, number)
        if len(self._boots) > _BOOTS_KEPT:
            del self._boots[min(self._boots, key=self._boots.__getitem__)]
            self._first = max(self._first, min(self._boots.values()))

    def _wait(self, part: ReceivedPart, now: float) -> None:
        waiting = self._late if part.sequence < self.next else self._held
        if (before := waiting.get(part.sequence)) is not None:
            if part.complete:
                before.part = part
            return
        waiting[part.sequence] = _Waiting(part, now)
        if waiting is self._held:
            at = bisect_left(self._order, part.sequence)
            if at < len(self._order):
                # A part that fills a gap waits no longer than the parts that wait for it.
                waiting[part.sequence].since = self._held[self._order[at]].since
            self._order.insert(at, part.sequence)

    def _waited_long_enough(self, waiting: _Waiting, now: float) -> bool:
        return now >= waiting.since + self._hold_s
