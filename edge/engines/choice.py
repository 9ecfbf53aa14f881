"""Which precision a box runs: the fastest of those that the bundle allows and that hold the golden frames here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.errors import EngineError

GAIN, LEAST_MS = 1.05, 0.2
"""A precision takes the place of one that the bundle names before it if it is faster by this factor and by this many
milliseconds. Smaller gains are not worth it that boxes of one kind compute in different precisions."""


class Choice(BaseModel):
    """The precision that a box runs, and the measurements that led to it."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    precision: Precision
    latency_ms: dict[Precision, float] = Field(
        description="milliseconds that a frame takes on this box, for each precision that holds the golden frames; "
        "empty if there was only one to choose from"
    )
    against: dict[Precision, str] = Field(description="why a precision of the bundle cannot run on this box")

    def __str__(self) -> str:
        """Return the reason for the choice, in words."""
        if not self.latency_ms:
            return f"{self.precision} is the only precision that the bundle allows on this engine"
        mine = self.latency_ms[self.precision]
        others = sorted(self.latency_ms.keys() - {self.precision}, key=lambda name: self.latency_ms[name])
        said = [f"{self.precision} takes {mine:.1f} ms a frame on this box"]
        said += [f"{name} takes {self.latency_ms[name]:.1f} ms" for name in others]
        if any(self.latency_ms[name] < mine for name in others):
            said.append(f"{self.precision} comes first in the bundle's order, and others are hardly faster")
        return "; ".join([*said, *(f"{name} cannot run: {reason}" for name, reason in self.against.items())])


def choose(
    order: Sequence[Precision], latency_ms: Mapping[Precision, float], against: Mapping[Precision, str]
) -> Choice:
    """Choose among the precisions that a bundle allows.

    Args:
        order: The precisions in the bundle's order.
        latency_ms: Milliseconds that a frame takes on this box, for each precision that holds the golden frames.
        against: Why each of the others cannot run on this box.

    Raises:
        EngineError: No precision holds the golden frames.
    """
    running = [name for name in order if name in latency_ms]
    if not running:
        raise EngineError(f"no precision can run on this box: {'; '.join(against.values())}")
    chosen = running[0]
    for name in running[1:]:
        if latency_ms[name] * GAIN < latency_ms[chosen] and latency_ms[name] + LEAST_MS < latency_ms[chosen]:
            chosen = name
    return Choice(precision=chosen, latency_ms=dict(latency_ms), against=dict(against))
