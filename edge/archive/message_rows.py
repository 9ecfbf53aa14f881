"""What a message becomes: rows of tables. The numbers of station and bundle are filled in when they are written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from edge_inspect.edge.archive.received_messages import (
    ArchivedCommand,
    ArchivedLabel,
    ArchivedMessage,
    ArchivedPart,
    ArchivedReply,
    ArchivedStatus,
)

BundleKey = tuple[str, str]
"""Name and digest of a bundle."""
NOT_STORED = ("resend", "report")
"""Commands that change nothing; programs send them often."""
_OF_EVERY_REPLY = {"contract", "boot_id", "sequence"}


class Row(NamedTuple):
    """A row to insert, if there is none with its key.

    Attributes:
        table: Name of the table.
        values: Its values by column, without the numbers of station and bundle.
        bundle: Bundle whose number belongs into the column `bundle_id`; `None` if the table has no such column.
    """

    table: str
    values: dict[str, Any]
    bundle: BundleKey | None = None


def rows_of(message: ArchivedMessage) -> Iterator[Row]:
    """Yield the rows that a message becomes; none for a message that is not stored."""
    if isinstance(message, ArchivedPart):
        yield from _of_part(message)
    elif isinstance(message, ArchivedStatus):
        if message.state is not None:
            fields = ("id", "at", "state", "reason", "version")
            yield Row("states", {name: getattr(message, name) for name in fields})
    elif isinstance(message, ArchivedLabel):
        fields = ("id", "at", "word", "defect_class", "picture_sha256")
        values = {name: getattr(message, name) for name in fields}
        yield Row("labels", {**values, "verdict_id": message.verdict.id, "by_whom": message.by})
    elif isinstance(message, ArchivedCommand):
        if message.command not in NOT_STORED:
            values = {"id": message.id.lower(), "command": message.command, "by_whom": message.by}
            yield Row("commands", {**values, "fields": _more(message)})
    elif message.command not in NOT_STORED:
        yield _of_reply(message)


def _of_part(part: ArchivedPart) -> Iterator[Row]:
    """Yield the verdict, also of a defect: it may come without its verdict, or before it."""
    values = {
        "id": part.id,
        "sequence": part.sequence,
        "boot_id": part.boot_id,
        "part_id": part.part_id,
        "captured_at": part.captured_at,
        "decided_at": part.decided_at,
        "ok": part.ok,
        "shadow": part.shadow,
        "score": part.score,
        "threshold": part.threshold,
        "recipe": part.recipe,
        "precision": part.precision,
        "engine": part.engine,
        "latency_ms": part.latency_ms,
        "frame_width": part.frame.width,
        "frame_height": part.frame.height,
        "area_name": part.area_name,
        "reason": part.reason,
        "not_found": part.not_found,
        "more": part.more,
    }
    yield Row("verdicts", values, (part.bundle.name, part.bundle.digest))
    if part.regions is None:
        return
    yield Row("defects", {"id": part.id, "region_count": part.all_regions, "thumbnail": part.thumbnail})
    for number, region in enumerate(part.regions):
        x, y, width, height = region.bbox
        yield Row(
            "regions",
            {
                "id": part.id,
                "number": number,
                "decided_at": part.decided_at,
                "x": x,
                "y": y,
                "width": width,
                "height": height,
                "area_px": region.area_px,
                "area_mm2": region.area_mm2,
                "peak": region.peak,
                "across": region.centroid[0] / part.frame.width,
                "down": region.centroid[1] / part.frame.height,
                "area_name": region.area_name,
            },
        )


def _of_reply(reply: ArchivedReply) -> Row:
    fields = ("id", "command", "at", "done", "refusal", "reason")
    values = {name: getattr(reply, name) for name in fields}
    answered = reply.command_id.lower() if reply.command_id is not None else None
    return Row("replies", {**values, "command_id": answered, "fields": _more(reply)})


def _more(message: ArchivedCommand | ArchivedReply) -> dict[str, Any] | None:
    extra = message.model_extra or {}
    return {name: extra[name] for name in extra if name not in _OF_EVERY_REPLY and extra[name] is not None} or None
