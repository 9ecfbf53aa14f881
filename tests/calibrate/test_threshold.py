from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrate.threshold import ENOUGH_FOR_SHAPE, tail_threshold

scores = st.lists(st.floats(0, 10, allow_nan=False), min_size=1, max_size=300)


@given(scores, st.sampled_from([0.2, 0.05, 0.01, 0.001, 1e-6]))
def test_it_is_finite_and_falls_with_the_rate(values: list[float], rate: float) -> None:
    strict, loose = tail_threshold(values, rate / 2), tail_threshold(values, rate)
    assert np.isfinite(strict.threshold)
    assert strict.threshold >= loose.threshold - 1e-9


@given(scores)
def test_few_good_parts_are_rejected_at_a_small_rate(values: list[float]) -> None:
    """However the scores look, a rate of one in a thousand does not reject a tenth of those it was set by."""
    threshold = tail_threshold(values, 0.001).threshold
    assert np.mean(np.array(values) > threshold) <= 0.1


@pytest.mark.parametrize("rate", [0.05, 0.02, 0.01])
def test_the_rate_holds_on_fresh_scores_of_a_known_distribution(rate: float) -> None:
    rng = np.random.default_rng(0)
    rates = []
    for _ in range(20):
        threshold = tail_threshold(rng.gumbel(1.0, 0.1, 400), rate).threshold
        rates.append(np.mean(rng.gumbel(1.0, 0.1, 20000) > threshold))
    assert np.mean(rates) == pytest.approx(rate, rel=0.35)


def test_it_says_how_it_was_found() -> None:
    rng = np.random.default_rng(0)
    assert "Pareto" in tail_threshold(rng.normal(size=ENOUGH_FOR_SHAPE), 0.001).method
    few = tail_threshold(rng.normal(size=20), 0.001).method
    assert "exponential" in few and "20 held-out" in few and "10000" in few
    assert "quantile" in tail_threshold(rng.normal(size=500), 0.2).method


def test_equal_scores_and_a_single_one_give_that_score() -> None:
    assert tail_threshold([0.5] * 50, 0.001).threshold == 0.5
    assert tail_threshold([0.7], 0.001).threshold == 0.7


def test_none_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        tail_threshold([], 0.01)
