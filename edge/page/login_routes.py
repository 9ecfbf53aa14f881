"""The routes for logging in and out, and for reading the audit log."""

from __future__ import annotations

import logging
import math
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edge_inspect.edge import __version__
from edge_inspect.edge.errors import AuditError
from edge_inspect.edge.page.guard import Visitor, require, visitor_of
from edge_inspect.edge.page.login_limits import TooEarly
from edge_inspect.edge.page.page import page_of
from edge_inspect.edge.page.passwords import LONGEST
from edge_inspect.edge.page.people import People, device_token
from edge_inspect.edge.page.request_fields import read_object
from edge_inspect.edge.page.sessions import csrf_token
from edge_inspect.edge.page.users import User

_LOGGER = logging.getLogger(__name__)
_DEVICE_S = 365 * 86400


async def _log_in(request: Request) -> Response:
    people, visitor = page_of(request).people, visitor_of(request)
    if people.proxies and "x-forwarded-proto" in request.headers and request.scope["scheme"] != "https":
        raise HTTPException(
            403, "the password would cross the network unencrypted; let the proxy answer over HTTPS only"
        )
    name, password = _credentials(await read_object(request, '{"user": NAME, "password": PASSWORD}'))
    if not len(people.users):
        raise HTTPException(401, people.users.remedy())
    user = people.users.get(name)
    place = people.place(request, user, visitor.address)
    try:
        with people.limits.one_attempt(name, place):
            if not await people.fits(user, password):
                people.limits.note_wrong(name, place)
                # A name that is not a user's may be a password that was typed into the wrong field.
                await _record(people, user.name if user else "unknown", "login refused")
                raise HTTPException(401, "the user name or the password is wrong")
    except TooEarly as early:
        wait = math.ceil(early.wait_s)
        raise HTTPException(
            429, f"too many attempts to log in; try again in {wait} s", headers={"Retry-After": str(wait)}
        ) from None
    assert user is not None
    await _record(people, user.name, "login", role=user.role)
    people.limits.note_right(place)
    return await _begin(people, user, visitor)


async def _begin(people: People, user: User, visitor: Visitor) -> Response:
    """Return the answer that opens a new session, and end the one that the browser had."""
    if visitor.token is not None:
        await run_in_threadpool(people.sessions.end, visitor.token)
    token = await run_in_threadpool(people.sessions.begin, user)
    answer = JSONResponse({"user": user.name, "role": user.role, "csrf": csrf_token(token)})
    answer.set_cookie(people.cookie, token, secure=people.secure, httponly=True, samesite="strict")
    answer.set_cookie(
        people.device_cookie,
        device_token(user),
        max_age=_DEVICE_S,
        secure=people.secure,
        httponly=True,
        samesite="strict",
    )
    return answer


async def _log_out(request: Request) -> Response:
    people, person, visitor = page_of(request).people, require(request), visitor_of(request)
    if visitor.token is not None:
        # Leaving is never refused, not even if it cannot be recorded.
        await run_in_threadpool(people.sessions.end, visitor.token)
        try:
            await _record(people, person.name, "logout")
        except AuditError as error:
            _LOGGER.error("%s", error)
    answer = JSONResponse({})
    answer.delete_cookie(people.cookie, secure=people.secure, httponly=True, samesite="strict")
    return answer


async def _read_session(request: Request) -> Response:
    people, visitor = page_of(request).people, visitor_of(request)
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


async def _read_audit(request: Request) -> Response:
    require(request, "engineer")
    text = request.query_params.get("limit", "100")
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 1000 and len(text) <= 6):
        raise HTTPException(400, "limit must be a whole number from 1 to 1000")
    return JSONResponse({"entries": await run_in_threadpool(page_of(request).people.audit.newest, int(text))})


async def _record(people: People, person: str, action: str, **details: Any) -> None:
    await run_in_threadpool(people.audit.write, person, action, **details)


def _credentials(fields: dict[str, Any]) -> tuple[str, str]:
    name, password = fields.get("user"), fields.get("password")
    if not (isinstance(name, str) and isinstance(password, str)):
        raise HTTPException(400, "user and password must be text")
    if len(password) > LONGEST:
        raise HTTPException(400, f"the password has more than {LONGEST} characters")
    return name[:256], password


routes = [
    Route("/api/login", _log_in, methods=["POST"]),
    Route("/api/logout", _log_out, methods=["POST"]),
    Route("/api/session", _read_session),
    Route("/api/audit", _read_audit),
]
"""Routes for logging in and out, and for reading the audit log."""
