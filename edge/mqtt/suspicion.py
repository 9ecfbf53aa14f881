"""Which message it is that the broker ends the connection at.

A broker that does not take a message may hang up on it without a word, and so does a network that is bad. The two are
told apart in steps: a message on which connections end again and again is sent alone, after a while in which the
connection holds; when it has failed three times it is passed over, and tried again when another message has passed, or
after a long while. If it fails then too, and others have passed, it is set aside. A network or a broker that takes
nothing lets no other pass, so nothing is set aside for it. Once a message was set aside, another one as large is sent
alone, and set aside when it has failed twice while others passed.
"""

from __future__ import annotations

from edge_inspect.edge.mqtt.in_flight import Token

# Connections that end in a row while a message is on its way; then one is sent at a time.
_IN_A_ROW = 2
# Connections that end while it alone is on its way; then it is passed over.
_ALONE = 3
# Likewise, of one as large as a message that was set aside.
_ALONE_AS_LARGE = 1


class Suspicion:
    """What is known of messages at which connections have ended. Used by one thread."""

    def __init__(self) -> None:
        self._endings: dict[Token, int] = {}
        self._alone: dict[Token, int] = {}
        # Those of which it is known that another message has passed since they failed.
        self._due: set[Token] = set()
        # Those that failed on a connection that another message had passed on.
        self._among_others: set[Token] = set()
        self._passed: set[Token] = set()
        self._too_large: int | None = None
        self.trial: Token | None = None
        """The message sent last that is as large as one that was set aside."""

    @property
    def careful(self) -> bool:
        """Whether one message is to be sent at a time."""
        return any(count >= _IN_A_ROW for count in self._endings.values())

    @property
    def suspects(self) -> list[Token]:
        """The parts' messages that are passed over, the oldest first."""
        return sorted(token for token, count in self._alone.items() if count >= _ALONE and token[0] == "entry")

    def may_send(self, token: Token) -> bool:
        """Return whether a message is not passed over at present."""
        key = _key(token)
        return self._alone.get(key, 0) < _ALONE or key in self._due

    def wants_calm(self, token: Token) -> bool:
        """Return whether the connection is to hold for a while first, so that the message is why it ends."""
        return _key(token) in self._alone

    def is_like_set_aside(self, size: int) -> bool:
        """Return whether a message is as large as one set aside: it is sent alone, and one failure is enough."""
        return self._too_large is not None and size >= self._too_large

    def begin_trial(self, token: Token) -> None:
        """Note that such a message is sent."""
        self.trial = token

    def begin_anew(self) -> None:
        """Note that there is a new connection."""
        self._passed.clear()

    def acknowledge(self, token: Token) -> None:
        """Note that the broker has it."""
        self.forget(token)
        self._passed.add((token[0], 0))
        if token == self.trial:
            self.trial = self._too_large = None
        # A broker may take a status and no part.
        self._due.update(failed for failed in self._alone if failed[0] != "entry" or token[0] == "entry")

    def end(self, in_flight: set[Token], refused: Token | None) -> Token | None:
        """Note that the connection has ended; return the message to set aside, if it is certain now.

        Args:
            in_flight: What was on its way.
            refused: What the broker has refused by its name.
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
        """Remember the size in bytes of a message that was set aside after the broker hung up on it."""
        self._too_large = min(size, self._too_large or size)

    def forget(self, token: Token) -> None:
        """Suspect a message no more."""
        key = _key(token)
        self._endings.pop(key, None)
        self._alone.pop(key, None)
        self._due.discard(key)
        self._among_others.discard(key)

    def forget_those_gone(self) -> None:
        """Suspect only those that are passed over: nothing else waits that could be sent."""
        for key in [key for key in self._endings if self._alone.get(key, 0) < _ALONE]:
            self.forget(key)


def _key(token: Token) -> Token:
    """Return what a message is suspected as: a part's or a reply by itself, others with all of their kind."""
    return token if token[0] in ("entry", "resend", "reply") else (token[0], 0)
