"""Thresholds of named areas: the map of each `look` area is scaled, so that one threshold suits all of them.

Parts differ more in some areas than in others. With one threshold for an unscaled map, the most varied area would set
it, and small defects elsewhere would pass. So the map is multiplied in each area by a factor that makes the high scores
of good parts equal. The share of good parts that are rejected then is that of the one threshold, however many areas
there are; a threshold for each area would reject that share in each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge_inspect.calibrate.drafts import draft
from edge_inspect.calibrate.engines import engine_of
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame
from edge_inspect.train.checkpoint import Checkpoint

HIGH = 0.9
"""Quantile of the scores of good parts that is made equal: high, and still told by twenty scores."""
LARGEST = 10.0
"""Largest factor, up or down. An area whose good parts hardly differ would otherwise reject by chance."""


def scale_areas(
    about: Checkpoint, fp32: bytes, frames: Sequence[Frame], out: Path, say: Callable[[str], None]
) -> Checkpoint:
    """Return the checkpoint with a factor for each of its areas, and with its cross-fitted scores in the same units.

    With fewer than two areas to look at, nothing changes.

    Args:
        about: Description of the checkpoint.
        fp32: The exported network.
        frames: Frames of good parts that the model has not seen.
        out: Path that error messages give for the bundle.
        say: Called with the factors.

    Raises:
        EngineError: The engine cannot be built or failed.
    """
    areas = about.fit.areas
    if areas is None or len(areas.look) < 2:
        return about
    scores = _scores(about, fp32, frames, out)
    high = {name: float(np.quantile(values, HIGH)) for name, values in scores.items()}
    highest = max(high.values())
    scales = {
        name: round(float(np.clip(highest / level, 1, LARGEST)), 4) if level > 0 else 1.0
        for name, level in high.items()
    }
    factors = ", ".join(f"{name} {scale:.2f}" for name, scale in scales.items())
    say(f"areas: the map is multiplied so that one threshold suits all of them: {factors}")
    about = replace(about, fit=with_scales(about.fit, scales))
    if not about.scores:
        return about
    crossfitted = [scale * np.array(about.area_scores[name]) for name, scale in scales.items()]
    return replace(about, training=about.training | {"scores": np.max(crossfitted, axis=0).tolist()})


def with_scales(fit: Fit, scales: Mapping[str, float]) -> Fit:
    """Return the fit with these factors of its areas to look at, by name; 1 for those that are not named."""
    if fit.areas is None:
        return fit
    look = tuple(area.model_copy(update={"scale": scales.get(area.name, 1.0)}) for area in fit.areas.look)
    return replace(fit, areas=fit.areas.model_copy(update={"look": look}))


def _scores(about: Checkpoint, fp32: bytes, frames: Sequence[Frame], out: Path) -> dict[str, list[float]]:
    """Return the scores of good parts in each area, from the unscaled map."""
    engine, masks = engine_of(draft(about, {"fp32": fp32}, out), "fp32"), about.fit.look_masks
    scores = {name: list(about.area_scores.get(name, ())) for name in masks}
    for frame in frames:
        values = engine.infer(frame).values
        for name, mask in masks.items():
            scores[name].append(float(values[mask].max()))
    return scores
