"""A part: while the engine inspects it, with its decision, and as the messages that leave the station."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from edge_inspect.edge.cameras import Capture
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.messages import Defect, FrameSize, Region, Verdict
from edge_inspect.edge.decision import Decision
from edge_inspect.edge.outbox import Kind, Outbox, Outgoing
from edge_inspect.edge.station.loaded_bundle import LoadedBundle
from edge_inspect.edge.station.ring import WaitingFrame


class InspectedPart(NamedTuple):
    """A part with its decision.

    Attributes:
        capture: Frame of the part.
        bundle: The bundle that inspected the part.
        decision: Accept or reject, with score and regions.
        latency_ms: Time from the arrival of the frame to the decision, in milliseconds.
    """

    capture: Capture
    bundle: LoadedBundle
    decision: Decision
    latency_ms: float

    def verdict(self, boot_id: str, sequence: int, *, shadow: bool = False) -> Verdict:
        """Return the verdict with a new id; in shadow it accepts every part."""
        height, width = self.capture.frame.shape[:2]
        return Verdict(
            boot_id=boot_id,
            id=uuid7(),
            sequence=sequence,
            part_id=self.capture.part_id,
            captured_at=self.capture.captured_at,
            decided_at=utc_now(),
            ok=self.decision.ok or shadow,
            shadow=shadow,
            score=self.decision.score,
            threshold=self.decision.threshold,
            bundle=self.bundle.reference,
            recipe=self.capture.recipe,
            precision=self.bundle.engine.precision,
            engine=self.bundle.engine.name,
            latency_ms=round(self.latency_ms, 3),
            frame=FrameSize(width=width, height=height),
            reason="not_found" if self.decision.not_found else None if self.decision.ok else "defect",
            not_found=self.decision.not_found,
            area_name=self.decision.regions[0].area_name if self.decision.regions else None,
        )

    def store(
        self, outbox: Outbox, station: str, boot_id: str, *, shadow: bool, address: Callable[[Kind], str]
    ) -> Verdict:
        """Put the messages of the part into the outbox, and return the verdict with its sequence number.

        Args:
            outbox: The outbox, which gives the sequence number.
            station: Name of the station.
            boot_id: The kernel's id of this boot.
            shadow: Whether the station is in shadow.
            address: Returns the address to which the station's sink delivers messages of a kind.
        """
        verdicts: list[Verdict] = []

        def make(sequence: int) -> list[Outgoing]:
            verdicts.append(self.verdict(boot_id, sequence, shadow=shadow))
            return outgoing(verdicts[-1], self.decision.regions, address)

        outbox.put(station, make)
        return verdicts[-1]


def outgoing(verdict: Verdict, regions: tuple[Region, ...], address: Callable[[Kind], str]) -> list[Outgoing]:
    """Return the messages of a part: the verdict, and for a rejected part the defect.

    Args:
        verdict: Verdict on the part.
        regions: Defect regions, in pixels of the frame.
        address: Returns the address to which the station's sink delivers messages of a kind.
    """
    messages = [Outgoing(address("verdict"), verdict.to_json(), "verdict")]
    if not verdict.ok:
        messages.append(Outgoing(address("defect"), Defect.of(verdict, regions).to_json(), "defect"))
    return messages


class PartInProgress:
    """The part that a station's engine is inspecting.

    Either the engine finishes the part, or the supervisor abandons it together with an engine that hangs. Only the
    first of the two counts the part, so no part is counted twice.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: WaitingFrame | None = None

    def begin(self, waiting: WaitingFrame) -> None:
        """Note that the engine begins to inspect a part."""
        with self._lock:
            self._waiting = waiting

    def finish(self, waiting: WaitingFrame) -> bool:
        """Note that the engine is done with a part; return false if the part was abandoned meanwhile."""
        with self._lock:
            mine = self._waiting is waiting
            if mine:
                self._waiting = None
            return mine

    def abandon(self) -> int:
        """Abandon the part in progress; return the number of abandoned parts, 0 or 1."""
        with self._lock:
            left, self._waiting = self._waiting, None
            return int(left is not None)
