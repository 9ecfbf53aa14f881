"""Ids: UUIDs of version 7, which sort by the time at which they were made."""

from __future__ import annotations

import os
import re
import threading
import time

UUID7_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
"""Form in which this program writes ids."""
UUID7_PATTERN_READ = UUID7_PATTERN.replace("a-f", "A-Fa-f").replace("89ab", "89ABab")
"""Form in which others may write ids: RFC 9562, section 4, asks readers to accept capital letters."""

_uuid7_lock = threading.Lock()
newest_uuid7 = (0, 0)
"""Milliseconds and random bits of the newest id of this process."""
# The year 2200. No clock made an id with a later time.
_LATEST_MS = 7_258_118_400_000


def uuid7() -> str:
    """Return a UUID version 7 that sorts after every earlier one of this process (RFC 9562, 5.7 and 6.2, method 2).

    The order holds between threads, and also when the clock is set back: the id then keeps the last time, and its 74
    random bits are increased by a random amount. So the time in an id may be in the future; use `uuid7_of_now` where
    that matters.
    """
    global newest_uuid7
    with _uuid7_lock:
        last_ms, last_random = newest_uuid7
        now_ms = time.time_ns() // 1_000_000
        if now_ms > last_ms:
            # The highest bit starts at zero, so that there is room for increments.
            newest_uuid7 = (now_ms, int.from_bytes(os.urandom(10), "big") >> 7)
        else:
            counted = last_random + 1 + int.from_bytes(os.urandom(4), "big")
            newest_uuid7 = (last_ms + (counted >> 74), counted & ((1 << 74) - 1))
        return format_uuid7(*newest_uuid7)


def uuid7_of_now() -> str:
    """Return a UUID version 7 whose time is the clock's, as a command needs; it may sort before earlier ids."""
    return format_uuid7(time.time_ns() // 1_000_000, int.from_bytes(os.urandom(10), "big") >> 6)


def sort_after(identity: str) -> None:
    """Make `uuid7` return ids that sort after an id of an earlier process, even if the clock was set back since.

    Args:
        identity: A UUID version 7; any other text, or an id with an impossible time, is ignored.
    """
    global newest_uuid7
    if not is_uuid7(identity):
        return
    made_ms = round(uuid7_time(identity) * 1000)
    with _uuid7_lock:
        if newest_uuid7[0] <= made_ms < _LATEST_MS:
            # New random bits in the next millisecond: a copy of this outbox on another box must not make the same ids.
            newest_uuid7 = (made_ms + 1, int.from_bytes(os.urandom(10), "big") >> 7)


def format_uuid7(milliseconds: int, random: int) -> str:
    """Return the id with this time and these 74 random bits."""
    number = (milliseconds & ((1 << 48) - 1)) << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62
    digits = f"{number | random & ((1 << 62) - 1):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def is_uuid7(text: str) -> bool:
    """Return whether a text is a UUID version 7 in lower case."""
    return re.fullmatch(UUID7_PATTERN, text) is not None


def uuid7_time(text: str) -> float:
    """Return the time in a UUID version 7, in seconds since 1970."""
    return int(text[:8] + text[9:13], 16) / 1000
