"""The pictures of the shift report: those that the archive has stored of the shown parts, made small."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import cv2
import numpy as np
from sqlalchemy import Connection, select

from edge_inspect.edge.archive.picture_place import PicturePlace
from edge_inspect.edge.archive.tables import pictures
from edge_inspect.edge.contract.ids import UUID7_PATTERN
from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.page.drawing import CannotDraw, colour_map, to_jpeg
from edge_inspect.edge.page.pictures import LARGEST_BYTES, PictureKind

_WIDTH = 352
"""Largest width of a picture in pixels: twice that at which the page shows it, for the printer."""
_QUALITY = 85
_NO_PLACE = "the archive stores no pictures, because its configuration has no key 'pictures'"
_NOT_STORED = "the archive has stored none; stations publish them if their configuration has the key 'pictures'"


class ReportPictures(NamedTuple):
    """The pictures of parts.

    Attributes:
        of_parts: By the verdict's id: the picture as JPEG, and if there is a map, the picture with the map over it.
        why_not: Why other parts have none, as a part of a sentence.
    """

    of_parts: Mapping[str, Sequence[bytes]] = {}
    why_not: str = _NO_PLACE


def read_pictures(connection: Connection, place: str | None, parts: Sequence[Any]) -> ReportPictures:
    """Return the stored pictures of parts. The report is written without a picture that cannot be read.

    A joint part of several views has no picture of its own. It gets that of its first view that rejects it and has one.

    Args:
        connection: Connection to the database.
        place: Setting `pictures` of the archive.
        parts: Rows of the listing `parts`.

    """
    if place is None or not parts:
        return ReportPictures()
    try:
        opened = PicturePlace(place)
    except UsageError as error:
        return ReportPictures(why_not=str(error))
    found: dict[str, list[bytes]] = {}
    why_not = _NOT_STORED
    candidates = {part.id: _candidates(part) for part in parts}
    wanted = [identity for identities in candidates.values() for identity in identities]
    rows = connection.execute(select(pictures).where(pictures.c.id.in_(wanted)))
    names: dict[tuple[str, PictureKind], str] = {(row.id, row.kind): row.place for row in rows}
    for part, identities in candidates.items():
        identity = next((each for each in identities if (each, "picture") in names), None)
        if identity is None:
            continue
        try:
            found[part] = _draw(opened, names[identity, "picture"], names.get((identity, "map")))
        except (CannotDraw, FileNotFoundError) as error:
            why_not = f"{opened}/{names[identity, 'picture']}: {_reason(error)}"
        except Exception as error:  # a storage of fsspec may raise anything
            # It would very likely be the same with the next picture, and could take as long.
            return ReportPictures(found, f"{opened} cannot be read: {_reason(error)}")
    return ReportPictures(found, why_not)


def _candidates(part: Any) -> list[str]:
    """Return the ids under which there may be a picture of a part, the best first."""
    views = (part.more or {}).get("views") or []
    rejecting = [view.get("id") for view in views if isinstance(view, dict) and view.get("ok") is False]
    return [part.id, *(each for each in rejecting if isinstance(each, str) and re.fullmatch(UUID7_PATTERN, each))]


def _draw(place: PicturePlace, picture: str, map_: str | None) -> list[bytes]:
    small = to_jpeg(place.read(picture, LARGEST_BYTES["picture"]), _WIDTH)
    with suppress(CannotDraw, FileNotFoundError):
        if map_ is not None:
            return [small, _with_map(small, place.read(map_, LARGEST_BYTES["map"]))]
    return [small]


def _with_map(picture: bytes, levels: bytes) -> bytes:
    """Return a picture with the colours of a map over it, as JPEG."""
    drawn = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    if drawn is None:
        raise CannotDraw("the picture is damaged")
    colours = cv2.imdecode(np.frombuffer(colour_map(levels), np.uint8), cv2.IMREAD_UNCHANGED)
    colours = cv2.resize(colours, drawn.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    opacity = colours[..., 3:] / 255
    blended = (drawn * (1 - opacity) + colours[..., :3] * opacity).astype(np.uint8)
    return bytes(cv2.imencode(".jpg", blended, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1])


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
