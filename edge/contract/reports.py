"""The pages of a station's reports: lines of its log, and rows of its index of evidence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, Field

from edge_inspect.edge.contract.fields import ContractModel, Count, FreeText, Time, Uuid7

Kind = Literal["log", "evidence"]
Cursor = Annotated[str, Field(min_length=1, max_length=128)]
LONGEST_LINE = 1000
"""Largest number of characters of a line of the log; a longer line is cut."""
MOST_ROWS = 200
"""Largest number of lines or rows of a page."""
MOST_BYTES = 60_000
"""Largest size of the lines or rows of a page as JSON, in bytes. The whole reply stays below 64 kB."""


class LogLine(ContractModel):
    """A line of the service's log."""

    number: Annotated[int, Field(ge=1)] = Field(description="number of the line since the start of the service")
    at: Time = Field(description="time of the line")
    text: FreeText = Field(
        max_length=LONGEST_LINE + 1, description="level, module and message; control characters are escaped"
    )


class EvidenceRow(ContractModel):
    """A part that is stored as evidence."""

    id: Uuid7 = Field(description="id of the part's verdict")
    at: Time = Field(description="time of the verdict")
    ok: bool = Field(description="whether the part was accepted")
    score: float
    files: tuple[Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}/[^\x00-\x1f\x7f]+$", max_length=1024)], ...] = Field(
        max_length=8, description="paths of the part's files below `evidence.folder`: picture, map and verdict"
    )


class LogPage(ContractModel):
    """A page of the service's log, which all stations of the box share. The oldest line comes first."""

    lines: tuple[LogLine, ...] = Field(max_length=MOST_ROWS)
    skipped: Count | None = Field(
        description="number of lines that were dropped between `after` and the first line; null: the service was "
        "started again since, so the number is unknown"
    )
    next: Cursor | None = Field(description="`after` of the next page; null: no newer line exists")


class EvidencePage(ContractModel):
    """A page of the station's index of evidence. The oldest part comes first. Damaged files are left out."""

    parts: tuple[EvidenceRow, ...] = Field(max_length=MOST_ROWS)
    next: Cursor | None = Field(description="`after` of the next page; null: no newer part is stored")


Row = TypeVar("Row", bound=BaseModel)


def fill_page(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Return as many of the first rows as a page may have: at least one, if there is any."""
    page: list[Row] = []
    size = 0
    for row in rows:
        size += len(row.model_dump_json().encode()) + 1
        if page and (len(page) == MOST_ROWS or size > MOST_BYTES):
            break
        page.append(row)
    return tuple(page)
