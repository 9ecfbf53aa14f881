"""The metrics of anomaly detection, in float64 and exact.

Every distinct score is a threshold, and ties are resolved as areas. Metrics of images take one score for each picture.
Metrics of pixels take every pixel of every picture, and pictures may differ in size. `labels` are 1 for defective.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

Maps = NDArray[np.floating] | Sequence[NDArray[np.floating]]
"""A map of each picture, (H, W) float; maps of one size may also be one array, (N, H, W)."""

Masks = NDArray[np.uint8] | Sequence[NDArray[np.uint8]]
"""The ground truth of each picture, (H, W), 0 or 1, of the size of its map."""

Counted = NDArray[np.bool_] | Sequence[NDArray[np.bool_]]
"""Whether each pixel of each picture counts, (H, W)."""


def auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Return the area under the ROC curve: the probability that a defect scores above a good one; ties count half.

    Raises:
        ValueError: One of the two classes is missing.
    """
    good, bad = _classes(scores, labels)
    below, at_most = np.searchsorted(good, bad), np.searchsorted(good, bad, side="right")
    return float((below.sum() + at_most.sum()) / 2 / good.size / bad.size)


def roc(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats]:
    """Return the receiver operating characteristic: false- and true-positive rate at each distinct score, 0 to 1.

    Raises:
        ValueError: One of the two classes is missing.
    """
    true, false, _ = _curve(scores, labels)
    return false / false[-1], true / true[-1]


def average_precision(scores: ArrayLike, labels: ArrayLike) -> float:
    """Return the average precision: `sum_n (R_n - R_{n-1}) P_n` over falling thresholds, not interpolated.

    Raises:
        ValueError: One of the two classes is missing.
    """
    good, bad = _classes(scores, labels)
    thresholds, first, count = np.unique(bad, return_index=True, return_counts=True)  # recall rises at no other score
    true, false = bad.size - first, good.size - np.searchsorted(good, thresholds)
    return float(np.sum(count / bad.size * true / (true + false)))


def f1_max(scores: ArrayLike, labels: ArrayLike) -> tuple[float, float]:
    """Return the largest F1 over all thresholds, and the threshold that gives it (scores at or above are defective)."""
    true, false, thresholds = _curve(scores, labels)
    f1 = 2 * true[1:] / (true[1:] + false[1:] + true[-1])
    best = int(np.argmax(f1))
    return float(f1[best]), float(thresholds[best])


def aupro(
    maps: Maps,
    masks: Masks,
    limit: float = 0.3,
    valid: Counted | None = None,
) -> float:
    """Return the area under the per-region overlap curve of the data set up to a false-positive rate, over that rate.

    Every connected region (8 neighbours) of the ground truth counts the same, whatever its size. The false-positive
    rate is that of all normal pixels of all pictures. Source: Bergmann et al., MVTec AD, IJCV 2021, section 5.1.

    The curve is a mean over regions of means over their pixels, and so is its area. A pixel enters the curve on the
    line from (a, 0) to (b, 1), where a is the share of normal pixels that score above it, and b the share of those that
    score at least as high. So only the defective pixels and the highest normal ones need sorting.

    Args:
        maps: Anomaly maps, finite.
        masks: Ground truth.
        limit: Largest false-positive rate, above 0 and at most 1.
        valid: Pixels that count; by default all. The others are treated as if they did not exist.

    Raises:
        ValueError: There is no defective or no normal pixel, or a score is not finite.
    """
    scores: list[NDArray[np.floating]] = []
    shares: list[Floats] = []
    rest: list[NDArray[np.floating]] = []
    regions = 0
    for anomaly, mask, counted in zip(maps, masks, _counted(masks, valid), strict=True):
        count, labels = cv2.connectedComponents(mask * counted, connectivity=8)
        inside = labels > 0
        region = labels[inside]
        scores.append(anomaly[inside])
        shares.append(1 / np.bincount(region)[region])
        rest.append(anomaly[(mask == 0) & counted])
        regions += count - 1
    normal = np.concatenate(rest)
    if regions == 0 or normal.size == 0:
        raise ValueError("AUPRO needs defective and normal pixels")
    entered = _areas_up_to(np.concatenate(scores), normal, limit)
    return float(np.sum(entered * np.concatenate(shares)) / regions / limit)


def _areas_up_to(scores: NDArray[np.floating], normal: NDArray[np.floating], limit: float) -> Floats:
    """Return the area from 0 to `limit` under the line on which each score enters the curve, (K,); sort `normal`."""
    _require_finite(scores)
    _require_finite(normal)
    reach = limit * normal.size
    lowest = normal.size - 1 - min(int(reach), normal.size - 1)
    normal.partition(lowest)
    highest = np.sort(normal[normal >= normal[lowest]])  # lower scores enter past the limit
    order = np.argsort(scores)  # searching in order is several times faster
    above, at_least = np.empty(scores.size), np.empty(scores.size)
    above[order] = highest.size - np.searchsorted(highest, scores[order], side="right")
    at_least[order] = highest.size - np.searchsorted(highest, scores[order], side="left")
    end = np.minimum(at_least, reach)
    # Counts: if no normal pixel has the same score, `end - above` is 0, and any divisor will do.
    ramp = (end - above) ** 2 / (2 * np.maximum(at_least - above, 1))
    return np.where(above < reach, ramp + reach - end, 0) / normal.size


