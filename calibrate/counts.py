"""How many flaws and defects a threshold finds, as the manifest has it; needs nothing that a box does not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def found_flaws(scores: Mapping[float, Sequence[float]], threshold: float) -> list[dict[str, float]]:
    """Return how many flaws of each size a threshold finds.

    Args:
        scores: Of the flaws, by their width as a share of the part's.
        threshold: Of the precision that the scores are of.
    """
    return [
        {"width": width, "drawn": len(each), "found": sum(score > threshold for score in each)}
        for width, each in sorted(scores.items())
    ]


def found_defects(kinds: Sequence[str], scores: Sequence[float], threshold: float) -> list[dict[str, Any]]:
    """Return how many defective images of each kind a threshold finds.

    Args:
        kinds: Of each image.
        scores: Likewise.
        threshold: Of the precision that the scores are of.
    """
    found = {kind: [score > threshold for k, score in zip(kinds, scores, strict=True) if k == kind] for kind in kinds}
    return [{"kind": kind, "images": len(each), "found": sum(each)} for kind, each in sorted(found.items())]
