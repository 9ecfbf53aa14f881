"""The routes for teaching: what can be taught, the jobs, and starting one."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edge_inspect.edge.page.guard import require
from edge_inspect.edge.page.page import Page, page_of
from edge_inspect.edge.page.teaching import WHAT, CannotTeach


async def _show(request: Request) -> Response:
    require(request)
    page, station = page_of(request), request.query_params.get("station")
    if station is None:
        raise HTTPException(400, "station: give the station, as site/line/station")
    in_force = _in_force(page, station)
    teaching = page.teaching
    why_not = await asyncio.to_thread(teaching.why_not, station, in_force)
    return JSONResponse(
        {
            "possible": why_not is None,
            "why_not": why_not,
            "labelled": teaching.labelled(station),
            "jobs": [job.as_dict() for job in teaching.jobs(station)],
        }
    )


async def _start(request: Request) -> Response:
    person, page = require(request, "engineer"), page_of(request)
    try:
        fields = await request.json()
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or not isinstance(fields.get("station"), str) or fields.get("what") not in WHAT:
        raise HTTPException(400, 'send {"station": "site/line/station", "what": "threshold" or "memory"}')
    station, what = fields["station"], fields["what"]
    in_force = _in_force(page, station)
    digest = None if in_force is None else in_force["digest"]
    await asyncio.to_thread(page.audit.write, person.name, "teach", station=station, what=what, bundle=digest)
    try:
        job = await page.teaching.start(station, what, person.name, in_force)
    except CannotTeach as error:
        raise HTTPException(409, str(error)) from None
    return JSONResponse({"job": job.as_dict()})


def _in_force(page: Page, station: str) -> dict[str, str] | None:
    """Return name and digest of a station's bundle; 404 if the station is not shown."""
    view = page.line.station(station)
    if view is None:
        raise HTTPException(404, "this station is not known; it is shown when it publishes its status")
    return view.bundle


routes = [
    Route("/api/teaching", _show),
    Route("/api/teaching", _start, methods=["POST"]),
]
