from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge_inspect.edge.bundle.signature import PublicKey
from edge_inspect.edge.bundle.store import BundleStore
from edge_inspect.edge.clock import ClockWatch
from edge_inspect.edge.configuration.settings import Settings
from edge_inspect.edge.engines.choice_file import CHOICES, ChoiceFile
from edge_inspect.edge.evidence.writer import EvidenceWriter
from edge_inspect.edge.health.machine import Machine
from edge_inspect.edge.mqtt.credentials import client_tls_context
from edge_inspect.edge.outbox import Outbox
from edge_inspect.edge.station.change_records import BundleRecord, RecipeRecord, ThresholdRecord
from edge_inspect.edge.station.command_admission import CommandMemory
from edge_inspect.edge.station.loaded_bundle import SharedEngines


@dataclass(frozen=True)
class BoxResources:
    """The objects that all stations of a box share.

    Attributes:
        boot_id: The kernel's id of this boot of the box.
        outbox: Outbox in which messages wait for the sink.
        ready: Event that wakes the engine thread when a frame or a new bundle waits for it.
        trusted: Public keys, with one of which every bundle must be signed; if empty, bundles need no signature.
        engines: One engine for each bundle and precision.
        thresholds: Record of the thresholds that commands have set.
        bundles: Record of the bundles that commands have loaded.
        recipes: Record of the recipes that commands have put in force.
        store: The bundles on the disk of the box, and the web servers that further ones are fetched from.
        machine: Temperature, throttling and disk of the box.
        clock: Notices when the box's clock is set.
        state: Beginning of the paths of all files in which stations keep their state.
        evidence: Saves frames as evidence; `None` if that is not configured.
    """

    boot_id: str
    outbox: Outbox
    ready: threading.Event
    trusted: Sequence[PublicKey]
    engines: SharedEngines
    thresholds: ThresholdRecord
    bundles: BundleRecord
    recipes: RecipeRecord
    store: BundleStore
    machine: Machine
    clock: ClockWatch
    state: Path
    evidence: EvidenceWriter | None = None

    def command_memory(self, station: str) -> CommandMemory:
        """Open the file of the command ids that a station has accepted."""
        return CommandMemory(self.state.with_name(f"{self.state.name}.commands-{station}.txt"))

    def shadow_file(self, station: str, recipe: str | None = None) -> Path:
        """Return the file into which a station writes its scores in shadow; each of its recipes has its own."""
        name = station if recipe is None else f"{station}--{recipe}"
        return self.state.with_name(f"{self.state.name}.shadow-{name}.jsonl")


def open_box_resources(
    settings: Settings, boot_id: str, outbox: Outbox, ready: threading.Event, trusted: Sequence[PublicKey]
) -> BoxResources:
    """Open the shared objects as the configuration says. All files except evidence lie beside the outbox."""
    beside = settings.outbox.path
    engine = settings.engine
    if engine.cache is None:
        engine = engine.model_copy(update={"cache": beside.with_name("engines")})
    record = BundleRecord(beside.with_suffix(".bundles.jsonl"))
    ca_file = settings.bundles.pull.ca_file if settings.bundles.pull is not None else None
    return BoxResources(
        boot_id,
        outbox,
        ready,
        trusted,
        SharedEngines(engine, ChoiceFile(beside.with_suffix(CHOICES))),
        ThresholdRecord(beside.with_suffix(".thresholds.jsonl")),
        record,
        RecipeRecord(beside.with_suffix(".recipes.jsonl")),
        BundleStore(
            settings.bundles,
            trusted,
            partial(client_tls_context, "bundles.pull.ca_file", ca_file),
            partial(_bundles_in_use, settings, record),
        ),
        Machine(beside.parent, settings.outbox.max_bytes + settings.outbox.history_bytes),
        ClockWatch(),
        beside.with_suffix(""),
        EvidenceWriter(settings.evidence, settings.site, settings.line) if settings.evidence else None,
    )


def _bundles_in_use(settings: Settings, record: BundleRecord) -> set[Path]:
    """Return the paths of the bundles of all stations: in force, the one before it, and the configured one.

    Raises:
        OutboxError: The record cannot be read.
    """
    found = {path.absolute() for station in settings.stations for path in station.bundles}
    for station in settings.stations:
        recipes: list[str | None] = [each.name for each in station.recipes]
        for recipe in recipes or [None]:
            if (last := record.last(station.name, recipe)) is not None:
                found |= {last.configured, *(place.path for place in last.bundles[:2])}
    return found
