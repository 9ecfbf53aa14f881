"""The messages in flight on one connection: sent, but not yet known to have arrived at the broker."""

from __future__ import annotations

import time
from typing import NamedTuple

Token = tuple[str, int | str]
"""Name of a message from its sending to its acknowledgement: its kind, and its id."""

# A broker that does not accept a message with QoS 0 closes the connection sooner than that.
_SETTLED_S = 2.0


class RefusedMessage(NamedTuple):
    """A message that the broker refuses because of its topic."""

    token: Token
    why: str


class InFlight:
    """Messages in flight. Not thread-safe.

    Attributes:
        progress_at: Time of the last acknowledgement, or of sending the first unacknowledged message if that is later;
            seconds of the monotonic clock.
    """

    def __init__(self) -> None:
        self.progress_at = time.monotonic()
        self._expected: dict[int, Token] = {}
        self._settling: dict[Token, float] = {}
        self._acknowledged: list[Token] = []
        self._refused: list[RefusedMessage] = []

    def __len__(self) -> int:
        """Return the number of messages that the broker must acknowledge and has not yet."""
        return len(self._expected)

    def __contains__(self, number: int) -> bool:
        return number in self._expected

    @property
    def tokens(self) -> set[Token]:
        """Tokens of the messages that may not have arrived, including recent messages with QoS 0."""
        return {*self._expected.values(), *self._settling}

    def expect(self, number: int, token: Token) -> None:
        """Expect the broker to acknowledge the message with this packet number."""
        if not self._expected:
            self.progress_at = time.monotonic()
        self._expected[number] = token

    def let_settle(self, token: Token) -> None:
        """Treat a message with QoS 0 as acknowledged if the connection lasts for a while after it."""
        self._settling[token] = time.monotonic()

    def settle(self) -> None:
        """Acknowledge the messages with QoS 0 that were sent long enough ago; the connection still exists."""
        now = time.monotonic()
        settled = [token for token, at in self._settling.items() if now >= at + _SETTLED_S]
        self._acknowledged += settled
        for token in settled:
            del self._settling[token]

    def acknowledge(self, number: int) -> None:
        """Note that the broker has acknowledged the message with this packet number."""
        self._acknowledged.append(self.take(number))

    def refuse(self, number: int, why: str) -> None:
        """Note that the broker refuses the message with this packet number because of its topic."""
        self._refused.append(RefusedMessage(self.take(number), why))

    def take(self, number: int) -> Token:
        """Remove the message that the broker has answered, and return its token."""
        self.progress_at = time.monotonic()
        return self._expected.pop(number)

    def take_acknowledged(self) -> list[Token]:
        """Return the tokens acknowledged since the last call."""
        taken, self._acknowledged = self._acknowledged, []
        return taken

    def take_refused(self) -> list[RefusedMessage]:
        """Return the messages refused since the last call, because of their topic."""
        taken, self._refused = self._refused, []
        return taken
