"""The newest lines of this program's log, in memory, so that they can be read from afar."""

from __future__ import annotations

import logging
import re
import threading
import uuid
from collections import deque
from datetime import datetime, timezone
from itertools import islice

from edge_inspect.edge.contract.commands import Refused
from edge_inspect.edge.contract.reports import LONGEST_LINE, LogLine, LogPage, fill_page
from edge_inspect.edge.text import clean

FORMAT = "%(levelname)s %(name)s: %(message)s"
"""Format of all lines of the log."""
KEPT = 2000
"""Number of lines that are kept."""
_LONGEST_CURSOR_NUMBER = 18
_CURSOR = re.compile(rf"([0-9a-f]{{12}})/([0-9]{{1,{_LONGEST_CURSOR_NUMBER}}})")


class LogRing(logging.Filter):
    """Keeps the newest lines of the log, with a number each. Any thread may call its methods.

    It is the last filter of the log's handler. So it keeps exactly the lines that the handler writes.

    Args:
        kept: Number of lines that are kept.
    """

    def __init__(self, kept: int = KEPT) -> None:
        super().__init__()
        self._formatter = logging.Formatter(FORMAT)
        self._lock = threading.Lock()
        self._lines: deque[tuple[int, datetime, str]] = deque(maxlen=kept)
        self._number = 0
        # Cursors of an earlier process must not be taken for those of this one.
        self._start = uuid.uuid4().hex[:12]

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep a line; return that it may pass. A traceback is kept as a line for each of its lines."""
        try:
            text = self._formatter.format(record)
        except Exception:  # its arguments do not fit; the handler reports that, and a filter must not raise
            text = f"{record.levelname} {record.name}: {record.msg!r}"
        at = datetime.fromtimestamp(record.created, timezone.utc)
        lines = [_cut(line) for line in text.splitlines()]
        with self._lock:
            for line in lines:
                self._number += 1
                self._lines.append((self._number, at, line))
        return True

    def page(self, after: str | None = None) -> LogPage:
        """Return the oldest lines that are kept after a cursor.

        Args:
            after: `next` of the page before; `None` begins with the oldest line.

        Raises:
            Refused: The cursor is not one of a log.
        """
        found = None if after is None else _CURSOR.fullmatch(after)
        if after is not None and found is None:
            raise Refused(
                "impossible", f"after: {after!r} is not the `next` of a page of the log; leave it out to begin"
            )
        is_of_this_start = found is None or found[1] == self._start
        last = int(found[2]) if found is not None and is_of_this_start else 0
        with self._lock:
            newest = self._number
            first = newest - len(self._lines) + 1
            kept = list(islice(self._lines, max(0, last + 1 - first), None))
        lines = fill_page(LogLine(number=number, at=at, text=text) for number, at, text in kept)
        return LogPage(
            lines=lines,
            skipped=max(0, first - last - 1) if is_of_this_start else None,
            next=f"{self._start}/{lines[-1].number}" if lines and lines[-1].number < newest else None,
        )


def _cut(line: str) -> str:
    # A character may become ten when it is escaped, so the line is cut before and after.
    text = clean(line[: LONGEST_LINE + 1])
    return text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]}…"


RING = LogRing()
"""The log of this process."""
