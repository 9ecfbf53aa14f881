"""Counts of the flaws and defects that a threshold finds, as in the manifest. It imports only what a box has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge_inspect.edge.bundle.manifest import DefectsFound, FlawsFound


def found_flaws(scores: Mapping[float, Sequence[float]], threshold: float) -> list[FlawsFound]:
    """Return how many flaws of each size a threshold finds.

    Args:
        scores: Scores of the flaws, by the flaw's width as a share of the part's width.
        threshold: Threshold of the same precision as the scores.
    """
    return [
        FlawsFound(width=width, drawn=len(each), found=sum(score > threshold for score in each))
        for width, each in sorted(scores.items())
    ]


def found_defects(kinds: Sequence[str], scores: Sequence[float], threshold: float) -> list[DefectsFound]:
    """Return how many defective images of each kind a threshold finds.

    Args:
        kinds: Kind of each image.
        scores: Score of each image.
        threshold: Threshold of the same precision as the scores.
    """
    found = {kind: [score > threshold for k, score in zip(kinds, scores, strict=True) if k == kind] for kind in kinds}
    return [DefectsFound(kind=kind, images=len(each), found=sum(each)) for kind, each in sorted(found.items())]
