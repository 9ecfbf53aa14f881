"""The few distribution functions that thresholds need. They use numpy alone, because a box has no scipy."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_STEPS = 400
_TINY = 1e-300


def beta_share(a: float, b: float, x: float) -> float:
    """Return the distribution function of Beta(a, b) at x, the regularised incomplete beta function I_x(a, b).

    It is computed from its continued fraction (NIST DLMF 8.17.22), evaluated by Lentz's method.

    Args:
        a: First parameter, above 0.
        b: Second parameter, above 0.
        x: Point in [0, 1].
    """
    if x <= 0 or x >= 1:
        return float(x > 0)
    if x > (a + 1) / (a + b + 2):  # here the fraction converges slowly, but that of the other tail fast
        return 1 - beta_share(b, a, 1 - x)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    c, d = 1.0, 1 / _away_from_0(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d = 1 / _away_from_0(1 + step * d)
            c = _away_from_0(1 + step / c)
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return math.exp(front) * value / a


def beta_quantile(a: float, b: float, share: float) -> float:
    """Return the x at which the distribution function of Beta(a, b) is `share`, in (0, 1), by bisection."""
    low, high = 0.0, 1.0
    for _ in range(200):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if beta_share(a, b, middle) < share else (low, middle)
    return (low + high) / 2


def binomial_quantile(share: float, n: int, p: float) -> int:
    """Return the smallest count at which the distribution function of n trials of probability p reaches `share`."""
    low, high = -1, n
    while high - low > 1:
        middle = (low + high) // 2
        # P(X <= k) = I_(1 - p)(n - k, k + 1).
        low, high = (low, middle) if beta_share(n - middle, middle + 1, 1 - p) >= share else (middle, high)
    return high


def beta_binomial(n: int, a: float, b: float) -> Floats:
    """Return the probabilities of 0 to n of a beta-binomial distribution, (n + 1,)."""
    log_gamma = np.vectorize(math.lgamma, otypes=[np.float64])
    k = np.arange(n + 1)
    log = (
        math.lgamma(n + 1)
        - log_gamma(k + 1)
        - log_gamma(n - k + 1)
        + log_gamma(k + a)
        + log_gamma(n - k + b)
        - math.lgamma(n + a + b)
        + (math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b))
    )
    found: Floats = np.exp(log)
    return found


def _away_from_0(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
