"""The gate: every request passes it before a route sees it, and every answer afterwards.

A request is refused if its host, path, headers, body or origin are not as the page's own browser code sends them. The
visitor is found by the session's cookie, and nobody gets further than the login form without one.
"""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_inspect.edge.page.audit import caller_address
from edge_inspect.edge.page.guard import NOT_LOGGED_IN, Visitor, answer_error, set_visitor
from edge_inspect.edge.page.people import People, visitor_address
from edge_inspect.edge.text import clean

LARGEST_BODY = 2**16
"""Largest size of the body of a request, in bytes."""

_MOST_HEADERS, _LARGEST_HEADERS = 64, 2**14
_LONGEST_TARGET = 4096
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SAFE = ("GET", "HEAD")
_WITHOUT_SESSION = ("/api/login", "/api/session")
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOGGER = logging.getLogger(__name__)

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=()",
}
_HSTS = "max-age=31536000"


def middleware(people: People, *, body_s: float = 10.0, session_check_s: float = 10.0) -> list[Middleware]:
    """Return what stands before the routes, for the argument `middleware` of the application.

    The gate reads the headers of proxies itself, so the server must not (`proxy_headers=False` of uvicorn).

    Args:
        people: The people who may pass the gate.
        body_s: Seconds within which the body of a request must arrive.
        session_check_s: Seconds within which a stream of events ends after its session.
    """
    return [Middleware(Gate, people=people, body_s=body_s, session_check_s=session_check_s)]


