"""Charts, rows and pictures of a bundle's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from edge_inspect.calibrate.precisions.damage import Maps, Scores
from edge_inspect.calibrate.precisions.validation import Validation
from edge_inspect.calibrate.thresholds.threshold import TailFit, exceeded_at
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.train.charts import Axis, curve, histogram
from edge_inspect.train.report import bin_scores
from edge_inspect.train.thumbnails import panels, scale_bar, side_by_side, size_of, small, small_map, small_mask

CASES = 6
POINTS = 60


def cells(name: str, *numbers: str) -> str:
    """Return a row of a table."""
    values = "".join(f'<td class="number">{number}</td>' for number in numbers)
    return f'<tr><th scope="row">{escape(name)}</th>{values}</tr>'


def score_chart(good: Sequence[float], flawed: Scores, threshold: float) -> str:
    """Return a histogram of held-out good scores and of scores of flaws, with the threshold."""
    scores = np.concatenate([np.asarray(good, np.float32), flawed])
    edges, counts = bin_scores(scores, np.arange(len(scores)) < len(good), threshold)
    return histogram(edges, counts, "score of the picture", (threshold, f"threshold {threshold:.4g}"))


def tail_chart(good: Sequence[float], fit: TailFit) -> str:
    """Return the share of good parts above a score, as fitted and as seen (the k-th highest of n: k / (n + 1))."""
    n = len(good)
    rates = np.geomspace(min(fit.rate, 1 / (n + 1)), 1 - 1 / (n + 1), POINTS)
    levels = exceeded_at(good, rates.tolist())
    seen = [(score, (k + 1) / (n + 1)) for k, score in enumerate(sorted(good, reverse=True))]
    x = Axis("score", min(levels), max(*levels, fit.threshold))
    y = Axis("share of good parts above it", float(rates[0]), 1, log=True)
    return curve(
        list(zip(levels, rates.tolist(), strict=True)),
        x,
        y,
        "fitted",
        (fit.threshold, fit.rate, "threshold"),
        seen=seen,
    )


def trade_chart(good: Sequence[float], flawed: Sequence[float], fit: TailFit) -> str:
    """Return the share of flaws found over the share of good parts rejected, with the shipped threshold."""
    rates = np.geomspace(min(fit.rate, 1 / (len(good) + 1)), 0.5, POINTS)
    scores = np.sort(np.asarray(flawed))

    def found(level: float) -> float:
        return 1 - float(np.searchsorted(scores, level, side="right")) / len(scores)

    line = [(float(rate), found(level)) for rate, level in zip(rates, exceeded_at(good, rates.tolist()), strict=True)]
    x, y = Axis("share of good parts rejected", line[0][0], line[-1][0], log=True), Axis("share of flaws found", 0, 1)
    return curve(line, x, y, "all sizes", (min(max(fit.rate, x.low), x.high), found(fit.threshold), "as shipped"))


@dataclass(frozen=True)
class Cases:
    """Pictures with their maps.

    Attributes:
        html: Figures of the pictures.
        scale: Bar with the colours of their maps.
    """

    html: str
    scale: str


def cases(validation: Validation, fp32: Maps, int8: Maps, limits: Mapping[Precision, float]) -> Cases:
    """Return the six pictures whose scores INT8 changes most."""
    scores = [np.where(validation.valid, maps, -np.inf).max(axis=(1, 2)) for maps in (fp32, int8)]
    most = np.argsort(-np.abs(scores[1] - scores[0]))[:CASES]
    scale = float(np.median(fp32[validation.valid])), float(np.quantile(scores[0], 0.9))
    figures = []
    for i in most:
        size = size_of(fp32.shape[2], fp32.shape[1])
        picture, truth = small(validation.pictures[i], size), small_mask(validation.masks[i] > 0, size)
        drawn = [
            panels(name, picture, small_map(maps[i], size), scale, truth, small_mask(maps[i] >= limit, size))
            for name, maps, limit in (("FP32", fp32, limits["fp32"]), ("INT8", int8, limits["int8"]))
        ]
        kind = "a flaw" if validation.flawed[i] else "good"
        said = f"<b>{kind}</b> score {scores[0][i]:.4f} in FP32, {scores[1][i]:.4f} in INT8"
        shown = side_by_side([*drawn[0][1:], drawn[1][-1]])
        figures.append(f'<figure class="case">{shown}<figcaption>{said}</figcaption></figure>')
    return Cases("\n".join(figures), scale_bar(*scale))
