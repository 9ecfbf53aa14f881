from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_inspect.edge.bundle.signature import PublicKey
from edge_inspect.edge.clock import ClockWatch
from edge_inspect.edge.configuration.settings import Settings
from edge_inspect.edge.evidence.writer import EvidenceWriter
from edge_inspect.edge.health.machine import Machine
from edge_inspect.edge.outbox import Outbox
from edge_inspect.edge.station.change_records import BundleRecord, ThresholdRecord
from edge_inspect.edge.station.command_admission import CommandMemory
from edge_inspect.edge.station.loaded_bundle import SharedEngines


@dataclass(frozen=True)
class BoxResources:
    """What the stations of a box share.

    Attributes:
        boot_id: The kernel's id of this boot of the box.
        outbox: Where messages wait for the sink.
        ready: Set to wake the engine thread, when a frame or a new bundle waits for it.
        trusted: Bundles must be signed with one of these keys; without any, no signature is asked for.
        engines: One engine for each bundle and precision.
        thresholds: The record of the thresholds that commands have set.
        bundles: The record of the bundles that commands have loaded.
        machine: Temperature, throttling and disk of the box.
        clock: Notices when the box's clock is set.
        state: Path and beginning of the name of every file in which a station remembers something.
        evidence: Saves frames, where the configuration asks for it.
    """

    boot_id: str
    outbox: Outbox
    ready: threading.Event
    trusted: Sequence[PublicKey]
    engines: SharedEngines
    thresholds: ThresholdRecord
    bundles: BundleRecord
    machine: Machine
    clock: ClockWatch
    state: Path
    evidence: EvidenceWriter | None = None

    def command_memory(self, station: str) -> CommandMemory:
        """Open the memory of the commands that a station has taken."""
        return CommandMemory(self.state.with_name(f"{self.state.name}.commands-{station}.txt"))

    def shadow_file(self, station: str) -> Path:
        """Return where a station's scores go while it is in shadow."""
        return self.state.with_name(f"{self.state.name}.shadow-{station}.jsonl")


def open_box_resources(
    settings: Settings, boot_id: str, outbox: Outbox, ready: threading.Event, trusted: Sequence[PublicKey]
) -> BoxResources:
    """Open what the stations share, as the configuration says; the records lie beside the outbox."""
    beside = settings.outbox.path
    return BoxResources(
        boot_id,
        outbox,
        ready,
        trusted,
        SharedEngines(settings.engine),
        ThresholdRecord(beside.with_suffix(".thresholds.jsonl")),
        BundleRecord(beside.with_suffix(".bundles.jsonl")),
        Machine(beside.parent, settings.outbox.max_bytes + settings.outbox.history_bytes),
        ClockWatch(),
        beside.with_suffix(""),
        EvidenceWriter(settings.evidence) if settings.evidence else None,
    )
