"""What waits between the connection to the broker and the database, and which of it is stored."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from edge_inspect.edge.archive.writer import StoredMessage

MOST_WAITING = 20_000
"""Messages that may wait. A broker that sends more than it was asked to has to wait."""
_PAUSE_S = 0.05


class Received(NamedTuple):
    """A message as it was received.

    Attributes:
        connection: Number of the connection over which it came: on another one, its packet id means another message.
        packet_id: Id by which it is acknowledged; `None` if it needs no acknowledgement.
        station: Key of the station: site/line/station.
        kind: Last level of its topic.
        payload: The message.
        retained: Whether the broker had retained it.
    """

    connection: int
    packet_id: int | None
    station: str
    kind: str
    payload: bytes
    retained: bool


Waiting = Received | StoredMessage
"""A message of a station, or rows that a part of the archive itself has made."""


class Inbox:
    """Hands messages to the thread that stores them, and their acknowledgements back. Every method is thread-safe."""

    def __init__(self) -> None:
        # Not a SimpleQueue: its `get` with a timeout may wait for ever on Python 3.10, if the time is over too soon.
        self._waiting: deque[Waiting] = deque()
        self._came = threading.Condition()
        self._stored: deque[Received] = deque()
        self._closing = threading.Event()
        self.wake: Callable[[], None] = lambda: None
        """Called when there are new acknowledgements."""

    def __len__(self) -> int:
        """Return the number of messages that wait."""
        return len(self._waiting)

    def put(self, item: Waiting) -> None:
        """Add a message; waits while too many wait already, until `close`."""
        while len(self) >= MOST_WAITING and not self._closing.wait(_PAUSE_S):
            pass
        with self._came:
            self._waiting.append(item)
            self._came.notify()

    def take(self, most: int, timeout_s: float) -> list[Waiting]:
        """Return what waits, in order; wait for the first message.

        Args:
            most: Largest number of messages to return.
            timeout_s: Longest time to wait, in seconds; then the list is empty.
        """
        with self._came:
            if not self._waiting and timeout_s > 0:
                self._came.wait(timeout_s)
            return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def store(self, items: Iterable[Waiting]) -> None:
        """Note that messages are stored, so that they are acknowledged to the broker."""
        self._stored.extend(item for item in items if isinstance(item, Received) and item.packet_id is not None)
        self.wake()

    def next_stored(self) -> Received | None:
        """Return the next message to acknowledge; `None` if there is none."""
        return self._stored.popleft() if self._stored else None

    def close(self) -> None:
        """Let nobody wait any more."""
        self._closing.set()
