"""Labelled parts judged as a station would judge them, by the bundle before and after it was taught."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from edge_inspect.calibrate.teach.labelled_parts import LabelledPart
from edge_inspect.calibrate.teach.viewing import view
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.bundle.manifest import DefectsFound
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.openvino import OpenVinoEngine
from edge_inspect.edge.frame.images import Frame


class Judged(NamedTuple):
    """A labelled part with its scores.

    Attributes:
        part: The part.
        before: Score by the parent.
        after: Score by the new bundle.
        found: Whether the part was found in its picture; otherwise it is rejected unseen.
    """

    part: LabelledPart
    before: float
    after: float
    found: bool


class Seen(NamedTuple):
    """What a bundle sees in a part.

    Attributes:
        score: Its score.
        found: Whether the part was found in its picture.
    """

    score: float
    found: bool


class Changes(NamedTuple):
    """Verdicts that the new bundle changes among the labelled parts.

    Attributes:
        parts: Number of labelled parts that were judged.
        now_accepted: Ids of parts that were rejected before.
        now_rejected: Ids of parts that were accepted before.
    """

    parts: int
    now_accepted: list[str]
    now_rejected: list[str]


def judge(
    before: Bundle,
    after: Bundle,
    precision: Precision,
    parts: Sequence[LabelledPart],
    known: Mapping[str, Seen] = MappingProxyType({}),
) -> list[Judged]:
    """Return the scores of labelled parts by two bundles, on OpenVINO in one precision.

    Args:
        before: The parent.
        after: The new bundle, or the parent again; then each part is scored once.
        precision: Precision of both.
        parts: The parts.
        known: What the parent sees in all these parts, by their ids, if that is known already.

    Raises:
        EngineError: An engine cannot be built or failed.
    """

    def seen_by(bundle: Bundle) -> Iterator[Seen]:
        return view(parts, bundle.fit.bits, lambda: OpenVinoEngine(bundle, precision), _see)

    old = [known[part.id] for part in parts] if known else list(seen_by(before))
    new = old if after is before else seen_by(after)
    return [Judged(part, b.score, a.score, b.found) for part, b, a in zip(parts, old, new, strict=True)]


def _see(engine: OpenVinoEngine, frame: Frame) -> Seen:
    anomaly = engine.infer(frame)
    return Seen(anomaly.score, anomaly.placement.found)


def changes(judged: Sequence[Judged], before: float, after: float) -> Changes:
    """Return which verdicts change from one threshold to another, each for its own scores."""
    seen = [each for each in judged if each.found]
    accepted = [each.part.id for each in seen if each.before > before and each.after <= after]
    rejected = [each.part.id for each in seen if each.before <= before and each.after > after]
    return Changes(len(judged), accepted, rejected)


def found_kinds(judged: Sequence[Judged], threshold: float) -> list[DefectsFound]:
    """Return how many labelled defects of each kind a threshold finds, for the manifest."""
    defects = [each for each in judged if each.part.word == "defect" and each.found]
    kinds = sorted({each.part.kind or "defect" for each in defects})
    scores = {kind: [each.after for each in defects if (each.part.kind or "defect") == kind] for kind in kinds}
    return [
        DefectsFound(kind=kind, images=len(each), found=sum(score > threshold for score in each))
        for kind, each in scores.items()
    ]
