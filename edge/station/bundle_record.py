"""The record of which bundle a station judges by: remembered over restarts, with what was before."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from edge_inspect.edge.station.record import Record, RecordEntry


class BundlePlace(BaseModel):
    """A bundle, and where it lay when it was loaded."""

    model_config = ConfigDict(frozen=True)

    name: str
    digest: str
    path: Path


class BundleEntry(RecordEntry):
    """One line."""

    change: Literal["load", "roll back", "failed"] = Field(description="failed: rolled back by itself")
    bundles: tuple[BundlePlace, ...] = Field(min_length=1, description="that which judges, and those before it")
    configured: Path = Field(description="the station's `bundle` in the configuration; another one ends what is here")
    reason: str | None = None


class BundleRecord(Record[BundleEntry]):
    """See `Record`.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, BundleEntry)

    def last(self, station: str) -> BundleEntry | None:
        """Return a station's last entry, where it has one.

        Raises:
            OutboxError: the file is there and cannot be read.
        """
        found = self.entries(station)
        return found[-1] if found else None
