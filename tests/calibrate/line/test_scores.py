"""Which scores of a line's parts are taken for good: simulated lines with bad parts in the stream."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_inspect.calibrate.line.scores import SURELY, sort_out
from edge_inspect.calibrate.thresholds.distributions import binomial_quantile
from edge_inspect.calibrate.thresholds.threshold import clopper_pearson, resolvable_rate, tail_threshold

Draw = Callable[[np.random.Generator, int], np.ndarray]
GOOD: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(0.3, 0.02, n),
    "gumbel": lambda rng, n: rng.gumbel(0.3, 0.02, n),
    "gamma": lambda rng, n: rng.gamma(9, 0.03, n),
    "lognormal": lambda rng, n: rng.lognormal(-1.2, 0.2, n),
}
BAD: dict[str, Draw] = {
    "near and far": lambda rng, n: rng.uniform(1, 15, n),
    "far": lambda rng, n: rng.normal(20, 3, n),
    "alike": lambda rng, n: np.full(n, 12.0),
}


def line(rng: np.random.Generator, good: Draw, bad: Draw, parts: int, share: float) -> np.ndarray:
    """Scores of parts; bad ones lie deviations above the mean of good ones."""
    scores = good(rng, parts)
    many = good(rng, 20_000)
    count = round(share * parts)
    scores[:count] = many.mean() + many.std() * bad(rng, count)
    return rng.permutation(scores)


def threshold(scores: np.ndarray) -> float:
    return tail_threshold(scores.tolist(), resolvable_rate(scores.size)).threshold


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("good", GOOD)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.02])
def test_the_threshold_is_within_a_fifth_of_that_of_5000_good_parts(good: str, bad: str, share: float) -> None:
    rng = np.random.default_rng(23)
    ratios = []
    for _ in range(10):
        wanted = threshold(GOOD[good](rng, 5000))
        found = threshold(sort_out(line(rng, GOOD[good], BAD[bad], 2000, share), 0.02).good)
        ratios.append(found / wanted)
    assert np.median(ratios) == pytest.approx(1, abs=0.15)
    assert np.mean(np.abs(np.array(ratios) - 1) < 0.2) >= 0.9


@pytest.mark.parametrize("good", ["normal", "gumbel"])
def test_without_bad_parts_nearly_nothing_is_left_out(good: str) -> None:
    rng = np.random.default_rng(29)
    left_out = [2000 - sort_out(GOOD[good](rng, 2000), 0.02).good.size for _ in range(40)]
    assert np.mean(np.array(left_out) > 0) <= 0.1


@pytest.mark.parametrize(("stated", "true"), [(0.0, 0.0), (0.05, 0.05), (0.2, 0.1), (0.49, 0.3)])
def test_clear_defects_are_left_out_and_at_most_the_stated_share(stated: float, true: float) -> None:
    rng = np.random.default_rng(31)
    scores = line(rng, GOOD["normal"], BAD["far"], 1000, true)
    kept = sort_out(scores, stated).good
    assert kept.max() < 0.4
    assert 1000 - binomial_quantile(SURELY, 1000, stated) <= kept.size <= 1000 * (1 - true)


@pytest.mark.parametrize("good", GOOD)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.02])
def test_good_parts_are_rejected_about_as_often_as_asked(good: str, share: float) -> None:
    """The highest good scores lie among the bad ones; where all of those were left out, it was four times as often."""
    rng = np.random.default_rng(43)
    many = np.sort(GOOD[good](rng, 1_000_000))
    rates, promised = [], []
    for _ in range(20):
        kept, undecided = sort_out(line(rng, GOOD[good], BAD["near and far"], 2000, share), 0.02)
        fit = tail_threshold(kept.tolist(), resolvable_rate(kept.size))
        true = 1 - np.searchsorted(many, fit.threshold) / many.size
        rates.append(true / fit.rate)
        promised.append(true <= clopper_pearson(fit.above + undecided, fit.images + undecided)[1])
    assert np.mean(rates) <= 2.5
    assert np.mean(promised) >= 0.9


@pytest.mark.parametrize("good", GOOD)
@pytest.mark.parametrize("parts", [1000, 2000, 5000])
def test_chance_that_puts_more_bad_parts_into_the_shadow_than_are_usual_sets_no_threshold(
    good: str, parts: int
) -> None:
    """The line's share is stated rightly, but by chance more were bad: as many as once in 20 shadows."""
    rng = np.random.default_rng(41)
    bad = binomial_quantile(0.95, parts, 0.02)
    scores = line(rng, GOOD[good], BAD["far"], parts, bad / parts)
    wanted = threshold(GOOD[good](rng, 5000))
    assert threshold(sort_out(scores, 0.02).good) == pytest.approx(wanted, rel=0.2)


@given(arrays(np.float64, st.integers(1, 300), elements=st.floats(-1e6, 1e6)), st.floats(0, 0.49))
@settings(deadline=None)
def test_any_scores_keep_their_lowest(scores: np.ndarray, bad_share: float) -> None:
    kept = sort_out(scores, bad_share).good
    assert kept.size >= max(scores.size / 2, scores.size - binomial_quantile(SURELY, scores.size, bad_share))
    assert (kept == np.sort(scores)[: kept.size]).all()
