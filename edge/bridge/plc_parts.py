"""The parts of a station as the PLC sees them: counters, and the last 16 parts in a ring of slots."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from pydantic import BaseModel

from edge_inspect.edge.bridge.received_messages import ReceivedPart
from edge_inspect.edge.bridge.registers import CLASSES, PART_FLAGS, RESULTS, RING, Values, bits, text_bytes
from edge_inspect.edge.bridge.reorder_buffer import OrderedPart
from edge_inspect.edge.bridge.settings import DefectClass

_MOST_WAITING = 10_000


class PlcPart(BaseModel):
    """A part as the PLC sees it. `number` is 0 until the part is in the ring."""

    number: int
    sequence: int
    ok: bool
    late: bool
    shadow: bool = False
    defect_class: int
    regions: int
    score: float
    threshold: float
    decided: float
    recipe: int = 0
    part_id: str

    def values(self) -> Values:
        """Return the values of the part's registers."""
        # A float of this size is exact to less than a microsecond, and is mostly a little too low: so it is rounded to
        # microseconds before it is cut to milliseconds.
        decided, decided_ms = divmod(round(self.decided * 1_000_000) // 1000, 1000)
        return {
            "number": self.number,
            "result": RESULTS["accept" if self.ok else "reject"],
            "part_flags": bits(
                PART_FLAGS,
                late=self.late,
                cut=text_bytes(self.part_id) != self.part_id.encode(),
                shadow=self.shadow,
            ),
            "class": self.defect_class,
            "regions": self.regions,
            "sequence": self.sequence,
            "score": self.score,
            "threshold": self.threshold,
            "decided": decided,
            "decided_ms": decided_ms,
            "recipe": self.recipe,
            "part_id": self.part_id,
        }


class Tally(BaseModel):
    """Counters, ring and waiting parts, which survive a restart of the bridge."""

    parts: int = 0
    accepted: int = 0
    rejected: int = 0
    classes: list[int] = [0] * CLASSES
    overruns: int = 0
    acknowledged: int = 0
    ring: list[PlcPart] = []
    waiting: list[PlcPart] = []


class PlcParts:
    """Shows parts to the PLC one after another.

    With acknowledgements, a part enters the ring only when the PLC has acknowledged the part whose slot it takes. Until
    then it waits. If more than 10,000 parts wait, the oldest are dropped and counted as overruns.

    Args:
        tally: State when the bridge ended.
        classes: Classes of defects; a part gets the first one whose conditions it meets.
        acknowledge: Whether the PLC acknowledges parts.
        recipes: Names of the recipes; the first one has the number 1.
    """

    def __init__(
        self, tally: Tally, classes: Sequence[DefectClass], *, acknowledge: bool, recipes: Sequence[str] = ()
    ) -> None:
        self.tally = tally
        self._classes, self._acknowledge = classes, acknowledge
        self._recipes = {name: number for number, name in enumerate(recipes, start=1)}
        self._waiting = deque(tally.waiting)
        if not acknowledge:
            self._fill_ring()

    @property
    def waiting(self) -> int:
        """Number of parts that wait for an acknowledgement."""
        return len(self._waiting)

    def saved(self) -> Tally:
        """Return a copy of the tally that includes the waiting parts."""
        return self.tally.model_copy(update={"classes": list(self.tally.classes), "waiting": list(self._waiting)})

    def add(self, ordered: OrderedPart) -> None:
        """Show a part, now or after earlier parts are acknowledged."""
        part = ordered.part
        self._waiting.append(
            PlcPart(
                number=0,
                sequence=part.sequence,
                ok=part.ok,
                late=ordered.late,
                shadow=part.shadow,
                defect_class=self._class_of(part),
                regions=part.all_regions,
                score=part.score,
                threshold=part.threshold,
                decided=part.decided_at.timestamp(),
                recipe=self._recipes.get(part.recipe or "", 0),
                part_id=part.part_id or "",
            )
        )
        self._fill_ring()
        while len(self._waiting) > _MOST_WAITING:
            self._waiting.popleft()
            self.tally.overruns += 1

    def acknowledge(self, low_half: int) -> bool:
        """Note that the PLC has handled all parts up to one of them.

        Args:
            low_half: Low 16 bits of that part's number.

        Returns:
            False: that part was not shown yet, or is older than the last acknowledged part.
        """
        behind = (self.tally.parts - low_half) % 0x10000
        number = self.tally.parts - behind
        if number < self.tally.acknowledged:
            return False
        self.tally.acknowledged = number
        self._fill_ring()
        return True

    def _fill_ring(self) -> None:
        tally = self.tally
        while self._waiting and (not self._acknowledge or tally.parts - tally.acknowledged < RING):
            shown = self._waiting.popleft()
            tally.parts += 1
            tally.ring = [*tally.ring, shown.model_copy(update={"number": tally.parts})][-RING:]
            if shown.ok:
                tally.accepted += 1
            else:
                tally.rejected += 1
                tally.classes[shown.defect_class] += 1

    def _class_of(self, part: ReceivedPart) -> int:
        if part.ok:
            return 0
        found = part.regions or (), part.all_regions, part.reason
        holding = (number for number, one in enumerate(self._classes, start=1) if one.holds(*found))
        return next(holding, 0)