class Gate:
    """Checks requests and completes answers; see the module.

    Args:
        app: The application behind the gate.
        people: The people who may pass it.
        body_s: Seconds within which the body of a request must arrive.
        session_check_s: Seconds within which a stream of events ends after its session.
    """

    def __init__(self, app: ASGIApp, people: People, body_s: float, session_check_s: float) -> None:
        self._app, self._people = app, people
        self._body_s, self._session_check_s = body_s, session_check_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application answer it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        answer = _Answer(scope, send)
        try:
            await self._pass(scope, receive, answer)
        except HTTPException as error:
            if error.status_code in (408, 413):
                error.headers = {"Connection": "close"}  # the rest of the body is not read
            await answer_error(error)(scope, receive, answer.send)
        except ClientDisconnect:
            pass
        except Exception as error:
            _LOGGER.exception("%s %s failed", scope["method"], clean(scope["path"]))
            if not answer.begun:
                await answer_error(error)(scope, receive, answer.send)

    async def _pass(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        request = Request(scope)
        _check_size(scope)
        if self._people.proxies:
            if visitor_address(request) not in self._people.proxies:
                raise HTTPException(403, "this page is behind a proxy; open it at the address of the proxy")
            self._people.proxies.apply(scope)
        _check_path(scope["path"])
        host = request.headers.get("host", "")
        _check_host(host, self._people)
        body = await _read_body(scope, request.headers, receive, self._body_s)
        visitor = self._people.visitor(request)
        if self._people.sessions.is_due:
            await run_in_threadpool(self._people.sessions.save)
        _check_origin(request, self._people)
        self._check_session(request, visitor)
        set_visitor(scope, visitor)
        caller_address.set(visitor.address)
        replay = _Replay(body, receive, lambda: self._people.is_current(visitor), self._session_check_s)
        await self._app(scope, replay, answer.send)

    def _check_session(self, request: Request, visitor: Visitor) -> None:
        path = str(request.scope["path"])
        if path == "/api/login":
            return
        if path.startswith("/api/") and path not in _WITHOUT_SESSION and visitor.person is None:
            raise HTTPException(401, NOT_LOGGED_IN)
        if request.method in _SAFE:
            return
        if visitor.csrf is None:
            raise HTTPException(401, NOT_LOGGED_IN)
        sent = request.headers.get("x-csrf-token", "")
        if not hmac.compare_digest(sent.encode(), visitor.csrf.encode()):
            raise HTTPException(403, "the header X-CSRF-Token is missing or is not this session's; load the page again")


class _Answer:
    """Sends an answer with the headers that every answer has."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send = scope, send
        self.begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            message.setdefault("headers", [])
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            if self._scope.get("scheme") == "https":
                headers["Strict-Transport-Security"] = _HSTS
            if str(self._scope["path"]).startswith("/api/"):
                headers.setdefault("Cache-Control", "no-store")
        await self._send(message)


class _Replay:
    """Gives the application the body that was read already, and later the end of the connection or of the session.

    An application that waits for the browser to leave, as a stream of events does, so ends with the session as well.
    """

    def __init__(self, body: bytes, receive: Receive, is_current: Callable[[], bool], check_s: float) -> None:
        self._body: bytes | None = body
        self._receive, self._is_current, self._check_s = receive, is_current, check_s

    async def __call__(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        while True:
            with anyio.move_on_after(self._check_s):
                return await self._receive()
            if not self._is_current():
                return {"type": "http.disconnect"}


def _check_size(scope: Scope) -> None:
    headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
    if len(headers) > _MOST_HEADERS or sum(len(name) + len(value) for name, value in headers) > _LARGEST_HEADERS:
        raise HTTPException(431, "the request has too many or too long headers; delete the cookies of this page")
    if len(scope.get("raw_path", b"")) + len(scope["query_string"]) > _LONGEST_TARGET:
        raise HTTPException(414, "the address of the request is too long")


def _check_path(path: str) -> None:
    if _CONTROL.search(path) or any(part in (".", "..") for part in path.split("/")):
        raise HTTPException(400, "the path of the request holds '..' or a character that no path of this page has")


def _check_host(host: str, people: People) -> None:
    """Refuse a name that is not this box's, because DNS can point any name to the loopback address of a browser."""
    try:
        name = urlsplit(f"//{host}").hostname
        urlsplit(f"//{host}").port  # noqa: B018  raises ValueError
    except ValueError:
        name = None
    if not name or any(character in host for character in "/@?#\\ "):
        raise HTTPException(400, "the header Host is missing or damaged")
    if people.loopback and not people.proxies and name not in _LOOPBACK_NAMES:
        raise HTTPException(
            421, f"this page listens on loopback only, and {clean(name)} is another name; open it as http://127.0.0.1"
        )


async def _read_body(scope: Scope, headers: Headers, receive: Receive, longest_s: float) -> bytes:
    """Return the body of a request, which must be small, arrive soon, and be JSON."""
    length = headers.get("content-length")
    if length is not None and "transfer-encoding" in headers:  # a proxy might find another end of the body
        raise HTTPException(400, "the request has two lengths", {"Connection": "close"})
    has_body = "transfer-encoding" in headers or length not in (None, "0")
    largest = 0 if scope["method"] in _SAFE else LARGEST_BODY
    if length is not None and not (length.isascii() and length.isdigit() and int(length[:20]) <= largest):
        raise HTTPException(413, f"the body of the request has more than {largest} bytes")
    if has_body and scope["method"] not in _SAFE:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise HTTPException(415, "the body of a request must be application/json", {"Connection": "close"})
    body = bytearray()
    try:
        with anyio.fail_after(longest_s):
            more = has_body
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > largest:
                    raise HTTPException(413, f"the body of the request has more than {largest} bytes")
    except TimeoutError:
        raise HTTPException(408, f"the body of the request did not arrive within {longest_s:g} s") from None
    return bytes(body)


def _check_origin(request: Request, people: People) -> None:
    """Refuse a request that another page's code has sent, as far as the browser says so."""
    if request.method in _SAFE:
        return
    foreign = HTTPException(403, "the request comes from another page; send it from this one")
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise foreign
    origin = request.headers.get("origin")
    if origin is not None and _place(origin) not in _own_places(request, people):
        raise foreign


def _own_places(request: Request, people: People) -> list[tuple[str, str, int]]:
    """Return scheme, host and port under which the browser may have loaded the page."""
    hosts = [request.headers.get("host", "")]
    if people.proxies and (forwarded := request.headers.get("x-forwarded-host")):
        hosts.append(forwarded)
    scheme = "https" if people.secure else str(request.scope["scheme"])
    places = [_place(f"{scheme}://{host}") for host in hosts]
    if people.proxies:  # the box's own browser may go round the proxy
        places += [place for host in hosts if (place := _place(f"http://{host}")) and place[1] in _LOOPBACK_NAMES]
    return [place for place in places if place is not None]


def _place(url: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    if parts.path or parts.query or parts.fragment:
        return None
    return parts.scheme, parts.hostname, port
