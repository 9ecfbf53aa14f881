"""What browsers send in a request: a JSON object, and the station that it is about."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from edge_inspect.edge.contract.topics import check_level
from edge_inspect.edge.page.page import page_of
from edge_inspect.edge.page.station_view import StationView
from edge_inspect.edge.text import clean


async def read_object(request: Request, example: str) -> dict[str, Any]:
    """Return the JSON object that is the body of a request.

    Args:
        request: The request.
        example: An object that the route understands, for the message.

    Raises:
        HTTPException: 400: the body is something else.
    """
    try:
        fields = await request.json()
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise HTTPException(400, f"send a JSON object such as {example}")
    return fields


def station_key(text: Any) -> str:
    """Return the key of a station if it can be one, whether or not the station is known.

    Raises:
        HTTPException: 400: it is no key.
    """
    levels = text.split("/") if isinstance(text, str) else []
    try:
        if len(levels) != 3:
            raise ValueError("station: send site/line/station")
        for level in levels:
            check_level("station", level)
    except ValueError as problem:
        raise HTTPException(400, clean(str(problem))) from None
    return "/".join(levels)


def known_station(request: Request, key: str) -> StationView:
    """Return what the page knows of a station.

    Raises:
        HTTPException: 404: it has not published its status since the page was started.
    """
    station = page_of(request).line.station(key)
    if station is None:
        raise HTTPException(404, "this station is not known; it is shown when it publishes its status")
    return station