def pro_per_image(
    maps: Maps,
    masks: Masks,
    limit: float = 0.3,
    valid: Counted | None = None,
) -> float:
    """Return PRO as RD4AD's family of code computes it, which must not be compared with the data set's AUPRO.

    There is one curve for each defective picture. 200 thresholds are spaced evenly between the extremes of that
    picture's own map; the mean overlap of its regions is plotted over its own false-positive rate. Rates below `limit`
    are kept and divided by the largest kept rate, and trapezoids give the area. The result is the mean over defective
    pictures (docs/methods.md, "Metrics"). That code has no answer if the kept rates are all 0 or if there are fewer
    than two; here the mean of the kept overlaps then stands for the area, or 0 without any. The arguments are those of
    `aupro`.

    Raises:
        ValueError: There is no defective picture with normal pixels, or a score is not finite.
    """
    areas = []
    for anomaly, mask, counted in zip(maps, masks, _counted(masks, valid), strict=True):
        _require_finite(anomaly[counted])
        if mask[counted].any() and not mask[counted].all():
            areas.append(_pro_of_image(anomaly, mask * counted, counted, limit))
    if not areas:
        raise ValueError("PRO needs defective pictures with normal pixels")
    return float(np.mean(areas))


def _pro_of_image(
    anomaly: NDArray[np.floating], mask: NDArray[np.uint8], counted: NDArray[np.bool_], limit: float
) -> float:
    _, labels = cv2.connectedComponents(mask, connectivity=8)
    low, high = float(anomaly[counted].min()), float(anomaly[counted].max())
    thresholds = np.linspace(low, high, 200, endpoint=False)

    def above(values: NDArray[np.floating]) -> Floats:
        return 1 - np.searchsorted(np.sort(values), thresholds, side="right") / values.size

    overlap = np.mean([above(anomaly[labels == region]) for region in range(1, labels.max() + 1)], axis=0)
    false = above(anomaly[(mask == 0) & counted])
    kept = false < limit
    if np.count_nonzero(kept) < 2 or false[kept].max() == 0:
        return float(overlap[kept].mean()) if kept.any() else 0.0
    x, y = false[kept] / false[kept].max(), overlap[kept]
    return float(np.trapezoid(y[::-1], x[::-1]))


def _curve(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return how many defective and good samples score at least each distinct score, from 0, and these scores."""
    good, bad = _classes(scores, labels)
    thresholds = np.unique(np.concatenate([good, bad]))[::-1]
    false, true = (np.append(0.0, part.size - np.searchsorted(part, thresholds)) for part in (good, bad))
    return true, false, thresholds.astype(np.float64)


def _classes(scores: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Return the scores of the good samples and of the defective ones, each in rising order."""
    values, truth = np.asarray(scores).ravel(), np.asarray(labels).ravel().astype(bool)
    if truth.all() or not truth.any():
        raise ValueError("both good and defective samples are needed")
    _require_finite(values)
    return np.sort(values[~truth]), np.sort(values[truth])


def _counted(masks: Masks, valid: Counted | None) -> Counted:
    return [np.broadcast_to(np.True_, mask.shape) for mask in masks] if valid is None else valid


def _require_finite(scores: NDArray[np.floating]) -> None:
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")


def summarise(
    scores: Sequence[float],
    good: Sequence[bool],
    maps: Maps,
    masks: Masks,
    valid: Counted,
) -> dict[str, float]:
    """Return every metric of a test split, by name, rounded to 6 digits; pixels that are not `valid` do not count."""
    return of_images(scores, good) | of_pixels(maps, masks, valid)


def of_images(scores: Sequence[float], good: Sequence[bool]) -> dict[str, float]:
    """Return the metrics of image scores, by name, rounded to 6 digits."""
    labels = [not g for g in good]
    f1, threshold = f1_max(scores, labels)
    values = {"image_auroc": auroc(scores, labels), "image_f1_max": f1, "image_f1_threshold": threshold}
    return {name: round(value, 6) for name, value in values.items()}


def of_pixels(maps: Maps, masks: Masks, valid: Counted) -> dict[str, float]:
    """Return the metrics of pixels, by name, rounded to 6 digits; pixels that are not `valid` do not count.

    Raises:
        ValueError: There is no defective or no normal pixel, or a score is not finite.
    """
    scores, labels = (
        np.concatenate([part[counted] for part, counted in zip(parts, valid, strict=True)]) for parts in (maps, masks)
    )
    values = {
        "pixel_auroc": auroc(scores, labels),
        "pixel_ap": average_precision(scores, labels),
        "aupro_0.3": aupro(maps, masks, valid=valid),
    }
    seen = zip(masks, valid, strict=True)
    if any(mask[inside].any() and not mask[inside].all() for mask, inside in seen):  # otherwise no picture has a curve
        values["pro_per_image"] = pro_per_image(maps, masks, valid=valid)
    return {name: round(value, 6) for name, value in values.items()}
