"""Roles: each may do what the one before may, and the check of all routes finds one that forgot its guard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from page_roles import EVERYBODY, LOGIN, check_roles, check_table
from page_server import make_app, make_people, say_hello, serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from edge_inspect.edge.page.guard import require

TABLE = {
    **LOGIN,
    **{(method, f"/api/{role}"): role for method in ("GET", "POST") for role in ("viewer", "operator", "engineer")},
}
FORGOT = Route("/api/forgot/{station}", say_hello, methods=["GET", "POST"])
FORGOTTEN = {("GET", FORGOT.path): "viewer", ("POST", FORGOT.path): "viewer"}


@pytest.fixture
def app(tmp_path: Path) -> Starlette:
    return make_app(make_people(tmp_path))


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[tuple[Starlette, int]]:
    app = make_app(make_people(tmp_path), FORGOT)
    with serving(app) as server:
        yield app, server.port


def test_every_route_is_listed_and_its_role_enforced(app: Starlette) -> None:
    check_table(app, TABLE)
    with serving(app) as server:
        check_roles(server.port, TABLE)


def test_a_new_route_without_a_role_is_found(forgetful: tuple[Starlette, int]) -> None:
    with pytest.raises(AssertionError, match="/api/forgot.*: give each new route a role"):
        check_table(forgetful[0], TABLE)
    with pytest.raises(AssertionError, match="/api/gone.*: these routes are gone"):
        check_table(forgetful[0], {**TABLE, **FORGOTTEN, ("GET", "/api/gone"): "viewer"})


@pytest.mark.parametrize(("method", "needed"), [("GET", "operator"), ("POST", "engineer"), ("GET", EVERYBODY)])
def test_a_route_whose_guard_is_not_as_listed_is_found(
    forgetful: tuple[Starlette, int], method: str, needed: str
) -> None:
    with pytest.raises(AssertionError, match="/api/forgot"):
        check_roles(forgetful[1], {**TABLE, (method, FORGOT.path): needed})


def test_a_route_that_forgot_its_guard_is_still_closed_to_strangers(forgetful: tuple[Starlette, int]) -> None:
    check_roles(forgetful[1], {**LOGIN, **FORGOTTEN})


def test_an_application_without_gate_is_a_bug() -> None:
    with pytest.raises(RuntimeError, match="gate.middleware"):
        require(Request({"type": "http", "method": "GET", "path": "/", "headers": []}))
