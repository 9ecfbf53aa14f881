"""The largest value that INT8 represents: four ways to choose it from a histogram of the values that flow.

Clipping rare large values makes the steps finer for all others. No rule is best for every network (NVIDIA/TensorRT
issues 3922 and 4024), so each rule is tried and measured (calibrate/int8/trials.py).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge_inspect.calibrate.int8.activations import BINS, Histogram

LEVELS = 127
"""Steps on either side of zero: activations are symmetric INT8, from -127 to 127."""

PERCENTILE = 99.99
CANDIDATES = 128
SMOOTHING = 1e-4
"""Smallest value of Q where P is not 0: values may be clipped into a bin that was empty itself (as in ONNX Runtime)."""

SMALLEST = 1e-6
"""Smallest scale, so that a tensor that is always zero has one too."""


def maximum(histogram: Histogram) -> float:
    """Return the largest value: nothing is clipped."""
    return histogram.largest


def percentile(histogram: Histogram) -> float:
    """Return the end of the bin in which the 99.99th percentile lies: one value in ten thousand is clipped."""
    seen = np.cumsum(histogram.counts)
    bins = int(np.searchsorted(seen, PERCENTILE / 100 * seen[-1])) + 1
    return bins * histogram.end / BINS


def mse(histogram: Histogram) -> float:
    """Return the end at which INT8's mean squared error is smallest, between clipping errors and coarser steps."""
    centres = (np.arange(BINS) + 0.5) * (histogram.end / BINS)
    clips = np.linspace(0.2, 1.0, CANDIDATES) * histogram.largest
    steps = clips[:, None] / LEVELS
    quantized = np.minimum(np.round(centres / steps), LEVELS) * steps
    errors = ((quantized - centres) ** 2 * histogram.counts).sum(axis=1)
    return float(clips[int(np.argmin(errors))])


def entropy(histogram: Histogram) -> float:
    """Return the end at which the distribution loses least: the smallest Kullback-Leibler divergence, as in TensorRT.

    For each candidate end, P is the histogram up to it, with all larger values added to its last bin. Q is the same
    bins gathered into 128 levels, each level spread evenly over those of its bins that are not empty. Most values after
    a ReLU are zeros; they cost nothing to represent and would drown the rest, so their bin counts as much as the next.
    Source: Migacz, 8-bit Inference with TensorRT, GTC 2017.
    """
    counts = histogram.counts.copy()
    counts[0] = counts[1]
    used = int(np.ceil(histogram.largest / histogram.end * BINS))
    ends = np.unique(np.linspace(min(LEVELS + 1, used), used, CANDIDATES).astype(int))
    return float(ends[int(np.argmin([_divergence(counts, end) for end in ends]))] * histogram.end / BINS)


def _divergence(counts: NDArray[np.float64], end: int) -> float:
    inside = counts[:end]
    level = np.arange(end) * (LEVELS + 1) // end
    held = np.bincount(level, inside > 0)
    q = np.where(inside > 0, (np.bincount(level, inside) / np.maximum(held, 1))[level], 0)
    p = inside.copy()
    p[-1] += counts[end:].sum()
    if not q.any():
        return np.inf
    p, q = p[p > 0] / p.sum(), np.maximum(q[p > 0] / q.sum(), SMOOTHING)
    return float(np.sum(p * np.log(p / q)))


METHODS: dict[str, Callable[[Histogram], float]] = {
    "mse": mse,
    "entropy": entropy,
    "percentile": percentile,
    "max": maximum,
}


def scale(histogram: Histogram, method: str) -> float:
    """Return the step of symmetric INT8 for the counted values, by one of `METHODS`."""
    return max(METHODS[method](histogram) if histogram.largest > 0 else 0, SMALLEST) / LEVELS
