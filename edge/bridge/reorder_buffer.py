"""A station's parts in their order: repeats dropped, gaps known, each part handed on once."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import BaseModel

from edge_inspect.edge.bridge.intervals import Intervals
from edge_inspect.edge.bridge.received_messages import ReceivedPart, StatusOrHealth

# Both bound what a station that counts wildly can make the bridge keep.
_MOST_GAPS = 10_000
_BOOTS_KEPT = 16


class OrderedPart(NamedTuple):
    """A part to be handed on; `late`: one with a higher number was handed on before it."""

    part: ReceivedPart
    late: bool


class SequencePosition(BaseModel):
    """How far a station has been followed: what must survive the bridge's restart."""

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

    A part is handed on when all before it are; but none waits longer than `hold_s`, neither for the missing ones before
    it nor for its own defect. What comes after that is handed on at once, as late. What is given up stays so.

    The station counts its parts over its restarts, so a number that was handed on is a repeat. The count begins anew
    with a new outbox: then a low number comes with an id younger than all before (ids are UUIDv7, and rise with the
    count of an outbox whatever its clock is set to), or from a boot of the box that had not been seen when that number
    was handed on. Where the clock was set back before the outbox was replaced, neither is so: then a health counts less
    than what had come when the health before it came.

    A station of which nothing has come is followed from the count in its first health on; but what its outbox still
    holds of before may come first, and is then the beginning.

    Args:
        position: Where to go on.
        hold_s: In seconds.
    """

    def __init__(self, position: SequencePosition, hold_s: float) -> None:
        self._hold_s = hold_s
        self._first, self.next = position.first, position.next
        self.missing = Intervals(position.missing)
        """Up to `highest`: what has not come, or not completely."""
        self.highest = max(0, position.next - 1)
        """The highest number that came."""
        self.announced = 0
        """The highest number that the station says it has given out."""
        self._highest_before_health = 0
        self._newest_id, self._boots = position.newest_id, dict(position.boots)
        self.lost, self.repeats, self.resets = position.lost, position.repeats, position.resets
        self._held: dict[int, _Waiting] = {}
        self._order: list[int] = []
        self._late: dict[int, _Waiting] = {}

    @property
    def position(self) -> SequencePosition:
        """Return the present position; parts that wait here are counted as not come."""
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
        """How many of the missing have not come at all: a rejected part that waits for its defect has."""
        waiting = (*self._held.values(), *self._late.values())
        return self.missing.total() - sum(not one.part.complete for one in waiting)

    @property
    def behind(self) -> int:
        """How many parts the station has given out after the highest that came; some may be on their way."""
        return max(0, self.announced - self.highest) if self.next else 0

    def take(self, part: ReceivedPart, now: float) -> list[OrderedPart]:
        """Take a part that came; return what can be handed on, in order."""
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
        # What waits here for its defect cannot be given up; it goes by itself.
        while len(self.missing) > _MOST_GAPS and self.give_up(*next(iter(self.missing))):
            pass
        return ready + self.release(now)

    def release(self, now: float) -> list[OrderedPart]:
        """Return what has waited long enough, or need not wait; call this every few milliseconds."""
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
        """Hear how far the station has counted; return what is handed on because it has begun anew."""
        ready: list[OrderedPart] = []
        # A status is repeated with every connection, with the count that it had; health is of now.
        is_of_now = not retained and message.state is None
        if is_of_now and not self.next:
            self.next, self.highest = message.sequence + 1, message.sequence
        # A retained one may be older than what was followed since.
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
        """Give up the missing parts `first` to `last`, which cannot be had any more; return how many these are."""
        # A rejected part that waits for its defect is handed on without.
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
        """Hand on what waits, give up what is missing (the new outbox does not have it), and expect part 1."""
        ready = self.release(float("inf"))
        self.lost += self.missing.remove(0, self.highest)
        self._first = self.next = 1
        self.highest = self.announced = self._highest_before_health = 0
        self._newest_id, self._boots = "", {}
        self.resets += 1
        return ready

    def _remember_boot(self, boot_id: str, number: int) -> None:
        """Keep the newest boots, each with the first number seen of it; older parts are repeats whatever their boot."""
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
                # One that fills a gap waits no longer than those that wait for it.
                waiting[part.sequence].since = self._held[self._order[at]].since
            self._order.insert(at, part.sequence)

    def _waited_long_enough(self, waiting: _Waiting, now: float) -> bool:
        return now >= waiting.since + self._hold_s
