"""Sessions of people who have logged in: random tokens, of which only hashes are kept."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import math
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from edge_inspect.edge.files import read_file, write_atomically
from edge_inspect.edge.page.users import User

_TOKEN_BYTES = 32
_LONGEST_TOKEN = 64
_MOST_OF_A_USER = 20
_MOST = 2000
_LARGEST_FILE = 4 * 2**20
# The file is written at once when a session begins or ends, but for its last use only this often.
_SAVE_EVERY_S, _TRY_AGAIN_S = 60.0, 2.0
# The clock of a box without a battery may be set by this much while the page runs.
_CLOCK_STEP_S = 300.0
_LOGGER = logging.getLogger(__name__)


@dataclass
class Session:
    """One login of a user on one browser.

    Attributes:
        user: Name of the user.
        fingerprint: `User.fingerprint` at the time of the login.
        begun: Time of the login, in seconds since 1970.
        used: Time of the last request, in seconds since 1970.
    """

    user: str
    fingerprint: str
    begun: float
    used: float


class Sessions:
    """The sessions that are open. May be used from any thread.

    They outlive a restart of the page: a file keeps them, with the hash of each token and never the token itself.

    Args:
        file: The file, which is made with mode 0600.
        longest_s: Seconds after the login at which a session ends.
        idle_s: Seconds after the last request at which a session ends.
        now: Clock in seconds since 1970, for tests.
    """

    def __init__(self, file: Path, longest_s: float, idle_s: float, now: Callable[[], float] = time.time) -> None:
        self._file, self._longest, self._idle, self._now = file, longest_s, idle_s, now
        self._lock = threading.Lock()
        self._file_lock = threading.Lock()  # never waited for by a thread that holds the other one
        self._changed, self._saved_at = False, now()
        self._open = self._load()

    def begin(self, user: User) -> str:
        """Return the token of a new session: 256 random bits as 43 letters of base64url."""
        token = base64.urlsafe_b64encode(secrets.token_bytes(_TOKEN_BYTES)).decode().rstrip("=")
        with self._lock:
            self._forget(lambda session: not self._is_alive(session))
            of_user = [key for key, session in self._open.items() if session.user == user.name]
            for key in of_user[: max(0, len(of_user) - _MOST_OF_A_USER + 1)]:
                del self._open[key]
            while len(self._open) >= _MOST:
                del self._open[next(iter(self._open))]
            now = self._now()
            self._open[_hash(token)] = Session(user.name, user.fingerprint(), now, now)
            self._changed = True
        self.save()
        return token

    def find(self, token: str, get_user: Callable[[str], User | None], *, used: bool = True) -> User | None:
        """Return the user whose session a token opens.

        Args:
            token: The token that a browser has sent.
            get_user: Returns the user with a name. A session of a user who was removed or changed ends.
            used: Whether this counts as use of the session, which puts off its end by idleness.
        """
        if not 0 < len(token) <= _LONGEST_TOKEN:
            return None
        key = _hash(token)
        with self._lock:
            if (session := self._open.get(key)) is None:
                return None
            user = get_user(session.user)
            if user is None or not self._is_alive(session) or user.fingerprint() != session.fingerprint:
                del self._open[key]
                self._changed = True
                return None
            if used:
                session.used = self._now()
            return user

    def end(self, token: str) -> None:
        """End the session that a token opens, if there is one."""
        with self._lock:
            found = self._open.pop(_hash(token), None)
            self._changed |= found is not None
        if found is not None:
            self.save()

    @property
    def is_due(self) -> bool:
        """Whether `save` should be called, because a session has ended or was used for a while."""
        return not 0 <= self._now() - self._saved_at < (_TRY_AGAIN_S if self._changed else _SAVE_EVERY_S)

    def save(self) -> None:
        """Write the sessions to the file. If that fails, they stay in memory, and the next call tries again."""
        with self._file_lock:
            with self._lock:
                self._changed, self._saved_at = False, self._now()
                data = json.dumps({key: asdict(session) for key, session in self._open.items()})
            try:
                write_atomically(self._file, data.encode(), mode=0o600)
            except OSError as error:
                self._changed = True
                _LOGGER.error(
                    "%s: sessions cannot be saved: %s; after a restart of the page, people have to log in again, and "
                    "sessions that have ended could be open again; free space or correct the permissions",
                    self._file,
                    error.strerror,
                )

    def __len__(self) -> int:
        with self._lock:
            self._forget(lambda session: not self._is_alive(session))
            return len(self._open)

    def _is_alive(self, session: Session) -> bool:
        now = self._now()
        in_time = now - session.begun < self._longest and now - session.used < self._idle
        return in_time and session.begun <= now + _CLOCK_STEP_S

    def _forget(self, over: Callable[[Session], bool]) -> None:
        for key in [key for key, session in self._open.items() if over(session)]:
            del self._open[key]

    def _load(self) -> dict[str, Session]:
        try:
            found = json.loads(read_file(self._file, _LARGEST_FILE))
            sessions = {str(key): _checked(value) for key, value in found.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            _LOGGER.warning("%s: cannot be used (%s); everybody has to log in again", self._file, type(error).__name__)
            return {}
        return {key: session for key, session in sessions.items() if self._is_alive(session)}


def csrf_token(token: str) -> str:
    """Return the CSRF token that belongs to a session's token. Nothing of the session follows from it."""
    return hmac.new(token.encode(), b"csrf", hashlib.sha256).hexdigest()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _checked(value: dict[str, object]) -> Session:
    begun, used = value["begun"], value["used"]
    if not (isinstance(begun, int | float) and isinstance(used, int | float)):
        raise TypeError("a time must be a number")
    if not (math.isfinite(begun) and math.isfinite(used)):
        raise ValueError("a time must be finite")
    return Session(str(value["user"]), str(value["fingerprint"]), begun, used)
