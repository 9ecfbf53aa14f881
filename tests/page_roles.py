"""Checks that every route of an application is listed with the role that it needs, and that the role is enforced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from page_client import Browser
from page_server import ROLES
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route

from edge_inspect.edge.page import roles

EVERYBODY = "everybody"
Table = Mapping[tuple[str, str], str]
"""The role that each method and path needs, or `EVERYBODY`; HEAD is as GET."""

LOGIN: Table = {
    ("POST", "/api/login"): EVERYBODY,
    ("POST", "/api/logout"): "viewer",
    ("GET", "/api/session"): EVERYBODY,
    ("GET", "/api/audit"): "engineer",
}
"""The routes of login_routes.py."""

_FILLED = "station1"


def found_routes(routes: list[BaseRoute]) -> Iterator[tuple[str, str]]:
    """Yield method and path of every route; what is below a mount counts as GET of its prefix."""
    for route in routes:
        if isinstance(route, Route):
            yield from ((method, route.path) for method in sorted(route.methods or []) if method != "HEAD")
        elif isinstance(route, Mount):
            yield "GET", f"{route.path}/"
        else:
            raise AssertionError(f"{route}: a route of an unknown kind needs a check of its own")


def check_table(app: Starlette, table: Table) -> None:
    """Fail if a route is not in the table, or the table names one that is not there."""
    found = set(found_routes(app.routes))
    new, gone = sorted(found - table.keys()), sorted(table.keys() - found)
    assert new == [], f"{new}: give each new route a role in the table, and a `require` in its function"
    assert gone == [], f"{gone}: these routes are gone; take them out of the table"


def check_roles(port: int, table: Table, *, display: bool = False) -> None:
    """Fail if a route answers somebody who may not have it, or refuses somebody who may.

    With `display`, everybody may look at what viewers may look at (`display_without_login`).

    Whoever may is not refused with 401 or 403; what else the answer is, the route's own tests check. Bodies are empty.
    """
    browsers: dict[str, Browser] = {EVERYBODY: Browser(port)}
    for name, role in ROLES.items():
        browsers[role] = Browser(port)
        assert browsers[role].log_in(name).status == 200
    ranks = [EVERYBODY, *roles.ROLES]
    wrong = []
    # Leaving comes last, because the session ends with it.
    for (method, path), needed in sorted(table.items(), key=lambda entry: entry[0][1] == "/api/logout"):
        if path == "/api/login":
            continue
        if display and (method, needed) == ("GET", "viewer"):
            needed = EVERYBODY
        filled = "/".join(_FILLED if part.startswith("{") else part for part in path.split("/"))
        for role in ranks:
            answer = browsers[role].ask(method, filled, {} if method != "GET" else None)
            refused = answer.status in (401, 403)
            if refused is (ranks.index(role) >= ranks.index(needed)):
                wrong.append(f"{method} {path}: {role} gets {answer.status}, and the table says {needed}")
    assert wrong == [], "; ".join(wrong)
