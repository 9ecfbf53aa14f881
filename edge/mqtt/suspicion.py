"""Suspicion: finds the message at which a broker ends the connection.

A broker that does not accept a message may close the connection without a reason, but so does a bad network. The two
are distinguished in steps. If connections end several times in a row with the same message in flight, messages are sent
one at a time, and the suspected one only after the connection has lasted for a while. If that fails three times, the
message is skipped. It is tried again when another message has passed, or after a long time. If it fails again and
others have passed, it is set aside. If the network or the broker lets no message pass, no message is set aside. After
that, another message of the same size or larger is sent alone, and set aside when it has failed twice while others
passed.
"""

from __future__ import annotations

from edge_inspect.edge.mqtt.in_flight import Token

# After this number of connections in a row that end with the same message in flight, messages are sent one at a time.
_IN_A_ROW = 2
# After this number of connections that end with only this message in flight, it is skipped.
_ALONE = 3
# The same for a message that is at least as large as one that was set aside.
_ALONE_AS_LARGE = 1


class Suspicion:
    """Knowledge about the messages with which connections have ended. Used by one thread."""

    def __init__(self) -> None:
        self._endings: dict[Token, int] = {}
        self._alone: dict[Token, int] = {}
        # Suspected messages since whose failure another message has passed.
        self._due: set[Token] = set()
        # Suspected messages that failed on a connection on which another message had passed.
        self._among_others: set[Token] = set()
        self._passed: set[Token] = set()
        self._too_large: int | None = None
        self.trial: Token | None = None
        """The last message sent that is at least as large as one that was set aside."""

    @property
    def careful(self) -> bool:
        """Whether messages must be sent one at a time."""
        return any(count >= _IN_A_ROW for count in self._endings.values())

    @property
    def suspects(self) -> list[Token]:
        """The skipped messages about parts, the oldest first."""
        return sorted(token for token, count in self._alone.items() if count >= _ALONE and token[0] == "entry")

    def may_send(self, token: Token) -> bool:
        """Return whether a message is not skipped at present."""
        key = _key(token)
        return self._alone.get(key, 0) < _ALONE or key in self._due

    def wants_calm(self, token: Token) -> bool:
        """Return whether to send the message only after the connection has lasted for a while.

        If the connection ends then, the message is likely the reason.
        """
        return _key(token) in self._alone

    def is_like_set_aside(self, size: int) -> bool:
        """Return whether a message is at least as large as one set aside: it is sent alone, and fails sooner."""
        return self._too_large is not None and size >= self._too_large

    def begin_trial(self, token: Token) -> None:
        """Note that a message as large as one set aside is sent."""
        self.trial = token

    def start_connection(self) -> None:
        """Note that there is a new connection."""
        self._passed.clear()

    def acknowledge(self, token: Token) -> None:
        """Note that the broker has acknowledged a message."""
        self.forget(token)
        self._passed.add((token[0], 0))
        if token == self.trial:
            self.trial = self._too_large = None
        # A passed status does not count for a part, because a broker may accept statuses and no parts.
        self._due.update(failed for failed in self._alone if failed[0] != "entry" or token[0] == "entry")

    def end(self, in_flight: set[Token], refused: Token | None) -> Token | None:
        """Note that the connection has ended; return the message to set aside, or `None` if none is certain.

        Args:
            in_flight: Messages that were in flight.
            refused: Message that the broker has explicitly refused; `None` if there was none.
        """
        for key in {_key(token) for token in (in_flight if refused is None else {*in_flight, refused})}:
            self._endings[key] = self._endings.get(key, 0) + 1
        alone = refused or (next(iter(in_flight)) if len(in_flight) == 1 else None)
        if alone is None:
            return None
        key = _key(alone)
        self._alone[key] = self._alone.get(key, 0) + 1
        if ("entry", 0) in self._passed or (key[0] != "entry" and self._passed):
            self._among_others.add(key)
        is_singular = key in self._due or key in self._among_others
        if is_singular and self._alone[key] > (_ALONE_AS_LARGE if alone == self.trial else _ALONE):
            self.forget(alone)
            self.trial = None
            return alone
        return None

    def remember_size(self, size: int) -> None:
        """Remember the size in bytes of a message that was set aside after the broker closed the connection at it."""
        self._too_large = min(size, self._too_large or size)

    def forget(self, token: Token) -> None:
        """Stop suspecting a message."""
        key = _key(token)
        self._endings.pop(key, None)
        self._alone.pop(key, None)
        self._due.discard(key)
        self._among_others.discard(key)

    def forget_those_gone(self) -> None:
        """Stop suspecting messages that are not skipped, because no other message waits that could be sent."""
        for key in [key for key in self._endings if self._alone.get(key, 0) < _ALONE]:
            self.forget(key)


def _key(token: Token) -> Token:
    """Return the token under which a message is suspected: its own (parts, replies), or one for all of its kind."""
    return token if token[0] in ("entry", "resend", "reply") else (token[0], 0)
