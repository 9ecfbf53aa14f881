"""The routes of the review: stored parts, labels, scores for the slider, similar parts, export."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from edge_inspect.edge.contract.ids import UUID7_PATTERN_READ
from edge_inspect.edge.contract.messages import Word
from edge_inspect.edge.errors import LabelError
from edge_inspect.edge.labels.export import folder_names
from edge_inspect.edge.labels.label import Label, PartKey
from edge_inspect.edge.page.guard import require
from edge_inspect.edge.page.page import page_of
from edge_inspect.edge.page.part_filter import PartFilter
from edge_inspect.edge.page.request_fields import read_object, station_key
from edge_inspect.edge.page.review import TooManySearches, UnknownPart, WrongLabel
from edge_inspect.edge.text import clean

_WORDS = (*get_args(Word), None)
_LABEL = '{"station": KEY, "id": ID, "word": "good"}'
_MOST_SIMILAR = 24
_LATER = {"Retry-After": "5"}


async def _parts(request: Request) -> Response:
    require(request)
    wanted = _filter(request.query_params)
    return JSONResponse(await run_in_threadpool(page_of(request).review.matching, wanted))


async def _classes(request: Request) -> Response:
    require(request)
    return JSONResponse({"classes": await run_in_threadpool(page_of(request).review.classes)})


async def _label(request: Request) -> Response:
    person, fields = require(request, "operator"), await read_object(request, _LABEL)
    key, word, kind = _key(fields.get("station"), fields.get("id")), fields.get("word", ""), fields.get("class")
    if word not in _WORDS:
        raise HTTPException(400, "word: send good, defect, unsure, or null to withdraw a label")
    if not isinstance(kind, str | None):
        raise HTTPException(400, "class: send text, or leave it out")
    review = page_of(request).review
    try:
        await run_in_threadpool(review.say, person.name, key, word, kind)
    except UnknownPart as error:
        raise HTTPException(404, str(error)) from None
    except WrongLabel as error:
        raise HTTPException(400, str(error)) from None
    except LabelError as error:
        raise HTTPException(507, str(error)) from None
    return JSONResponse({"label": _tell(request, key)})


async def _undo(request: Request) -> Response:
    person = require(request, "operator")
    try:
        entry: Label | None = await run_in_threadpool(page_of(request).review.undo, person.name)
    except LabelError as error:
        raise HTTPException(507, str(error)) from None
    if entry is None:
        raise HTTPException(409, f"{person.name} has said nothing that could be undone")
    label = _tell(request, entry.key)
    return JSONResponse({"station": entry.key.station, "id": entry.key.id, "label": label})


async def _scores(request: Request) -> Response:
    require(request)
    key = station_key(request.query_params.get("station"))
    page = page_of(request)
    station = page.line.station(key)
    in_force = None if station is None or station.bundle is None else station.bundle["digest"]
    found = await run_in_threadpool(page.review.scores, key, in_force)
    threshold = station.threshold if station is not None and station.threshold is not None else found.threshold
    return JSONResponse({"threshold": threshold, "parts": [list(part) for part in found.parts]})


async def _similar(request: Request) -> Response:
    require(request)
    key = _key(request.query_params.get("station"), request.query_params.get("id"))
    try:
        found = await run_in_threadpool(page_of(request).review.similar, key, _MOST_SIMILAR)
    except UnknownPart as error:
        raise HTTPException(404, str(error)) from None
    except TooManySearches:
        raise HTTPException(503, "others are searching for similar parts; try again in 5 s", _LATER) from None
    return JSONResponse(found)


async def _export(request: Request) -> Response:
    person = require(request, "engineer")
    given = request.query_params.get("station")
    station = station_key(given) if given else None
    try:
        pieces = await run_in_threadpool(page_of(request).review.export, person.name, station)
    except LabelError as error:
        raise HTTPException(404, str(error)) from None
    name = "labels" if station is None else f"labels-{folder_names([station])[station]}"
    ascii_name = re.sub(r"[^A-Za-z0-9.~-]", "_", name)
    headers = {"Content-Disposition": f'attachment; filename="{ascii_name}.zip"'}
    return StreamingResponse(pieces, media_type="application/zip", headers=headers)


def _tell(request: Request, key: PartKey) -> dict[str, str | None] | None:
    """Let all browsers know what is said about a part now; return it."""
    page = page_of(request)
    label = page.review.word(key)
    page.line.refresh_part(key.station, key.id)
    page.events.send("label", {"station": key.station, "id": key.id, "label": label})
    return label


def _filter(given: Mapping[str, str]) -> PartFilter:
    fields = {name: value for name, value in given.items() if value != ""}
    # A browser may send a plus sign of a time zone as it is, and it arrives as a space.
    fields |= {name: fields[name].replace(" ", "+") for name in ("since", "until") if name in fields}
    if "station" in fields:
        fields["station"] = station_key(fields["station"])
    try:
        return PartFilter.model_validate(fields)
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        name = clean(".".join(map(str, first["loc"])) or "filter")[:80]
        raise HTTPException(400, f"{name}: {clean(first['msg'].removeprefix('Value error, '))}") from None


def _key(station: Any, identity: Any) -> PartKey:
    """Return the identity of a part; 400 if it is none."""
    if not isinstance(identity, str) or not re.fullmatch(UUID7_PATTERN_READ, identity):
        raise HTTPException(400, "id: send the id of a verdict")
    return PartKey(station_key(station), identity.lower())


routes = [
    Route("/api/review", _parts),
    Route("/api/review/classes", _classes),
    Route("/api/review/scores", _scores),
    Route("/api/review/similar", _similar),
    Route("/api/labels", _label, methods=["POST"]),
    Route("/api/labels/undo", _undo, methods=["POST"]),
    Route("/api/labels/export", _export),
]
