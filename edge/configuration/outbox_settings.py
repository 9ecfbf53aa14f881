"""The section `outbox` of a configuration: the file in which messages wait for the broker."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from edge_inspect.edge.configuration.section import Section
from edge_inspect.edge.outbox import WhenFull

MOST_BYTES = 2**50
"""Largest size that a setting may ask for, in bytes."""


class OutboxSettings(Section):
    """The outbox: the file in which messages wait for the broker. The settings are the arguments of `SqliteOutbox`."""

    path: Path = Field(
        default=Path("/var/lib/edge-inspect/outbox.db"), description="SQLite file of the outbox; its folder must exist"
    )
    durability: Literal["normal", "full"] = Field(
        default="normal",
        description="normal: a crash of the process loses nothing, a power cut may lose the last verdicts; full: a "
        "power cut loses nothing either, but each verdict is sent some milliseconds later, once it is on the disk",
    )
    max_bytes: int = Field(
        default=256 * 2**20,
        ge=2**16,
        le=MOST_BYTES,
        description="largest total size of the waiting messages, in bytes; when_full says what is dropped beyond it",
    )
    max_age_s: float = Field(
        default=7 * 86400.0,
        ge=60,
        le=1e9,
        description="messages that have waited longer than this many seconds are dropped at the next verdict; only "
        "time in which the service runs counts, and setting the clock has no effect",
    )
    when_full: WhenFull = Field(
        default="drop_oldest",
        description="what is dropped when max_bytes is reached; drop_oldest: the oldest verdicts, then the oldest "
        "defects; drop_newest: the newest verdicts, then the newest defects",
    )
    history_bytes: int = Field(
        default=64 * 2**20,
        ge=0,
        le=MOST_BYTES,
        description="how many bytes of delivered messages are kept for the command resend; 0: none are kept",
    )
