from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from edge_inspect.edge.health.control_limits import OUTSIDE, control_limits


@given(usual=st.floats(0.0005, 0.95), parts=st.one_of(st.integers(1, 60), st.integers(1, 300_000)))
def test_the_limits_are_the_binomial_quantiles(usual: float, parts: int) -> None:
    limits = control_limits(usual, parts)
    assert limits is not None
    low, high = (binom.ppf(q, parts, usual) for q in (OUTSIDE / 2, 1 - OUTSIDE / 2))
    # Where a sum of probabilities is the quantile to the last digit, scipy may round to the other side.
    for found, k in ((limits.low, low), (limits.high, high)):
        assert abs(found * parts - k) < 0.5 or min(abs(binom.cdf(k, parts, usual) - q) for q in (0.001, 0.999)) < 1e-9


def test_limits_that_are_known() -> None:
    assert control_limits(0.05, 1) == (0.0, 1.0)
    assert control_limits(0.5, 2) == (0.0, 1.0)
    # P(X <= 12) = 0.9984 and P(X <= 13) = 0.9994 for 100 parts of which 5 % are rejected.
    assert control_limits(0.05, 100) == (0.0, 0.13)
    assert control_limits(0.05, 0) is None


def test_more_parts_narrow_the_limits() -> None:
    widths = [limits.high - limits.low for parts in (50, 500, 5000, 50_000) if (limits := control_limits(0.03, parts))]
    assert widths == sorted(widths, reverse=True) and widths[-1] < 0.006


@pytest.mark.parametrize("parts", [1_000_000, 20_000_000])
def test_many_parts_are_no_problem(parts: int) -> None:
    limits = control_limits(0.02, parts)
    assert limits is not None and 0.019 < limits.low < 0.02 < limits.high < 0.021
