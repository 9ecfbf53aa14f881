"""The people who use the page: its users, their sessions, and the limits of logins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from starlette.requests import Request

from edge_inspect.edge.page.audit import AuditLog
from edge_inspect.edge.page.guard import Person, Visitor
from edge_inspect.edge.page.login_limits import LoginLimits
from edge_inspect.edge.page.sessions import Sessions, csrf_token
from edge_inspect.edge.page.users import DISPLAY, Users

IDLE_HOURS = 2.0
"""Hours without a request after which a session ends."""

# A browser keeps a cookie with this prefix only if it is Secure, has Path=/ and no Domain, so that no other page, of
# the same host without TLS or of a neighbouring one, can set it.
_SECURE_COOKIE, _PLAIN_COOKIE = "__Host-session", "session"


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
        proxies: Addresses of proxies whose forwarded headers are believed; empty without a proxy.

    Raises:
        ConfigurationError: The file of the users cannot be used.
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
        self.sessions = Sessions(data / "sessions.json", session_hours * 3600, IDLE_HOURS * 3600)
        self.limits = LoginLimits()
        self.audit = audit
        self.display_without_login = display_without_login
        self.loopback, self.proxies = loopback, tuple(proxies)
        self.secure = tls or bool(proxies)

    @property
    def cookie(self) -> str:
        """Name of the cookie that holds the token of a session."""
        return _SECURE_COOKIE if self.secure else _PLAIN_COOKIE

    def visitor(self, request: Request) -> Visitor:
        """Return who sent a request."""
        client = request.scope.get("client")
        address = str(client[0]) if client else "unknown"
        secure = request.scope.get("scheme") == "https"
        token = request.cookies.get(self.cookie)
        user = self.sessions.find(token, self.users.get) if token else None
        if token is None or user is None:
            display = Person(DISPLAY, "viewer") if self.display_without_login else None
            return Visitor(display, address, secure=secure)
        return Visitor(Person(user.name, user.role), address, token, csrf_token(token), secure)

    def is_current(self, visitor: Visitor) -> bool:
        """Return whether a visitor may still look at the page. A stream of events asks this from time to time."""
        if visitor.token is None:
            return self.display_without_login
        return self.sessions.find(visitor.token, self.users.get, used=False) is not None

    def close(self) -> None:
        """Save the sessions, so that a restart of the page logs nobody out."""
        self.sessions.save()
