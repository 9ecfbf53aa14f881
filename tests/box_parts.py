"""What tests of stations share: a configuration of one or more, the box they share, and the bundles of one in it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from mosquitto import free_port, wait_until

from edge_inspect.edge.configuration.file import trusted_keys
from edge_inspect.edge.configuration.settings import Settings
from edge_inspect.edge.contract.commands import Refused
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.replies import BundleChange
from edge_inspect.edge.outbox import Outbox
from edge_inspect.edge.station.box_resources import BoxResources, open_box_resources
from edge_inspect.edge.station.bundles import StationBundles
from edge_inspect.edge.station.change_records import RequestedBy
from edge_inspect.edge.station.station import Station


def make_settings(folder: Path, bundle: Path, *, names: str = "a", **more: Any) -> Settings:
    """Stations of one bundle; keys of a station and of the whole file may be given. The precisions are not timed."""
    keys = {"trigger", "precision", "policy", "camera", "queue", "pictures", "recipes", "recipe_memory_mb", "shadow"}
    station = {"camera": "folder:/x", "bundle": bundle, **{key: more.pop(key) for key in keys & more.keys()}}
    if "recipes" in station:
        del station["bundle"]
    return Settings(
        site="plant",
        line="line1",
        stations=[{"name": name, **station} for name in names],
        outbox={"path": folder / "outbox.db"},
        bundles={"folder": folder, **more.pop("bundles", {})},
        engine={"precision": "preferred", **more.pop("engine", {})},
        mqtt={"host": "127.0.0.1", "port": free_port(), **more.pop("mqtt", {})},
        **more,
    )


def make_box(settings: Settings, outbox: Outbox, ready: threading.Event | None = None) -> BoxResources:
    return open_box_resources(settings, "boot", outbox, ready or threading.Event(), trusted_keys(settings))


def inspect_next(station: Station) -> bool:
    """As the engine thread does with a frame that waits alone; returns whether there was one."""
    if (taken := station.inspector.take()) is None:
        return False
    station.inspector.inspect(taken)
    return True


class Line:
    """The bundles of a station, its box, and what it has said."""

    def __init__(self, bundles: Path, work: Path, outbox: Outbox, configured: str = "a", **more: Any) -> None:
        self.settings = make_settings(work, bundles / configured, bundles={"folder": bundles, **more})
        self.box = make_box(self.settings, outbox)
        self.problems: list[str] = []
        self.answers: list[tuple[Refused | None, BundleChange | None]] = []
        self.bundles = StationBundles(self.settings, self.settings.stations[0], self.box, self.problems.append)
        self._folder = bundles

    @property
    def name(self) -> str:
        return self.bundles.current.reference.name

    def ask(self, name: str | None) -> None:
        path = None if name is None else self._folder / name
        self.bundles.change(path, RequestedBy("hmi", uuid7()), lambda *answer: self.answers.append(answer))

    def change(self, name: str | None) -> str | None:
        """Change to a bundle, or back; returns why it was refused."""
        before = len(self.answers)
        self.ask(name)

        def answered() -> bool:
            self.bundles.take_next()
            return len(self.answers) > before

        wait_until(answered, 120)
        refused, change = self.answers[-1]
        assert (refused is None) == (change is not None)
        return str(refused) if refused else None
