"""The page's application on a socket of this machine, with people and a few routes to test the gate with."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from edge_inspect.edge.page import gate, login_routes
from edge_inspect.edge.page.audit import AuditLog
from edge_inspect.edge.page.guard import EXCEPTION_HANDLERS, require
from edge_inspect.edge.page.passwords import PasswordHash
from edge_inspect.edge.page.people import People
from edge_inspect.edge.page.roles import Role
from edge_inspect.edge.page.users import User, write_users

PASSWORDS = {"vera": "a viewer's password", "otto": "an operator's password", "emma": "an engineer's password"}
"""The password of each user."""

ROLES: dict[str, Role] = {"vera": "viewer", "otto": "operator", "emma": "engineer"}
"""The role of each user."""

# Cheaper than the program makes them, because tests check many.
_HASHES = {name: PasswordHash.of(password, log_n=8) for name, password in PASSWORDS.items()}


def write_everybody(path: Path, *names: str) -> Path:
    """Write a file with these users, or with all."""
    write_users(path, [User(name, ROLES[name], _HASHES[name]) for name in names or PASSWORDS])
    return path


def make_people(folder: Path, **options: Any) -> People:
    """People whose files are in a folder; the users are written unless they are there."""
    users = folder / "users.yaml"
    if not users.exists():
        write_everybody(users)
    return People(users, folder, AuditLog(folder / "audit.jsonl"), **options)


def make_app(people: People, *more: BaseRoute, **options: float) -> Starlette:
    """An application with the login's routes and one for each role; the options are the gate's."""
    routes: list[BaseRoute] = [*login_routes.routes, *more]
    for role in ROLES.values():
        routes.append(Route(f"/api/{role}", _route(role), methods=["GET", "POST"]))
    app = Starlette(routes=routes, middleware=gate.middleware(people, **options), exception_handlers=EXCEPTION_HANDLERS)
    app.state.page = SimpleNamespace(people=people, audit=people.audit)
    return app


def static(folder: Path) -> Mount:
    """A route that serves a folder."""
    return Mount("/static", StaticFiles(directory=folder))


def _route(role: Role) -> Any:
    async def answer(request: Request) -> Response:
        person = require(request, role)
        sent = json.loads(await request.body() or b"null")
        return JSONResponse({"name": person.name, "role": person.role, "sent": sent})

    return answer


async def fail(_request: Request) -> Response:
    """A route with a bug."""
    raise RuntimeError("a bug with secret details")


async def say_hello(_request: Request) -> Response:
    """A route that forgot its guard."""
    return PlainTextResponse("hello")


class Server:
    """uvicorn in a thread, on a free port; ends with its block."""

    def __init__(self, config: uvicorn.Config) -> None:
        self._server = uvicorn.Server(config)
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            self._server.run(sockets=[self._socket])

    def __enter__(self) -> Server:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the server did not start"
            self._thread.join(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()
        self._socket.close()


@contextlib.contextmanager
def serving(app: Starlette, **options: Any) -> Iterator[Server]:
    """Yield the application's server."""
    config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none", proxy_headers=False, **options)
    with Server(config) as server:
        yield server
