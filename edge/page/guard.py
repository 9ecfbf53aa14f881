"""Who asks, and whether that person may: `require` stands at the beginning of every route."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ExceptionHandler, Scope

from edge_inspect.edge.errors import AuditError
from edge_inspect.edge.page.roles import ROLES, Role

NOT_LOGGED_IN = "nobody is logged in, or the session has expired; log in"

_VISITOR = "edge_inspect.visitor"
_ROUTER_TEXTS = {
    "Not Found": "there is nothing at this address; load the page again",
    "Method Not Allowed": "this address does not have this method",
}


class Person(NamedTuple):
    """A person who may use the page, or the wall display."""

    name: str
    role: Role


@dataclass(frozen=True)
class Visitor:
    """Who sent a request, as far as it is known.

    Attributes:
        person: The person; `None` without a session and without a display that needs none.
        address: Address of the browser; behind a trusted proxy, as the proxy says.
        token: Token of the session; `None` without one.
        csrf: CSRF token of the session; `None` without one.
    """

    person: Person | None
    address: str
    token: str | None = None
    csrf: str | None = None


def set_visitor(scope: Scope, visitor: Visitor) -> None:
    """Note who sent a request. Only the gate calls this."""
    scope[_VISITOR] = visitor


def visitor_of(request: Request) -> Visitor:
    """Return who sent a request.

    Raises:
        RuntimeError: The application has no gate (`gate.middleware`).
    """
    visitor = request.scope.get(_VISITOR)
    if not isinstance(visitor, Visitor):
        raise RuntimeError("the application was made without gate.middleware")
    return visitor


def require(request: Request, role: Role = "viewer") -> Person:
    """Return the person who sent a request, who must have at least this role.

    Raises:
        HTTPException: 401: nobody is logged in. 403: the person's role does not allow it.
    """
    visitor = visitor_of(request)
    person = visitor.person
    if person is None or (visitor.token is None and role != "viewer"):
        raise HTTPException(401, NOT_LOGGED_IN)
    if ROLES.index(person.role) < ROLES.index(role):
        raise HTTPException(
            403,
            f"this needs the role {role}, and {person.name} has the role {person.role}; on the box, `edge-inspect "
            f"page-user role {person.name} {role}` changes it",
        )
    return person


def answer_error(error: Exception) -> Response:
    """Return the answer to an error, as JSON: `{"error": text}`."""
    if isinstance(error, HTTPException):
        text = _ROUTER_TEXTS.get(error.detail, error.detail)
        return JSONResponse({"error": text}, error.status_code, error.headers)
    if isinstance(error, AuditError):
        return JSONResponse({"error": str(error)}, 507)
    return JSONResponse({"error": "the page has failed; its log says why"}, 500)


async def _handle(_request: Request, error: Exception) -> Response:
    return answer_error(error)


EXCEPTION_HANDLERS: dict[type[Exception], ExceptionHandler] = {
    HTTPException: _handle,
    AuditError: _handle,
}
"""For the argument `exception_handlers` of the application."""
