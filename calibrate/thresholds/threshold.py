"""Thresholds from good images alone, and what can be promised about them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from edge_inspect.calibrate.thresholds.confidence import LEVEL, percent
from edge_inspect.calibrate.thresholds.distributions import beta_binomial, beta_quantile, binomial_quantile

QUARTER = 0.25
"""Highest share of the scores; their mean excess tells how scores continue beyond the highest one."""
REPEATS = 200
RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
"""Shares of good parts to reject, from which `resolvable_rate` chooses."""

PIXEL_QUANTILE = 0.999
"""Share of the pixels of good parts that lie below the pixel threshold."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TailFit:
    """A threshold, how it was found, and how it will treat good parts.

    Attributes:
        threshold: Score that good parts exceed at the requested rate.
        method: How the threshold was found, in words, for the manifest and the report.
        threshold_low: Lower end of the threshold's interval, in which the score that good parts really exceed at the
            requested rate lies.
        threshold_high: Upper end of this interval.
        rate: Requested share of good parts to reject.
        rate_low: Lower end of the interval of the share of good parts that the threshold will really reject.
        rate_high: Upper end of this interval.
        images: Number of held-out good scores that the threshold comes from.
        above: How many of them are above the threshold.
        images_wanted: How many would keep `rate_high` at twice the requested rate.
    """

    threshold: float
    method: str
    threshold_low: float
    threshold_high: float
    rate: float
    rate_low: float
    rate_high: float
    images: int
    above: int
    images_wanted: int

    @property
    def enough(self) -> bool:
        """Whether there are enough scores to promise no more than twice the requested rate."""
        return self.images >= self.images_wanted

    def rates_on(self, images: int) -> tuple[float, float]:
        """Return the smallest and largest share of so many new good images above the threshold, at `LEVEL`.

        The interval is wider than `rate_low` to `rate_high`, because so many images do not show their true rate
        exactly. Old and new scores are exchangeable, so the number of new ones above the k-th highest of n is
        beta-binomial with k and n - k + 1, whatever their distribution (Wilks 1942). The ends are the outer order
        statistics of `rate_low` and `rate_high`.
        """
        below = self.images - self.above
        low = _counts(images, self.above, below + 1, (1 - LEVEL) / 2) if self.above else 0
        high = _counts(images, self.above + 1, below, (1 + LEVEL) / 2) if below else images
        return low / images, high / images

    def __str__(self) -> str:
        """Return one line for a person."""
        said = (
            f"threshold {self.threshold:.4f} ({self.threshold_low:.4f} to {self.threshold_high:.4f}), {self.method}; "
            f"asked to reject {percent(self.rate)} of good parts, it will reject {percent(self.rate_low)} to "
            f"{percent(self.rate_high)} ({percent(LEVEL)} confidence)"
        )
        wanted = f"{self.images_wanted} images would keep it below about {percent(min(1, 2 * self.rate))}"
        return said if self.enough else f"{said}; {wanted}"


def resolves(rate: float, images: int) -> bool:
    """Return whether so many held-out good scores can tell a rate: on average, one lies beyond its threshold."""
    return rate * (images + 1) >= 1


def images_to_resolve(rate: float) -> int:
    """Return the smallest number of held-out good scores that can tell a rate."""
    return max(1, math.ceil(round(1 / rate - 1, 6)))


def resolvable_rate(images: int) -> float:
    """Return the smallest of `RATES` that so many good scores can tell twice over; the largest if they tell none so.

    Two scores then lie beyond the threshold on average, so that no single odd part sets it. A smaller rate lets more
    defects through: with 21 scores of MVTec AD transistor, 23 of 40 defects were found at 0.1 %, and 37 at 5 %.
    """
    return next((rate for rate in RATES if resolves(rate / 2, images)), RATES[-1])


def tail_threshold(scores: Sequence[float], false_reject_rate: float) -> TailFit:
    """Return the score that good parts exceed at a rate, from held-out good scores; it never rises with the rate.

    If the scores can tell the rate, the threshold is an interpolated order statistic: on average over samples, the rate
    of the k-th highest of n is k / (n + 1), whatever the distribution. A fitted tail is hardly steadier there, and it
    misses the rate if the scores do not follow it, as with parts of two sorts.

    Smaller rates are extrapolated: beyond the highest score an exponential tail is assumed, whose scale is the mean
    excess of the highest quarter. A generalised Pareto tail, whose shape is fitted too, rejects more than requested,
    because the scatter of the shape raises the rate on average. For 0.1 % requested from 100 scores, it rejects 1.6
    times that on average over eight distributions; the exponential tail rejects 1.0 times that
    (tests/benchmarks/tails.py).

    The rate that the threshold will really have is bounded by the interval of Clopper and Pearson for the scores found
    above it. The interval assumes no distribution: ties, outliers or a misjudged tail do not invalidate it. At an order
    statistic its upper end is exact, because the rate above the k-th highest follows Beta(k, n - k + 1).

    The interval of the threshold itself comes from order statistics too, and assumes no distribution either. Its upper
    end needs about 3 / rate scores. With fewer scores it is the upper end of a parametric bootstrap, and only as good
    as the tail: 200 samples are drawn from the fitted distribution, and each gets its threshold by the same rule.

    Args:
        scores: Scores of good parts the model has never seen.
        false_reject_rate: Share of good parts to exceed the threshold, in (0, 1).

    Raises:
        ValueError: There is no score, one is not finite, or the rate is not in (0, 1).
    """
    falling = np.sort(np.asarray(scores, np.float64))[None, ::-1]
    if falling.size == 0:
        raise ValueError("a threshold needs at least one score")
    if not np.isfinite(falling).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(falling))} of {falling.size} scores are not finite")
    if not 0 < false_reject_rate < 1:
        raise ValueError(f"the false-reject rate {false_reject_rate} must lie between 0 and 1")
    rate = np.array([false_reject_rate])
    threshold = _levels(falling, rate).item()
    low, high = _interval(falling, rate)
    above = int(np.count_nonzero(falling > threshold))
    rate_low, rate_high = clopper_pearson(above, falling.size)
    return TailFit(
        threshold=threshold,
        method=_method(falling, false_reject_rate),
        threshold_low=min(low, threshold),
        threshold_high=max(high, threshold),
        rate=false_reject_rate,
        rate_low=rate_low,
        rate_high=rate_high,
        images=falling.size,
        above=above,
        images_wanted=images_wanted(false_reject_rate),
    )


