"""The contact sheet of evidence: rejected and borderline parts, newest first, each beside its anomaly map."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from edge_inspect.edge.decision import Decision
from edge_inspect.edge.errors import ImageError, UsageError
from edge_inspect.edge.evidence.saved_part import SavedPart, find_picture, read_map
from edge_inspect.edge.frame.images import Frame, read_image, write_image
from edge_inspect.edge.inspection import draw_overlay
from edge_inspect.edge.overlay import contact_sheet, scaled
from edge_inspect.edge.text import clean

Only = Literal["rejects", "borderline"]

_HEIGHT = 180
_COLUMNS = 3
_ROWS = 300  # a JPEG has at most 65535 lines


class PartOnDisk(NamedTuple):
    """A saved part, with the paths of its folder and its picture."""

    folder: Path
    saved: SavedPart
    picture: Path


def review(folder: Path, sheet: Path, newest: int, only: Only | None = None) -> list[dict[str, Any]]:
    """Write the contact sheet of the newest parts; return a description of each, in the order of the sheet.

    Args:
        folder: Folder of the evidence.
        sheet: Picture file to write.
        newest: Largest number of parts.
        only: Show only rejects, or only parts with a score near the threshold; `None` shows both.

    Raises:
        UsageError: The folder holds no such evidence.
        ImageError: The sheet cannot be written.
    """
    rows: list[tuple[str, list[Frame]]] = []
    listed: list[dict[str, Any]] = []
    for found in _newest(folder, only):
        if len(rows) == newest:
            break
        try:
            pictures = _draw(found)
        except ImageError:  # a power cut damaged the picture, or it was moved away meanwhile
            continue
        rows.append((f"#{len(rows) + 1} {_caption(found.saved)}", pictures))
        listed.append(_describe(found))
    if not rows:
        what = f"holds no {only or 'evidence'}" if folder.is_dir() else "no such folder"
        raise UsageError(f"{clean(folder)}: {what}; give the folder of evidence.folder in the configuration")
    columns = max(min(_COLUMNS, len(rows)), -(-len(rows) // _ROWS))
    write_image(sheet, contact_sheet(rows, _HEIGHT, columns))
    return listed


def _newest(folder: Path, only: Only | None) -> Iterator[PartOnDisk]:
    files = sorted(folder.glob("*/*/verdicts/*.json"), key=lambda file: file.stem, reverse=True)
    for file in files:
        try:
            saved = SavedPart.model_validate_json(file.read_bytes())
        except (OSError, ValidationError):  # deleted meanwhile, or not a file of this program
            continue
        if (only == "rejects" and not saved.verdict.is_rejected) or (only == "borderline" and not saved.borderline):
            continue
        picture = find_picture(file.parents[1], saved.verdict.id)
        if picture is not None:
            yield PartOnDisk(file.parents[1], saved, picture)


def _draw(found: PartOnDisk) -> list[Frame]:
    """Return the frame, and the frame with its map if the map exists."""
    frame, verdict = read_image(found.picture), found.saved.verdict
    anomaly = read_map(found.folder, found.saved)
    if anomaly is None:
        return [scaled(frame, _HEIGHT)]
    accepted = not verdict.is_rejected
    decision = Decision(accepted, verdict.score, verdict.threshold, found.saved.regions, verdict.not_found)
    return [scaled(frame, _HEIGHT), scaled(draw_overlay(frame, anomaly, decision), _HEIGHT)]


def _caption(saved: SavedPart) -> str:
    verdict = saved.verdict
    word, sign = ("REJECT", ">") if verdict.is_rejected else ("accept", "<=")
    if verdict.shadow:
        word = "shadow"
    figures = verdict.not_found or f"{verdict.score:.3f} {sign} {verdict.threshold:.3f}"
    return f"{word} {figures}  {verdict.decided_at:%m-%d %H:%M:%S} {saved.station} {verdict.part_id or ''}"


def _describe(found: PartOnDisk) -> dict[str, Any]:
    verdict = found.saved.verdict
    return {
        "path": clean(found.picture),
        "ok": not verdict.is_rejected,
        "borderline": found.saved.borderline,
        "score": round(verdict.score, 6),
        "not_found": verdict.not_found,
        "threshold": round(verdict.threshold, 6),
        "station": found.saved.station,
        "part_id": verdict.part_id,
        "bundle": verdict.bundle.name,
    }
