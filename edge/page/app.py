"""The HTTP application of the page."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from edge_inspect.edge.page import gate, live_routes, login_routes, review_routes, teaching_routes
from edge_inspect.edge.page.guard import EXCEPTION_HANDLERS
from edge_inspect.edge.page.page import Page, page_of
from edge_inspect.edge.page.texts import served_texts

STATIC = Path(__file__).parent / "static"
"""Folder of the files that browsers load."""


def make_app(page: Page) -> Starlette:
    """Return the application.

    Args:
        page: The services that its routes use.
    """
    routes: list[BaseRoute] = [
        Route("/", _index),
        Route("/static/texts.json", _texts),
        Mount("/static", _StaticFiles(directory=STATIC, check_dir=False)),
        *login_routes.routes,
        *live_routes.routes,
        *review_routes.routes,
        *teaching_routes.routes,
    ]
    app = Starlette(routes=routes, middleware=gate.middleware(page.people), exception_handlers=EXCEPTION_HANDLERS)
    app.state.page = page
    return app


class _StaticFiles(StaticFiles):
    """Static files that browsers ask for again at every start, so that an update of the page reaches them."""

    def file_response(self, *arguments: object, **more: object) -> Response:
        response = super().file_response(*arguments, **more)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"
        return response


async def _index(request: Request) -> Response:
    return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})


async def _texts(request: Request) -> Response:
    texts = await run_in_threadpool(served_texts, page_of(request).settings.texts)
    return JSONResponse(texts, headers={"Cache-Control": "no-cache"})
