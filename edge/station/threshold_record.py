"""The record of thresholds set by commands."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from edge_inspect.edge.station.record import Record, RecordEntry


class ThresholdEntry(RecordEntry):
    """One line."""

    bundle: str = Field(description="the bundle's digest")
    before: float
    value: float | None = Field(description="null: the bundle's own again")


class ThresholdRecord(Record[ThresholdEntry]):
    """See `Record`.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, ThresholdEntry)

    def last(self, station: str, bundle: str) -> float | None:
        """Return the threshold set last for a station under a bundle; `None` where it is the bundle's own.

        Raises:
            OutboxError: the file is there and cannot be read.
        """
        return next((entry.value for entry in reversed(self.entries(station)) if entry.bundle == bundle), None)
