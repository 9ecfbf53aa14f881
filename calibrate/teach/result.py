"""The result of teaching a bundle, as `--json` writes it. It imports only what a box has."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from edge_inspect.calibrate.teach.judgement import Changes
from edge_inspect.calibrate.teach.labelled_parts import Contradiction, LabelledParts
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.bundle.promise import promise_of
from edge_inspect.edge.contract.fields import Precision

What = Literal["threshold", "memory", "student"]


class Taught(NamedTuple):
    """The result of teaching.

    Attributes:
        bundle: The new bundle.
        what: What was taught.
        precision: Precision of the thresholds and verdicts here: the one that a station would run on this machine.
        before: Threshold of the parent in that precision.
        after: Threshold of the new bundle.
        prototypes: Number of prototypes in each bank before and afterwards; `None` without a memory.
        labels: The labelled parts.
        changes: Verdicts that change among the labelled parts.
        contradictions: Labelled parts that could not be learned as their label says.
    """

    bundle: Bundle
    what: What
    precision: Precision
    before: float
    after: float
    prototypes: tuple[int, int] | None
    labels: LabelledParts
    changes: Changes
    contradictions: list[Contradiction]

    def as_dict(self) -> dict[str, Any]:
        """Return the result as `--json` writes it."""
        pair = None if self.prototypes is None else dict(zip(("before", "after"), self.prototypes, strict=True))
        return {
            "bundle": self.bundle.manifest.name,
            "digest": self.bundle.digest,
            "what": self.what,
            "precision": self.precision,
            "threshold": {"before": self.before, "after": self.after},
            "prototypes": pair,
            "labels": counts(self.labels),
            "changes": self.changes._asdict(),
            "contradictions": [each.as_dict() for each in self.contradictions],
            "promise": promise_of(self.bundle.manifest).lines,
        }


def counts(parts: LabelledParts) -> dict[str, int]:
    """Return the number of parts with each word."""
    return {"good": len(parts.good), "defect": len(parts.defects), "unsure": parts.unsure}
