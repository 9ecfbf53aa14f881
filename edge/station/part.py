from __future__ import annotations

from typing import NamedTuple

from edge_inspect.edge.cameras import Capture
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.messages import Defect, FrameSize, Region, Verdict
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.decision import Decision
from edge_inspect.edge.outbox import Outgoing
from edge_inspect.edge.station.judge import Judge


class Part(NamedTuple):
    """An inspected part.

    Attributes:
        capture: Its frame.
        judge: The bundle that judged it.
        decision: What was decided.
        latency_ms: From the frame to the decision.
    """

    capture: Capture
    judge: Judge
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
            bundle=self.judge.reference,
            precision=self.judge.engine.precision,
            engine=self.judge.engine.name,
            latency_ms=round(self.latency_ms, 3),
            frame=FrameSize(width=width, height=height),
        )


def outgoing(verdict: Verdict, regions: tuple[Region, ...], topics: Topics) -> list[Outgoing]:
    """Return the messages of a part: the verdict, and the defect of a rejected one."""
    messages = [Outgoing(topics.verdict, verdict.to_json(), "verdict")]
    if not verdict.ok:
        messages.append(Outgoing(topics.defect, Defect.of(verdict, regions).to_json(), "defect"))
    return messages
