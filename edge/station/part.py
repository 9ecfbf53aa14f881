"""A part of a station: while the engine works on it, with its decision, and as the messages that leave the station."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from edge_inspect.edge.cameras import Capture
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.messages import Defect, FrameSize, Region, Verdict
from edge_inspect.edge.decision import Decision
from edge_inspect.edge.outbox import Kind, Outgoing
from edge_inspect.edge.station.loaded_bundle import LoadedBundle
from edge_inspect.edge.station.ring import WaitingFrame


class InspectedPart(NamedTuple):
    """A part with its decision.

    Attributes:
        capture: Its frame.
        bundle: The bundle that inspected it.
        decision: What was decided.
        latency_ms: From the frame to the decision.
    """

    capture: Capture
    bundle: LoadedBundle
    decision: Decision
    latency_ms: float

    def verdict(self, boot_id: str, sequence: int, *, shadow: bool = False) -> Verdict:
        """Return the verdict, with an id of its own; in shadow nothing is rejected."""
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
            precision=self.bundle.engine.precision,
            engine=self.bundle.engine.name,
            latency_ms=round(self.latency_ms, 3),
            frame=FrameSize(width=width, height=height),
        )


def outgoing(verdict: Verdict, regions: tuple[Region, ...], address: Callable[[Kind], str]) -> list[Outgoing]:
    """Return the messages of a part: the verdict, and the defect of a rejected one.

    Args:
        verdict: On the part.
        regions: Where the part is defective, in pixels of the frame.
        address: Returns where the station's sink delivers messages of a kind.
    """
    messages = [Outgoing(address("verdict"), verdict.to_json(), "verdict")]
    if not verdict.ok:
        messages.append(Outgoing(address("defect"), Defect.of(verdict, regions).to_json(), "defect"))
    return messages


class PartInProgress:
    """The part that a station's engine works on: it gets its verdict, or is left behind with an engine that hangs.

    Whoever takes it out first counts it, so that no part is counted twice: the engine thread that comes back, or the
    thread that builds the engine again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: WaitingFrame | None = None

    def begin(self, waiting: WaitingFrame) -> None:
        """Note the part that the engine begins with."""
        with self._lock:
            self._waiting = waiting

    def finish(self, waiting: WaitingFrame) -> bool:
        """Note that the engine is done with a part; return whether it was not left behind meanwhile."""
        with self._lock:
            mine = self._waiting is waiting
            if mine:
                self._waiting = None
            return mine

    def abandon(self) -> int:
        """Leave the part behind; return how many parts that is: 1, or 0 where the engine has none."""
        with self._lock:
            left, self._waiting = self._waiting, None
            return int(left is not None)
