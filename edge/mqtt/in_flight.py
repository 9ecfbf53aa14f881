"""The messages of one connection of which it is not known yet whether the broker has them."""

from __future__ import annotations

import time
from typing import NamedTuple

Token = tuple[str, int | str]
"""Names a message from its sending to its acknowledgement: what it is, and which one."""

# A broker that minds a message with QoS 0 hangs up sooner than that.
_SETTLED_S = 2.0


class RefusedMessage(NamedTuple):
    """A message that the broker does not take, because of its topic."""

    token: Token
    why: str


class InFlight:
    """What was sent. Not safe between threads.

    Attributes:
        progress_at: When the broker last acknowledged something, or the first of what is to be acknowledged was sent;
            seconds of the monotonic clock.
    """

    def __init__(self) -> None:
        self.progress_at = time.monotonic()
        self._expected: dict[int, Token] = {}
        self._settling: dict[Token, float] = {}
        self._acknowledged: list[Token] = []
        self._refused: list[RefusedMessage] = []

    def __len__(self) -> int:
        """Return how many messages the broker is to acknowledge and has not yet."""
        return len(self._expected)

    def __contains__(self, number: int) -> bool:
        return number in self._expected

    @property
    def tokens(self) -> set[Token]:
        """What may not have arrived, with what was sent with QoS 0 just now."""
        return {*self._expected.values(), *self._settling}

    def expect(self, number: int, token: Token) -> None:
        """Expect the broker to acknowledge this number."""
        if not self._expected:
            self.progress_at = time.monotonic()
        self._expected[number] = token

    def let_settle(self, token: Token) -> None:
        """Count a while without a complaint as an acknowledgement: this message gets none."""
        self._settling[token] = time.monotonic()

    def settle(self) -> None:
        """Time has passed, and the connection is still there."""
        now = time.monotonic()
        settled = [token for token, at in self._settling.items() if now >= at + _SETTLED_S]
        self._acknowledged += settled
        for token in settled:
            del self._settling[token]

    def acknowledge(self, number: int) -> None:
        """Note that the broker has it."""
        self._acknowledged.append(self.take(number))

    def refuse(self, number: int, why: str) -> None:
        """Note that the broker does not take it, because of its topic."""
        self._refused.append(RefusedMessage(self.take(number), why))

    def take(self, number: int) -> Token:
        """Take out the message that the broker has answered for, and return it."""
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