def exceeded_at(scores: Sequence[float], rates: Sequence[float]) -> list[float]:
    """Return the scores that `tail_threshold` finds for several rates; for a chart."""
    falling = np.sort(np.asarray(scores, np.float64))[None, ::-1]
    return [float(level) for level in _levels(falling, np.asarray(rates, np.float64))[0]]


def pixel_threshold(maps: Sequence[NDArray[np.float32]], image: float) -> float:
    """Return the map value that one in a thousand pixels of good parts exceeds; at most the image threshold.

    The pixel threshold rejects nothing: it only outlines regions of parts that are rejected anyway. A single good image
    has enough pixels for that rate, so no tail is fitted. As the pixel threshold is never above the image threshold,
    every rejected part has a region.

    Args:
        maps: Maps of good parts, each without its padding, because no region can lie there.
        image: The image threshold.
    """
    values = np.concatenate([each.ravel() for each in maps])
    return min(float(np.quantile(values, PIXEL_QUANTILE)), image)


def clopper_pearson(count: float, total: float) -> tuple[float, float]:
    """Return the interval, at `LEVEL`, of a share of which `count` in `total` were seen (Clopper & Pearson 1934)."""
    tail = (1 - LEVEL) / 2
    low = beta_quantile(count, total - count + 1, tail) if count > 0 else 0.0
    high = beta_quantile(count + 1, total - count, 1 - tail) if count < total else 1.0
    return low, high


@cache
def images_wanted(rate: float) -> int:
    """Return the fewest good images of which this share above a threshold promises at most twice the rate."""
    few, enough = 0, 1
    while clopper_pearson(rate * enough, enough)[1] > 2 * rate:
        few, enough = enough, 2 * enough
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (middle, enough) if clopper_pearson(rate * middle, middle)[1] > 2 * rate else (few, middle)
    return enough


def _levels(falling: Floats, rates: Floats) -> Floats:
    """Return the scores exceeded at the rates, (R,), from samples sorted from the highest, (S, N): (S, R)."""
    n = falling.shape[1]
    ranks = rates * (n + 1)
    inside = np.clip(ranks, 1, n)
    upper = inside.astype(np.intp)
    above, below = falling[:, upper - 1], falling[:, np.minimum(upper, n - 1)]
    beyond = _mean_excess(falling) * np.maximum(-np.log(ranks), 0)
    levels: Floats = above - (inside - upper) * (above - below) + beyond
    return levels


def _mean_excess(falling: Floats) -> Floats:
    """Return the mean excess of the highest quarter over the next score, (S, 1): the scale of the exponential tail."""
    n = falling.shape[1]
    quarter = min(max(1, round(QUARTER * n)), n - 1)
    if quarter == 0:
        return np.zeros((len(falling), 1))
    return np.asarray((falling[:, :quarter] - falling[:, quarter : quarter + 1]).mean(axis=1, keepdims=True))


def _interval(falling: Floats, rate: Floats) -> tuple[float, float]:
    """Return the interval of the score that is exceeded at the rate: the scores that a likely number lies above."""
    n = falling.size
    fewest, most = (binomial_quantile(share, n, rate.item()) for share in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    high = falling[0, fewest - 1] if fewest else np.quantile(_bootstrap(falling, rate), (1 + LEVEL) / 2)
    return float(falling[0, min(most, n - 1)]), float(high)


def _bootstrap(falling: Floats, rate: Floats) -> Floats:
    """Return the threshold of each of the samples drawn from the fitted distribution."""
    drawn = np.sort(np.random.default_rng(0).random((REPEATS, falling.size)))
    return _levels(_levels(falling, drawn.ravel()).reshape(drawn.shape), rate)


def _counts(images: int, a: int, b: int, share: float) -> int:
    """Return the smallest count whose beta-binomial distribution function reaches a share."""
    return int(np.searchsorted(np.cumsum(beta_binomial(images, a, b)), share))


def _method(falling: Floats, rate: float) -> str:
    n = falling.size
    rank, of = rate * (n + 1), f"of {n} held-out good scores"
    if falling[0, 0] == falling[0, -1]:
        return "the only held-out good score" if n == 1 else f"all {n} held-out good scores are equal"
    if resolves(rate, n):
        return f"order statistic, rank {rank:.3g} {of}"
    return f"exponential tail beyond the highest {of}"
