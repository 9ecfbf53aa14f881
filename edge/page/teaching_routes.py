"""The routes for teaching: what can be taught, the jobs, and starting one."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edge_inspect.edge.page.guard import require
from edge_inspect.edge.page.page import page_of
from edge_inspect.edge.page.request_fields import known_station, read_object, station_key
from edge_inspect.edge.page.teaching import WHAT, CannotTeach


async def _show(request: Request) -> Response:
    require(request)
    teaching, station = page_of(request).teaching, station_key(request.query_params.get("station"))
    in_force = known_station(request, station).bundle
    why_not = await run_in_threadpool(teaching.why_not, station, in_force)
    return JSONResponse(
        {
            "possible": why_not is None,
            "why_not": why_not,
            "labelled": await run_in_threadpool(teaching.labelled, station),
            "jobs": [job.as_dict() for job in teaching.jobs(station)],
        }
    )


async def _start(request: Request) -> Response:
    person, page = require(request, "engineer"), page_of(request)
    fields = await read_object(request, '{"station": "site/line/station", "what": "threshold"}')
    station, what = station_key(fields.get("station")), fields.get("what")
    if what not in WHAT:
        raise HTTPException(400, f"what: send one of {', '.join(WHAT)}")
    known = known_station(request, station)
    in_force = known.bundle
    digest = None if in_force is None else in_force["digest"]
    await run_in_threadpool(page.audit.write, person.name, "teach", station=station, what=what, bundle=digest)
    try:
        job = await page.teaching.start(station, what, person.name, in_force, known.recipe)
    except CannotTeach as error:
        raise HTTPException(409, str(error)) from None
    return JSONResponse({"job": job.as_dict()})


routes = [
    Route("/api/teaching", _show),
    Route("/api/teaching", _start, methods=["POST"]),
]
