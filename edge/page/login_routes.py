"""The routes for logging in and out, and for reading the audit log."""

from __future__ import annotations

import json
import logging
import math
from typing import Any

import anyio
from anyio import CapacityLimiter
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edge_inspect.edge import __version__
from edge_inspect.edge.errors import AuditError
from edge_inspect.edge.page.guard import Visitor, require, visitor_of
from edge_inspect.edge.page.passwords import DECOY, LONGEST
from edge_inspect.edge.page.people import People
from edge_inspect.edge.page.sessions import csrf_token
from edge_inspect.edge.page.users import User

_LOGGER = logging.getLogger(__name__)
# Each check of a password needs 32 MiB and a core for some tenths of a second.
_CHECKS_AT_ONCE = 1
_CHECKS_THAT_WAIT = 8


def routes(people: People) -> list[Route]:
    """Return the routes for logging in and out, and for reading the audit log."""
    login = _Login(people)

    async def log_out(request: Request) -> Response:
        return await _log_out(request, people)

    async def read_session(request: Request) -> Response:
        return _read_session(request, people)

    async def read_audit(request: Request) -> Response:
        return await _read_audit(request, people)

    return [
        Route("/api/login", login.answer, methods=["POST"]),
        Route("/api/logout", log_out, methods=["POST"]),
        Route("/api/session", read_session, methods=["GET"]),
        Route("/api/audit", read_audit, methods=["GET"]),
    ]


class _Login:
    """Answers logins, and examines only a few at a time."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._limiter: CapacityLimiter | None = None
        self._waiting = 0

    async def answer(self, request: Request) -> Response:
        """Return the session of a person who has given the right password."""
        people, visitor = self._people, visitor_of(request)
        if people.proxies and not visitor.secure and request.headers.get("x-forwarded-proto") == "http":
            raise HTTPException(
                403, "the password would cross the network unencrypted; let the proxy answer over HTTPS only"
            )
        name, password = _credentials(await request.body())
        if not len(people.users):
            raise HTTPException(401, people.users.remedy())
        self._refuse_early_attempts(name, visitor)
        user = people.users.get(name)
        if not await self._fits(user, password):
            people.limits.note_wrong(name, visitor.address)
            # A name that is not a user's may be a password that was typed into the wrong field.
            await _record(people, user.name if user else "unknown", "login refused")
            raise HTTPException(401, "the user name or the password is wrong")
        assert user is not None
        await _record(people, user.name, "login", role=user.role)
        people.limits.note_right(name, visitor.address)
        if visitor.token is not None:
            people.sessions.end(visitor.token)
        token = await run_in_threadpool(people.sessions.begin, user)
        answer = JSONResponse({"user": user.name, "role": user.role, "csrf": csrf_token(token)})
        answer.set_cookie(people.cookie, token, path="/", secure=people.secure, httponly=True, samesite="strict")
        return answer

    def _refuse_early_attempts(self, name: str, visitor: Visitor) -> None:
        wait = math.ceil(self._people.limits.wait_s(name, visitor.address))
        if wait > 0:
            raise HTTPException(
                429, f"too many wrong passwords; try again in {wait} seconds", headers={"Retry-After": str(wait)}
            )
        if self._waiting >= _CHECKS_THAT_WAIT:
            raise HTTPException(
                503, "too many people log in at the same time; try again in a few seconds", headers={"Retry-After": "3"}
            )

    async def _fits(self, user: User | None, password: str) -> bool:
        """Return whether the password is this user's; it takes as long where there is no user."""
        if self._limiter is None:
            self._limiter = CapacityLimiter(_CHECKS_AT_ONCE)
        self._waiting += 1
        try:
            known = user.password if user is not None else DECOY
            fits = await anyio.to_thread.run_sync(known.fits, password, limiter=self._limiter)
        finally:
            self._waiting -= 1
        return fits and user is not None


async def _log_out(request: Request, people: People) -> Response:
    person, visitor = require(request), visitor_of(request)
    if visitor.token is not None:
        # Leaving is never refused, not even if it cannot be recorded.
        await run_in_threadpool(people.sessions.end, visitor.token)
        try:
            await _record(people, person.name, "logout")
        except AuditError as error:
            _LOGGER.error("%s", error)
    answer = JSONResponse({})
    answer.delete_cookie(people.cookie, path="/", secure=people.secure, httponly=True, samesite="strict")
    return answer


def _read_session(request: Request, people: People) -> Response:
    visitor = visitor_of(request)
    person = visitor.person if visitor.token is not None else None
    return JSONResponse(
        {
            "user": person.name if person else None,
            "role": person.role if person else None,
            "csrf": visitor.csrf,
            "display": people.display_without_login,
            "version": __version__,
            "notice": None if len(people.users) else people.users.remedy(),
        }
    )


async def _read_audit(request: Request, people: People) -> Response:
    require(request, "engineer")
    text = request.query_params.get("limit", "100")
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 1000 and len(text) <= 6):
        raise HTTPException(400, "limit must be a whole number from 1 to 1000")
    return JSONResponse({"entries": await run_in_threadpool(people.audit.newest, int(text))})


async def _record(people: People, person: str, action: str, **details: Any) -> None:
    await run_in_threadpool(lambda: people.audit.write(person, action, **details))


def _credentials(body: bytes) -> tuple[str, str]:
    try:
        sent = json.loads(body)
        name, password = sent["user"], sent["password"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise HTTPException(400, 'send JSON: {"user": NAME, "password": PASSWORD}') from None
    if not (isinstance(name, str) and isinstance(password, str)):
        raise HTTPException(400, "user and password must be text")
    if len(password) > LONGEST:
        raise HTTPException(400, f"the password has more than {LONGEST} characters")
    return name[:256], password
