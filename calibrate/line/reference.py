"""The reference that a station compares its line with: scores and pictures of the line's own good parts in shadow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_inspect.calibrate.line.parts import LineParts
from edge_inspect.calibrate.thresholds.confidence import percent
from edge_inspect.edge.bundle.manifest import ScorePart
from edge_inspect.edge.health import drift, picture_change
from edge_inspect.edge.health.picture import PictureFigures, PictureNorm, PictureRange, Spread, picture_range

Floats = NDArray[np.float64]


def score_reference(parts: LineParts, good: Floats) -> ScorePart:
    """Return how good parts scored, and how far the station's moving average wandered from their mean.

    Args:
        parts: All parts.
        good: Scores taken as good, sorted.
    """
    mean, deviation = float(good.mean()), float(good.std(ddof=1))
    if not parts.in_order:
        return ScorePart(mean=mean, deviation=deviation)
    passed = parts.scores[parts.scores <= good[-1]]
    standard = np.clip((passed - mean) / max(deviation, 1e-9), -drift.CLIP, drift.CLIP)
    return ScorePart(mean=mean, deviation=deviation, wander=wander(standard, drift.WEIGHT))


def picture_reference(parts: LineParts, good: Floats) -> PictureRange | None:
    """Return the measures of good parts' pictures, and how far they wandered up and down; `None` if they are not known.

    Parts that are not taken as good do not count: their pictures may show an empty belt, or a hand.

    Args:
        parts: All parts.
        good: Scores taken as good, sorted.
    """
    pairs = zip(parts.pictures, parts.scores.tolist(), strict=False)
    figures = [picture for picture, score in pairs if picture is not None and score <= good[-1]]
    if len(figures) < 2:
        return None
    seen = picture_range(figures)
    assert seen.norm is not None, "two pictures have deviations"
    spreads = {
        name: Spread(
            mean=spread.mean,
            deviation=spread.deviation,
            wander=wander(np.array([getattr(each, name) for each in figures]), picture_change.WEIGHT),
        )
        for name, spread in seen.norm
        if isinstance(spread, Spread)
    }
    return seen.model_copy(update={"norm": PictureNorm(images=seen.norm.images, **spreads)})


def wide_limits(seen: PictureRange) -> list[str]:
    """Return a sentence for each measure of the pictures that varied too much for the usual limit; none if none did."""
    if seen.norm is None:
        return []
    norm = seen.norm
    change = picture_change.PictureChange(norm)
    change.add(PictureFigures(norm.level.mean, 0, norm.sharpness.mean, 0, norm.x.mean, norm.y.mean))
    return [
        f"the {measure} of these pictures differs so much that a station tells of a change only beyond "
        f"{percent(found.limit)}, not from {percent(picture_change.LEAST[measure])} on; was it well while in shadow?"
        for measure, found in change.changes.items()
        if found.limit > picture_change.LEAST[measure]
    ]


def wander(values: Floats, weight: float) -> float:
    """Return how far an exponentially weighted moving average of the values, in order, gets from their mean."""
    mean = float(values.mean())
    average, farthest = mean, 0.0
    for value in values.tolist():
        average += weight * (value - average)
        farthest = max(farthest, abs(average - mean))
    return farthest
