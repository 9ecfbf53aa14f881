"""Ids: UUID version 7, which sort by the time they were made."""

from __future__ import annotations

import os
import re
import threading
import time

UUID7_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
"""As this program writes them."""
UUID7_PATTERN_READ = UUID7_PATTERN.replace("a-f", "A-Fa-f").replace("89ab", "89ABab")
"""As others may write them: RFC 9562, 4, wants capitals to be read."""

_uuid7_lock = threading.Lock()
_uuid7_last = (0, 0)
# The year 2200: an id of later was not made by any clock.
_LATEST_MS = 7_258_118_400_000


def uuid7() -> str:
    """Return a UUID version 7 that sorts after every earlier one of this process (RFC 9562, 5.7 and 6.2, method 2).

    The order holds between threads and when the clock steps back: the last time is then kept and the 74 random bits
    are counted up by a random amount. So its time may be in the future; where that matters, see `uuid7_of_now`.
    """
    global _uuid7_last
    with _uuid7_lock:
        last_ms, last_random = _uuid7_last
        now_ms = time.time_ns() // 1_000_000
        if now_ms > last_ms:
            # The highest bit starts at zero to leave room for counting up.
            _uuid7_last = (now_ms, int.from_bytes(os.urandom(10), "big") >> 7)
        else:
            counted = last_random + 1 + int.from_bytes(os.urandom(4), "big")
            _uuid7_last = (last_ms + (counted >> 74), counted & ((1 << 74) - 1))
        return _format(*_uuid7_last)


def uuid7_of_now() -> str:
    """Return a UUID version 7 whose time is that of the clock, as a command's has to be, whatever was made before."""
    return _format(time.time_ns() // 1_000_000, int.from_bytes(os.urandom(10), "big") >> 6)


def sort_after(identity: str) -> None:
    """Have `uuid7` give ids that sort after one that an earlier process made, even if the clock was set back since.

    Args:
        identity: A UUID version 7; anything else, or one of a time that cannot be, is passed over.
    """
    global _uuid7_last
    if not is_uuid7(identity):
        return
    made_ms = round(uuid7_time(identity) * 1000)
    with _uuid7_lock:
        if _uuid7_last[0] <= made_ms < _LATEST_MS:
            # A millisecond of its own: a copy of this outbox on another box must not count the same bits up.
            _uuid7_last = (made_ms + 1, int.from_bytes(os.urandom(10), "big") >> 7)


def _format(milliseconds: int, random: int) -> str:
    number = (milliseconds & ((1 << 48) - 1)) << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62
    digits = f"{number | random & ((1 << 62) - 1):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def is_uuid7(text: str) -> bool:
    """Return whether a text is a UUID version 7, in small letters."""
    return re.fullmatch(UUID7_PATTERN, text) is not None


def uuid7_time(text: str) -> float:
    """Return when a UUID version 7 says it was made, in seconds since 1970."""
    return int(text[:8] + text[9:13], 16) / 1000
