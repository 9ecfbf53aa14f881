"""The routes of the live view: stations, events, pictures, and commands to stations."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edge_inspect.edge.contract.commands import VERBS, Refused
from edge_inspect.edge.contract.ids import UUID7_PATTERN_READ
from edge_inspect.edge.errors import CheckFailed
from edge_inspect.edge.labels.label import PartKey
from edge_inspect.edge.page.command_sender import TooManyCommands
from edge_inspect.edge.page.drawing import CannotDraw, colour_map, rounded_width, to_jpeg
from edge_inspect.edge.page.event_stream import TooManyStreams
from edge_inspect.edge.page.guard import require
from edge_inspect.edge.page.page import page_of
from edge_inspect.edge.page.pictures import PictureKind, PictureName
from edge_inspect.edge.page.request_fields import known_station, read_object

_OF_OPERATORS = ("pause", "resume", "trigger", "snapshot", "recipe")
"""Commands that operators may send; the others are for engineers."""
_STATION = "{site}/{line}/{station}"
# A picture never changes, and its address contains the id of its part.
_CACHED = {"Cache-Control": "private, max-age=86400, immutable"}


def _key(request: Request) -> str:
    """Return the key of the station in the path."""
    return "/".join(request.path_params[name] for name in ("site", "line", "station"))


async def _stations(request: Request) -> Response:
    require(request)
    return Response(page_of(request).line.snapshot(), media_type="application/json")


async def _events(request: Request) -> Response:
    require(request)
    try:
        return page_of(request).events.response()
    except TooManyStreams:
        raise HTTPException(
            503, "too many browsers show the page at once; close some of them", {"Retry-After": "10"}
        ) from None


async def _command(request: Request) -> Response:
    require(request, "operator")
    fields = await read_object(request, '{"command": "pause"}')
    verb = fields.get("command")
    if verb not in VERBS:
        raise HTTPException(400, f"command: send one of {', '.join(VERBS)}")
    person = require(request, "operator" if verb in _OF_OPERATORS else "engineer")
    key, page = known_station(request, _key(request)).key, page_of(request)
    try:
        command = page.commands.make(fields, person.name)
    except Refused as error:
        raise HTTPException(400, str(error)) from None
    await _record(request, "command", key, **command.model_dump(mode="json", exclude={"contract", "by"}))
    try:
        reply = await page.commands.send(key, command)
    except (TooManyCommands, CheckFailed) as error:
        await _record(request, "reply", key, command=verb, id=command.id, result=str(error))
        raise HTTPException(504 if isinstance(error, CheckFailed) else 503, str(error)) from None
    result = "done" if reply.done else f"{reply.refusal}: {reply.reason}"
    await _record(request, "reply", key, command=verb, id=command.id, result=result)
    return JSONResponse({"reply": reply.model_dump(mode="json")})


async def _record(request: Request, action: str, key: str, **details: Any) -> None:
    """Write what a person does, or what came of it, into the audit log.

    Raises:
        AuditError: The log cannot be written.
    """
    page, person = page_of(request), require(request)
    await run_in_threadpool(page.audit.write, person.name, action, station=key, **details)


async def _bundles(request: Request) -> Response:
    require(request)
    in_force = known_station(request, _key(request)).bundle
    listed = await run_in_threadpool(page_of(request).bundles.bundles)
    digest = in_force["digest"] if in_force else None
    return JSONResponse({"bundles": [{**bundle, "in_use": bundle["digest"] == digest} for bundle in listed]})


async def _picture(request: Request) -> Response:
    name, read = _find(request, "picture")
    try:
        wanted = int(request.query_params.get("width", "0"))
    except ValueError:
        raise HTTPException(400, "width: give a number of pixels, such as 640") from None
    width = rounded_width(wanted) if wanted > 0 else None
    drawn = await _drawn(request, (*name, width), lambda: to_jpeg(read(), width))
    return Response(drawn, media_type="image/jpeg", headers=_CACHED)


async def _map(request: Request) -> Response:
    name, read = _find(request, "map")
    drawn = await _drawn(request, (*name, "colours"), lambda: colour_map(read()))
    return Response(drawn, media_type="image/png", headers=_CACHED)


def _find(request: Request, kind: PictureKind) -> tuple[PictureName, Callable[[], bytes]]:
    """Return the name of the picture or map in a path, and what reads it, from memory or else from the disk.

    Stations that the page has not heard of since its start are found too, because their parts may be on the disk.
    """
    require(request)
    key = _key(request)
    identity, parts = request.path_params["id"].lower(), page_of(request).parts
    name, gone = PictureName(key, identity, kind), f"there is no {kind} of this part any more, or nobody has sent one"
    if not re.fullmatch(UUID7_PATTERN_READ, identity):
        raise HTTPException(404, gone)
    received = page_of(request).line.pictures.get(name)

    def read() -> bytes:
        found = received
        if found is None:
            of = PartKey(key, identity)
            found = parts.picture(of) if kind == "picture" else parts.map(of)
        if found is None:
            raise CannotDraw(gone)
        return found

    return name, read


async def _drawn(request: Request, name: tuple[object, ...], draw: Callable[[], bytes]) -> bytes:
    """Return what `draw` makes; browsers that ask for the same at the same time wait for one drawing."""
    try:
        return await page_of(request).drawings.get(name, draw)
    except CannotDraw as error:
        raise HTTPException(404, str(error)) from None


routes = [
    Route("/api/stations", _stations),
    Route("/api/events", _events),
    Route(f"/api/stations/{_STATION}/command", _command, methods=["POST"]),
    Route(f"/api/stations/{_STATION}/bundles", _bundles),
    Route(f"/api/pictures/{_STATION}/{{id}}", _picture),
    Route(f"/api/maps/{_STATION}/{{id}}", _map),
]
