"""Whether one map finds flaws better than another by more than chance: a bootstrap over the good pictures.

A choice that costs more, or varies more, is taken only if it is better by more than one standard error. The pictures
are resampled (Efron 1979), each good one together with its flaws. Both maps see the same samples, so that pictures that
are hard for both do not count as chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edge_inspect.train.validation import image_scores, smoothed, worth_of

RESAMPLES = 200
LIMIT = 0.3
"""Largest false-positive rate that counts in AUPRO, as in `train.metrics.aupro`."""

SEED = 0xB007
_LEVELS = np.linspace(0, 1, 129) ** 2
"""False-positive rates at which a sample's curve is read; AUPRO comes within 0.002 of the exact value."""

_FEW = 1_000_000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Gain:
    """How much better one map is than another on the same flaws.

    Attributes:
        one: Worth of the first map (`train.validation.worth`).
        other: Worth of the other map.
        error: Standard error of the difference; infinite for a single good picture, which says nothing about chance.
    """

    one: float
    other: float
    error: float

    @property
    def difference(self) -> float:
        """How much better the first map is."""
        return self.one - self.other

    @property
    def sure(self) -> bool:
        """Whether the first is better by more than one standard error."""
        return self.difference > self.error

    def __str__(self) -> str:
        return f"{self.difference:+.4f} ± {self.error:.4f}"


def gain(one: Tensor, other: Tensor, masks: NDArray[np.uint8], valid: NDArray[np.bool_] | None = None) -> Gain:
    """Return how much better `one` is than `other`.

    Args:
        one: Maps before any smoothing, (N, 1, h, w); each good picture's map is followed by those of its flaws.
        other: Another network's maps of the same pictures; their resolution may differ.
        masks: Masks of the flaws, (N, H, W), 0 or 1; empty for good pictures.
        valid: Pixels that count, (N, H, W) bool; by default all.
    """
    counted: NDArray[np.bool_] = np.ones(masks.shape, bool) if valid is None else valid
    smooth = [smoothed(maps, masks) for maps in (one, other)]
    worth, worth_of_other = (worth_of(maps, masks, counted) for maps in smooth)
    groups = int((~masks.any(axis=(1, 2))).sum())
    if groups < 2:
        return Gain(worth, worth_of_other, float("inf"))
    samples = _samples(groups)
    first, second = (worths_of_samples(maps, masks, counted, samples) for maps in smooth)
    # The mean of squares about a sample's own mean is too small by a factor of (n - 1) / n.
    error = float(np.std(first - second) * np.sqrt(groups / (groups - 1)))
    return Gain(worth, worth_of_other, error)


def _samples(groups: int) -> Floats:
    """Return how often each of the good pictures is in each sample, (RESAMPLES, groups)."""
    rng = np.random.default_rng(SEED)
    return np.asarray(rng.multinomial(groups, np.full(groups, 1 / groups), RESAMPLES), np.float64)


def worths_of_samples(
    smooth: NDArray[np.float32], masks: NDArray[np.uint8], valid: NDArray[np.bool_], samples: Floats
) -> Floats:
    """Return the worth of smoothed maps in each sample of the good pictures, (S,); see `train.validation.worth`.

    Args:
        smooth: Smoothed maps, (N, H, W); each good picture's map is followed by those of its flaws.
        masks: Masks of the flaws, (N, H, W), 0 or 1; empty for good pictures.
        valid: Pixels that count, (N, H, W).
        samples: How often each good picture is in each sample, (S, G).
    """
    flawed = np.asarray(masks.any(axis=(1, 2)))
    group = np.cumsum(~flawed) - 1
    return (
        _aurocs(image_scores(smooth, valid), flawed, group, samples) + _aupros(smooth, masks, valid, group, samples)
    ) / 2


def _aurocs(scores: NDArray[np.float32], flawed: NDArray[np.bool_], group: NDArray[np.intp], samples: Floats) -> Floats:
    """Return the image AUROC of each sample: a sum over pairs of pictures, weighted by how often each is drawn."""
    bad, good = scores[flawed][:, None], scores[~flawed][None]
    wins = (bad > good) + 0.5 * (bad == good)
    of_bad = samples[:, group[flawed]]
    return np.asarray(((of_bad @ wins) * samples).sum(1) / (of_bad.sum(1) * samples.sum(1)))


def _aupros(
    smooth: NDArray[np.float32],
    masks: NDArray[np.uint8],
    valid: NDArray[np.bool_],
    group: NDArray[np.intp],
    samples: Floats,
) -> Floats:
    """Return the AUPRO of each sample, by trapezoids between fixed thresholds.

    Pixels above each threshold are counted once for each picture; a sample's curve is then a weighted sum.
    """
    normal = (masks == 0) & valid
    pixels = smooth[normal]
    pixels = pixels[:: max(1, pixels.size // _FEW)]
    thresholds = np.unique(np.quantile(pixels, 1 - _LEVELS[1:-1]))
    groups = samples.shape[1]
    false, overlap = np.zeros((groups, thresholds.size)), np.zeros((groups, thresholds.size))
    pixels_of, regions_of = np.zeros(groups), np.zeros(groups)
    for i, g in enumerate(group):
        false[g] += _above(smooth[i][normal[i]], thresholds)
        pixels_of[g] += normal[i].sum()
        count, labels = cv2.connectedComponents(masks[i] * valid[i], connectivity=8)
        inside = labels > 0
        region = labels[inside]
        overlap[g] += _above(smooth[i][inside], thresholds, 1 / np.bincount(region)[region])
        regions_of[g] += count - 1
    rate = samples @ false / np.maximum(samples @ pixels_of, 1)[:, None]
    found = samples @ overlap / np.maximum(samples @ regions_of, 1)[:, None]
    return np.array([_area(x[::-1], y[::-1]) for x, y in zip(rate, found, strict=True)])


def _above(values: NDArray[np.float32], thresholds: Floats, weights: Floats | None = None) -> Floats:
    """Return how many values, or which total of their weights, lie above each of the rising thresholds."""
    below = np.bincount(np.searchsorted(thresholds, values), weights, thresholds.size + 1)
    return np.asarray(below[::-1].cumsum()[::-1][1:], np.float64)


def _area(rate: Floats, found: Floats) -> float:
    """Return the area under a curve from (0, 0) to (1, 1), up to `LIMIT`, divided by `LIMIT`."""
    x, y = np.concatenate([[0.0], rate, [1.0]]), np.concatenate([[0.0], found, [1.0]])
    inside = x < LIMIT
    x, y = np.append(x[inside], LIMIT), np.append(y[inside], np.interp(LIMIT, x, y))
    return float(np.trapezoid(y, x) / LIMIT)
