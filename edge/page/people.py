"""The people who use the page: its users, their sessions, and the limits of logins."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections.abc import Sequence
from pathlib import Path

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request

from edge_inspect.edge.page.audit import AuditLog
from edge_inspect.edge.page.guard import Person, Visitor
from edge_inspect.edge.page.login_limits import LoginLimits
from edge_inspect.edge.page.passwords import DECOY
from edge_inspect.edge.page.proxies import Proxies
from edge_inspect.edge.page.sessions import Sessions, csrf_token
from edge_inspect.edge.page.users import DISPLAY, User, Users

log = logging.getLogger(__name__)

IDLE_HOURS = 2.0
"""Hours without a request after which a session ends."""

# A browser keeps a cookie with this prefix only if it is Secure, has Path=/ and no Domain, so that no other page, of
# the same host without TLS or of a neighbouring one, can set it.
_SECURE_PREFIX = "__Host-"


class People:
    """The people who use the page. May be used from any thread.

    Args:
        users: File of the users; see `read_users`.
        data: Folder of the page's data, in which `sessions.json` is kept.
        audit: The audit log.
        session_hours: Hours after the login at which a session ends.
        display_without_login: Whether everybody may look at the page.
        tls: Whether the page itself listens with TLS.
        loopback: Whether the page listens on the loopback address only.
        proxies: Addresses or networks of proxies, the only ones who may connect then; empty without a proxy.

    Raises:
        ConfigurationError: The file of the users cannot be used.
        ValueError: A proxy's address is none.
    """

    def __init__(
        self,
        users: Path,
        data: Path,
        audit: AuditLog,
        *,
        session_hours: float = 12.0,
        display_without_login: bool = False,
        tls: bool = False,
        loopback: bool = True,
        proxies: Sequence[str] = (),
    ) -> None:
        self.users = Users(users)
        if not len(self.users):
            log.warning("%s", self.users.remedy())
        self.sessions = Sessions(data / "sessions.json", session_hours * 3600, IDLE_HOURS * 3600)
        self.limits = LoginLimits()
        self.audit = audit
        self.display_without_login = display_without_login
        self.loopback, self.proxies = loopback, Proxies(proxies)
        self.secure = tls or bool(self.proxies)
        self._examiner: CapacityLimiter | None = None

    @property
    def cookie(self) -> str:
        """Name of the cookie that holds the token of a session."""
        return f"{_SECURE_PREFIX if self.secure else ''}session"

    @property
    def device_cookie(self) -> str:
        """Name of the cookie by which a browser is known on which a user has logged in before."""
        return f"{_SECURE_PREFIX if self.secure else ''}device"

    def visitor(self, request: Request) -> Visitor:
        """Return who sent a request."""
        address = visitor_address(request)
        token = request.cookies.get(self.cookie)
        user = self.sessions.find(token, self.users.get) if token else None
        if token is None or user is None:
            display = Person(DISPLAY, "viewer") if self.display_without_login else None
            return Visitor(display, address)
        return Visitor(Person(user.name, user.role), address, token, csrf_token(token))

    def place(self, request: Request, user: User | None, address: str) -> str:
        """Return what an attempt to log in is counted for: a browser that the user has used before, or an address.

        So whoever guesses a user's password cannot keep that user out, not even from the same address.
        """
        nonce, _, proof = request.cookies.get(self.device_cookie, "").partition(".")
        if user is not None and hmac.compare_digest(proof.encode(), _proof(user, nonce).encode()):
            return f"device {nonce}"
        return address

    def is_current(self, visitor: Visitor) -> bool:
        """Return whether a visitor may still look at the page. A stream of events asks this from time to time."""
        if visitor.token is None:
            return self.display_without_login
        return self.sessions.find(visitor.token, self.users.get, used=False) is not None

    async def fits(self, user: User | None, password: str) -> bool:
        """Return whether the password is this user's. It takes as long where there is no user.

        One password is examined at a time, because each takes 32 MiB and a core for some tenths of a second.
        """
        if self._examiner is None:  # it belongs to the event loop
            self._examiner = CapacityLimiter(1)
        known = user.password if user is not None else DECOY
        return await to_thread.run_sync(known.fits, password, limiter=self._examiner) and user is not None

    def close(self) -> None:
        """Save the sessions, so that a restart of the page logs nobody out."""
        self.sessions.save()


def visitor_address(request: Request) -> str:
    """Return the address that a request comes from."""
    client = request.scope.get("client")
    return str(client[0]) if client else "unknown"


def device_token(user: User) -> str:
    """Return the value of a cookie that shows that this user has logged in on a browser before.

    It is no session: it only spares the user the delays that strangers' guesses cause. It holds until the user's role
    or password changes.
    """
    nonce = secrets.token_hex(16)
    return f"{nonce}.{_proof(user, nonce)}"


def _proof(user: User, nonce: str) -> str:
    return hmac.new(user.fingerprint().encode(), f"device {nonce}".encode(errors="replace"), hashlib.sha256).hexdigest()
