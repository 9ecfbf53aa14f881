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
from edge_inspect.edge.station.bundle_record import BundleRecord
from edge_inspect.edge.station.command_memory import CommandMemory
from edge_inspect.edge.station.judge import SharedEngines
from edge_inspect.edge.station.threshold_record import ThresholdRecord


@dataclass(frozen=True)
class Box:
    """What the stations of a box share.

    Attributes:
        boot_id: Of the box.
        outbox: Where messages wait for the broker.
        ready: Set to wake the engine thread: a frame waits, or a bundle.
        trusted: Bundles must be signed with one of these keys; without any, no signature is asked for.
        engines: One a bundle and precision.
        thresholds: The record of those that commands have set.
        bundles: The record of those that commands have loaded.
        machine: What the stations run on.
        clock: Whether the box's clock was set.
        state: What the names of the files begin with in which the stations remember something.
        evidence: Where it is saved, if it is.
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


def open_box(
    settings: Settings, boot_id: str, outbox: Outbox, ready: threading.Event, trusted: Sequence[PublicKey]
) -> Box:
    """Open what the configuration has the stations share; the records lie beside the outbox."""
    beside = settings.outbox.path
    return Box(
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
