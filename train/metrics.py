"""The metrics of anomaly detection, in float64 and exact.

Every distinct score is a threshold, and ties are resolved as areas. Image level takes one score a picture; pixel level
takes every pixel of every picture. `labels` are 1 for defective.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the receiver operating characteristic: the chance that a defect scores above a good one, ties half.

    Raises:
        ValueError: Only one of the two classes is there.
    """
    true, false, _ = _curve(scores, labels)
    return float(np.trapezoid(true / true[-1], false / false[-1]))


def average_precision(scores: ArrayLike, labels: ArrayLike) -> float:
    """Average precision: `sum_n (R_n - R_{n-1}) P_n` over falling thresholds, without interpolation."""
    true, false, _ = _curve(scores, labels)
    precision = true[1:] / (true[1:] + false[1:])
    return float(np.sum(np.diff(true / true[-1]) * precision))


def f1_max(scores: ArrayLike, labels: ArrayLike) -> tuple[float, float]:
    """The largest F1 over all thresholds, and the threshold that gives it (scores at or above it are defective)."""
    true, false, thresholds = _curve(scores, labels)
    f1 = 2 * true[1:] / (true[1:] + false[1:] + true[-1])
    best = int(np.argmax(f1))
    return float(f1[best]), float(thresholds[best])


def aupro(
    maps: NDArray[np.floating],
    masks: NDArray[np.uint8],
    limit: float = 0.3,
    valid: NDArray[np.bool_] | None = None,
) -> float:
    """Area under the per-region overlap curve over the whole data set, up to a false-positive rate, divided by it.

    Every connected region (8 neighbours) of the ground truth counts alike, whatever its size; the false-positive rate
    is that of all normal pixels of all pictures. Source: Bergmann et al., MVTec AD, IJCV 2021, section 5.1.

    Args:
        maps: Anomaly maps, (N, H, W).
        masks: Ground truth, (N, H, W), 0 or 1.
        limit: The false-positive rate to integrate to.
        valid: Pixels that count, (N, H, W); without it, all. The others are as if they were not there.

    Raises:
        ValueError: There is no defective or no normal pixel.
    """
    counted = np.ones(masks.shape, bool) if valid is None else valid
    weights = np.zeros(masks.shape, np.float64)
    regions = 0
    for mask, weight in zip(masks * counted, weights, strict=True):
        count, labels = cv2.connectedComponents(mask, connectivity=8)
        areas = np.bincount(labels.ravel(), minlength=count)
        shares = np.concatenate([[0.0], 1.0 / areas[1:]])
        weight[...] = shares[labels]
        regions += count - 1
    normal = masks[counted] == 0
    if regions == 0 or not normal.any():
        raise ValueError("AUPRO needs defective and normal pixels")
    overlap, false, _ = _accumulate(maps[counted], weights[counted] / regions, normal / np.count_nonzero(normal))
    return _area_up_to(false, overlap, limit) / limit


def pro_per_image(
    maps: NDArray[np.floating],
    masks: NDArray[np.uint8],
    limit: float = 0.3,
    valid: NDArray[np.bool_] | None = None,
) -> float:
    """PRO as RD4AD's family of code computes it: not the data set's AUPRO, and not to be compared with it.

    One curve per defective picture: 200 thresholds evenly between the extremes of that picture's own map, mean overlap
    of its regions against its own false-positive rate, kept where that is below `limit` and stretched by the largest
    kept value, area by trapezoids; then the mean over defective pictures (METHODS.md 1.g.2). Same arguments as `aupro`.

    Raises:
        ValueError: There is no defective picture.
    """
    counted = np.ones(masks.shape, bool) if valid is None else valid
    seen = zip(maps, masks * counted, counted, strict=True)
    areas = [_pro_of_image(anomaly, mask, inside, limit) for anomaly, mask, inside in seen if mask.any()]
    if not areas:
        raise ValueError("PRO needs defective pictures")
    return float(np.mean(areas))


def _pro_of_image(
    anomaly: NDArray[np.floating], mask: NDArray[np.uint8], counted: NDArray[np.bool_], limit: float
) -> float:
    _, labels = cv2.connectedComponents(mask, connectivity=8)
    thresholds = np.linspace(anomaly[counted].min(), anomaly[counted].max(), 201)[:-1]

    def above(values: NDArray[np.floating]) -> Floats:
        return 1 - np.searchsorted(np.sort(values), thresholds, side="right") / max(1, values.size)

    overlap = np.mean([above(anomaly[labels == region]) for region in range(1, labels.max() + 1)], axis=0)
    false = above(anomaly[(mask == 0) & counted])
    kept = false < limit
    if np.count_nonzero(kept) < 2 or false[kept].max() == 0:
        return float(overlap[kept].mean()) if kept.any() else 0.0
    x, y = false[kept] / false[kept].max(), overlap[kept]
    return float(np.trapezoid(y[::-1], x[::-1]))


def _curve(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats, Floats]:
    truth = np.asarray(labels).ravel().astype(bool)
    if truth.all() or not truth.any():
        raise ValueError("both good and defective samples are needed")
    return _accumulate(np.asarray(scores).ravel(), truth, ~truth)


def _accumulate(scores: NDArray[np.floating], gains: ArrayLike, costs: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Sums of `gains` and of `costs` over scores at or above each distinct score, falling; both begin with 0."""
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")
    order = np.argsort(scores)[::-1]  # not of -scores, which unsigned integers do not have
    ranked = scores[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), ranked.size - 1)  # the last of each run of equal scores

    def summed(values: ArrayLike) -> Floats:
        return np.concatenate([[0.0], np.cumsum(np.asarray(values)[order], dtype=np.float64)[last]])

    return summed(gains), summed(costs), ranked[last].astype(np.float64)


def _area_up_to(x: Floats, y: Floats, limit: float) -> float:
    """Trapezoids under y(x) from 0 to `limit`, the last one cut by linear interpolation; x rises."""
    inside = int(np.searchsorted(x, limit, side="right"))
    area = float(np.trapezoid(y[:inside], x[:inside]))
    if inside < x.size and x[inside - 1] < limit:
        x0, y0 = x[inside - 1], y[inside - 1]
        edge = y0 + (y[inside] - y0) * (limit - x0) / (x[inside] - x0)
        area += (limit - x0) * (y0 + edge) / 2
    return area


def summarise(
    scores: Sequence[float],
    good: Sequence[bool],
    maps: NDArray[np.floating],
    masks: NDArray[np.uint8],
    valid: NDArray[np.bool_],
) -> dict[str, float]:
    """Every metric of a test split, by name, rounded to 6 digits; pixels that are not `valid` do not count."""
    labels = [not g for g in good]
    f1, threshold = f1_max(scores, labels)
    values = {
        "image_auroc": auroc(scores, labels),
        "image_f1_max": f1,
        "image_f1_threshold": threshold,
        "pixel_auroc": auroc(maps[valid], masks[valid]),
        "pixel_ap": average_precision(maps[valid], masks[valid]),
        "aupro_0.3": aupro(maps, masks, valid=valid),
        "pro_per_image": pro_per_image(maps, masks, valid=valid),
    }
    return {name: round(value, 6) for name, value in values.items()}
