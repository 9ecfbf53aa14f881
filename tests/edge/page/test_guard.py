"""Roles: each may do what the one before may, and the check of all routes finds one that forgot its guard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from page_roles import EVERYBODY, LOGIN, check_roles, check_table
from page_server import make_app, make_people, say_hello, serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from edge_inspect.edge.page import app as page_app
from edge_inspect.edge.page.guard import require

TABLE = {
    **LOGIN,
    **{(method, f"/api/{role}"): role for method in ("GET", "POST") for role in ("viewer", "operator", "engineer")},
}
LIVE = {
    ("GET", "/"): EVERYBODY,
    ("GET", "/static/texts.json"): EVERYBODY,
    ("GET", "/static/"): EVERYBODY,
    ("GET", "/api/stations"): "viewer",
    ("GET", "/api/events"): "viewer",
    ("POST", "/api/stations/{site}/{line}/{station}/command"): "operator",
    ("GET", "/api/stations/{site}/{line}/{station}/bundles"): "viewer",
    ("GET", "/api/pictures/{site}/{line}/{station}/{id}"): "viewer",
    ("GET", "/api/maps/{site}/{line}/{station}/{id}"): "viewer",
}
REVIEW = {
    ("GET", "/api/review"): "viewer",
    ("GET", "/api/review/classes"): "viewer",
    ("GET", "/api/review/scores"): "viewer",
    ("GET", "/api/review/similar"): "viewer",
    ("POST", "/api/labels"): "operator",
    ("POST", "/api/labels/undo"): "operator",
    ("GET", "/api/labels/export"): "engineer",
}
TEACHING = {("GET", "/api/teaching"): "viewer", ("POST", "/api/teaching"): "engineer"}
PAGE = {**LOGIN, **LIVE, **REVIEW, **TEACHING}
"""Every route of the page, and the least role that it needs."""
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


def test_every_route_of_the_page_is_listed(tmp_path: Path) -> None:
    check_table(page_app.make_app(SimpleNamespace(people=make_people(tmp_path))), PAGE)


def test_every_route_of_the_page_enforces_its_role(start_page: Callable[..., Any]) -> None:
    check_roles(start_page().port, PAGE, display=True)


def test_commands_that_change_the_inspection_are_for_engineers(start_page: Callable[..., Any]) -> None:
    page = start_page()
    otto, emma = page.browser("otto"), page.browser("emma")
    for command in ("threshold", "shadow", "bundle", "resend"):
        path, body = "/api/stations/plant/line1/a/command", {"command": command}
        assert otto.post(path, body).status == 403
        assert emma.post(path, body).status not in (401, 403)


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
