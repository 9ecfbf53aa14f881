"""Our distribution functions against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from edge_inspect.calibrate.thresholds.distributions import beta_binomial, beta_quantile, beta_share, binomial_quantile

SIZES = st.one_of(st.floats(0.01, 20), st.floats(20, 20_000), st.integers(1, 50_000).map(float))


@settings(deadline=None)
@given(SIZES, SIZES, st.floats(0, 1))
def test_the_share_of_a_beta_distribution(a: float, b: float, x: float) -> None:
    assert beta_share(a, b, x) == pytest.approx(special.betainc(a, b, x), rel=1e-7, abs=1e-12)


@settings(deadline=None)
@given(SIZES.filter(lambda a: a > 0.5), SIZES.filter(lambda b: b > 0.5), st.sampled_from([0.001, 0.05, 0.5, 0.95]))
def test_the_quantile_of_a_beta_distribution(a: float, b: float, share: float) -> None:
    assert beta_quantile(a, b, share) == pytest.approx(special.betaincinv(a, b, share), rel=1e-7, abs=1e-12)


@settings(deadline=None)
@given(st.integers(1, 20_000), st.floats(1e-4, 0.9999), st.sampled_from([0.05, 0.3, 0.95]))
def test_the_quantile_of_a_binomial_distribution(n: int, p: float, share: float) -> None:
    found = binomial_quantile(share, n, p)
    assert stats.binom.cdf(found, n, p) >= share - 1e-9
    assert found == 0 or stats.binom.cdf(found - 1, n, p) <= share + 1e-9


@pytest.mark.parametrize(("n", "a", "b"), [(1, 1, 1), (60, 2, 20), (2000, 5, 996), (500, 1, 3000)])
def test_a_beta_binomial_distribution(n: int, a: int, b: int) -> None:
    assert beta_binomial(n, a, b) == pytest.approx(stats.betabinom.pmf(np.arange(n + 1), n, a, b), rel=1e-8, abs=1e-14)
