"""What tests of stations share: a configuration of one or more, and the box they share."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from edge.configuration import trusted_keys
from edge.outbox import Outbox
from edge.settings import Settings
from edge.station.box import Box, open_box


def make_settings(folder: Path, bundle: Path, *, names: str = "a", **more: Any) -> Settings:
    """Stations of one bundle; keys of a station and of the whole file may be given."""
    keys = {"trigger", "precision", "policy", "camera", "queue"}
    station = {"camera": "folder:/x", "bundle": bundle, **{key: more.pop(key) for key in keys & more.keys()}}
    return Settings(
        site="plant",
        line="line1",
        stations=[{"name": name, **station} for name in names],
        outbox={"path": folder / "outbox.db"},
        bundles={"folder": folder, **more.pop("bundles", {})},
        **more,
    )


def make_box(settings: Settings, outbox: Outbox, ready: threading.Event | None = None) -> Box:
    return open_box(settings, "boot", outbox, ready or threading.Event(), trusted_keys(settings))
