"""What the benchmarks of brokers share: a station whose messages have the size of real ones."""

from __future__ import annotations

from bridge_parts import Line

from edge_inspect.edge.contract.examples import examples
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.outbox import Outgoing

VERDICT, DEFECT, HEALTH = (examples()[kind][0] for kind in ("verdict", "defect", "health"))
STATUS = examples()["status"][0]
BAD = 50
"""Every fiftieth part is rejected."""


class RealLine(Line):
    """A station whose messages have the size of real ones; every fiftieth part is rejected."""

    def _messages(self, sequence: int, bad: int, part_id: str | None) -> list[Outgoing]:
        rejected, now = sequence % BAD == 0, utc_now()
        changes = {"id": uuid7(), "sequence": sequence, "captured_at": now, "decided_at": now}
        verdict = VERDICT.model_copy(update={**changes, "ok": not rejected}).to_json()
        found = [Outgoing(self._topics.verdict, verdict, "verdict")]
        if rejected:
            found.append(Outgoing(self._topics.defect, DEFECT.model_copy(update=changes).to_json(), "defect"))
        return found
