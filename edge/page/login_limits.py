"""Limits of logins: after wrong passwords, the next attempt has to wait, for longer each time."""

from __future__ import annotations

import contextlib
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edge_inspect.edge.page.proxies import parse_address

_FREE = 3
_LONGEST_S = 300.0
# A count is forgotten when nothing was wrong for this long.
_FORGET_S = 3600.0
_MOST = 4096
_MOST_IN_PROGRESS = 16


class TooEarly(Exception):
    """An attempt to log in comes too early.

    Args:
        wait_s: Seconds after which the next attempt is examined.
    """

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"too early by {wait_s:.1f} s")
        self.wait_s = wait_s


@dataclass
class _Count:
    wrong: int = 0
    last: float = 0.0


class LoginLimits:
    """Delays after wrong passwords. Used in the event loop's thread.

    Wrong attempts are counted by user and by address. The delay doubles with each of them, after three free ones and up
    to five minutes. It is the address that waits, counted from its own last wrong attempt. So somebody at another
    address who guesses a user's password cannot keep the user out: the first attempt from an address that has not been
    wrong is always examined. An attempt that comes too early is refused unexamined, and lengthens nothing.

    Args:
        now: A clock in seconds that only goes forward.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._examined: set[str] = set()
        self._users: OrderedDict[str, _Count] = OrderedDict()
        self._places: OrderedDict[str, _Count] = OrderedDict()

    @contextlib.contextmanager
    def one_attempt(self, user: str, place: str) -> Iterator[None]:
        """Let one attempt at a time from an address be examined in the block.

        Raises:
            TooEarly: The attempt is refused; `wait_s` says for how many seconds.
        """
        here = group(place)
        if (wait := self.wait_s(user, place)) > 0:
            raise TooEarly(wait)
        if here in self._examined or len(self._examined) >= _MOST_IN_PROGRESS:
            raise TooEarly(1.0)
        self._examined.add(here)
        try:
            yield
        finally:
            self._examined.discard(here)

    def wait_s(self, user: str, place: str) -> float:
        """Return for how many seconds an attempt is refused; 0 if it may be examined now.

        Args:
            user: Name that somebody wants to log in with.
            place: Address of the browser, or another name for where the attempt comes from.
        """
        now = self._now()
        here = self._find(self._places, group(place), now)
        if here is None:
            return 0.0
        of_user = self._find(self._users, user, now)
        wrong = max(here.wrong, of_user.wrong if of_user is not None else 0)
        delay = min(2.0 ** min(wrong - _FREE, 30), _LONGEST_S) if wrong > _FREE else 0.0
        return max(0.0, here.last + delay - now)

    def note_wrong(self, user: str, place: str) -> None:
        """Count a wrong password."""
        now = self._now()
        for counts, key in ((self._users, user), (self._places, group(place))):
            count = self._find(counts, key, now) or _Count()
            count.wrong, count.last = count.wrong + 1, now
            counts[key] = count
            counts.move_to_end(key)
            if len(counts) > _MOST:
                counts.popitem(last=False)

    def note_right(self, place: str) -> None:
        """Forget the wrong passwords of an address after a right one.

        The user's count stays, because others may be guessing at the same time.
        """
        self._places.pop(group(place), None)

    def __len__(self) -> int:
        """Return the number of users and addresses that are counted."""
        return len(self._users) + len(self._places)

    def _find(self, counts: OrderedDict[str, _Count], key: str, now: float) -> _Count | None:
        count = counts.get(key)
        if count is not None and now - count.last > _FORGET_S:
            del counts[key]
            return None
        return count


def group(place: str) -> str:
    """Return what is counted as one address: a whole /64 of IPv6, because one computer has all of it."""
    address = parse_address(place)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return str(address) if address is not None else place
