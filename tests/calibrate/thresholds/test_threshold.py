from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from edge_inspect.calibrate.thresholds.confidence import LEVEL, percent
from edge_inspect.calibrate.thresholds.threshold import (
    TailFit,
    clopper_pearson,
    exceeded_at,
    images_to_resolve,
    images_wanted,
    pixel_threshold,
    resolvable_rate,
    resolves,
    tail_threshold,
)

Scores = NDArray[np.float64]

FAMILIES: list[Callable[[np.random.Generator, int], Scores]] = [
    lambda rng, n: rng.standard_cauchy(n),
    lambda rng, n: rng.random(n),
    lambda rng, n: rng.integers(0, 4, n).astype(float),
    lambda rng, n: np.minimum(rng.normal(size=n), 1.5),
    lambda rng, n: np.append(rng.normal(size=n), 1e6),
]
"""Heavy and light tails, ties everywhere, ties at the top, an outlier."""

any_scores = st.one_of(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=150),
    st.lists(st.integers(0, 3).map(float), min_size=1, max_size=150),
    st.builds(
        lambda family, n, seed: family(np.random.default_rng(seed), n).tolist(),
        st.sampled_from(FAMILIES),
        st.integers(1, 500),
        st.integers(0, 2**32 - 1),
    ),
)
rates = st.floats(1e-9, 1, exclude_max=True)


@settings(max_examples=60, deadline=None)
@given(any_scores, rates, rates)
def test_a_larger_rate_never_gives_a_larger_threshold(scores: list[float], one: float, other: float) -> None:
    strict, loose = tail_threshold(scores, min(one, other)), tail_threshold(scores, max(one, other))
    assert strict.threshold >= loose.threshold - 1e-12 * abs(loose.threshold)
    assert strict.above <= loose.above
    assert strict.rate_low <= loose.rate_low and strict.rate_high <= loose.rate_high


@settings(max_examples=60, deadline=None)
@given(any_scores, rates)
def test_whatever_the_scores_there_is_an_answer_that_holds_together(scores: list[float], rate: float) -> None:
    fit = tail_threshold(scores, rate)
    assert -np.inf < fit.threshold_low <= fit.threshold <= fit.threshold_high < np.inf
    assert 0 <= fit.rate_low <= fit.above / len(scores) <= fit.rate_high <= 1
    assert fit.above == sum(score > fit.threshold for score in scores)
    low, high = fit.rates_on(40)
    assert 0 <= low <= high <= 1
    assert fit.threshold >= min(scores)
    assert fit == tail_threshold(scores[::-1], rate), "neither order nor chance changes it"
    assert len(str(fit)) > 100


@given(st.integers(1, 400), st.integers(0, 2**32 - 1), st.floats(1e-6, 0.999))
@settings(max_examples=30, deadline=None)
def test_the_tail_meets_the_order_statistics_without_a_step(n: int, seed: int, rate: float) -> None:
    scores = np.random.default_rng(seed).gumbel(size=n).tolist()
    here, there = tail_threshold(scores, rate), tail_threshold(scores, rate * (1 - 1e-9))
    assert there.threshold == pytest.approx(here.threshold, abs=1e-5)


@given(any_scores, st.floats(0.1, 100), st.floats(-10, 10))
@settings(max_examples=30, deadline=None)
def test_another_scale_of_the_scores_is_another_scale_of_the_threshold(
    scores: list[float], scale: float, shift: float
) -> None:
    moved = [scale * score + shift for score in scores]
    expected = scale * tail_threshold(scores, 0.02).threshold + shift
    size = max(map(abs, [*moved, 1.0])) * 1e-6
    assert tail_threshold(moved, 0.02).threshold == pytest.approx(expected, abs=size, rel=1e-6)


@pytest.mark.parametrize("n", [50, 200])
@pytest.mark.parametrize("rate", [0.05, 0.02])
def test_the_rate_is_the_one_asked_for_on_average(rate: float, n: int) -> None:
    rng = np.random.default_rng(0)
    found = [stats.gumbel_r.sf(tail_threshold(rng.gumbel(size=n).tolist(), rate).threshold) for _ in range(100)]
    assert np.mean(found) == pytest.approx(rate, rel=0.3)


@pytest.mark.parametrize(
    ("draw", "above"),
    [
        (lambda rng, size: rng.normal(size=size), stats.norm.sf),
        (lambda rng, size: rng.gamma(2, size=size), stats.gamma(2).sf),
        (lambda rng, size: rng.lognormal(sigma=0.8, size=size), stats.lognorm(0.8).sf),
        (lambda rng, size: rng.standard_t(4, size), stats.t(4).sf),
        (lambda rng, size: rng.random(size), stats.uniform.sf),
    ],
    ids=["normal", "gamma", "lognormal", "student", "uniform"],
)
@pytest.mark.parametrize("n", [20, 49, 100, 120, 200])
def test_the_default_rate_is_kept_on_average_whatever_the_distribution(
    draw: Callable[[np.random.Generator, int], Scores], above: Callable[[float], float], n: int
) -> None:
    """A tail with a shape of its own, fitted to just above 100 scores, rejected twice as many."""
    rng, rate = np.random.default_rng(0), resolvable_rate(n)
    found = [above(exceeded_at(draw(rng, n).tolist(), [rate])[0]) for _ in range(1000)]
    assert 0.8 < np.mean(found) / rate < 1.15


@pytest.mark.parametrize("n", [100, 200, 400])
def test_a_rate_below_the_default_is_not_exceeded_twice_on_average(n: int) -> None:
    rng = np.random.default_rng(0)
    families = ((rng.normal, stats.norm.sf), (rng.gumbel, stats.gumbel_r.sf), (rng.exponential, stats.expon.sf))
    for draw, above in families:
        found = [above(exceeded_at(draw(size=n).tolist(), [0.001])[0]) for _ in range(500)]
        assert np.mean(found) < 0.002


@pytest.mark.parametrize(("n", "rate"), [(30, 0.05), (100, 0.05), (200, 0.02)])
def test_the_true_threshold_lies_in_the_stated_interval(n: int, rate: float) -> None:
    rng = np.random.default_rng(0)
    true, inside = stats.gamma.isf(rate, 2), []
    for _ in range(200):
        fit = tail_threshold(rng.gamma(2, size=n).tolist(), rate)
        inside.append(fit.threshold_low <= true <= fit.threshold_high)
    assert np.mean(inside) >= LEVEL - 0.04


def bimodal(rng: np.random.Generator, n: int) -> Scores:
    return np.where(rng.random(n) < 0.07, rng.normal(4, 0.5, n), rng.normal(0, 1, n))


@pytest.mark.parametrize("rate", [0.05, 0.02])
@pytest.mark.parametrize(
    "draw",
    [lambda rng, n: rng.normal(size=n), lambda rng, n: rng.lognormal(sigma=0.8, size=n), bimodal],
    ids=["normal", "lognormal", "bimodal"],
)
def test_good_parts_never_seen_are_rejected_as_often_as_was_stated(
    draw: Callable[[np.random.Generator, int], Scores], rate: float
) -> None:
    """Random halves, as with a real set: one sets the threshold, the rate is measured on the other."""
    rng = np.random.default_rng(1)
    inside = []
    for n in (40, 60, 120):
        for _ in range(20):
            scores = draw(rng, 2 * n)
            fit = tail_threshold(scores[:n].tolist(), rate)
            low, high = fit.rates_on(n)
            inside.append(low <= np.mean(scores[n:] > fit.threshold) <= high)
    assert np.mean(inside) >= LEVEL


def test_the_measured_rates_are_those_of_all_orders_of_old_and_new() -> None:
    """Against counting: how many of 5 new scores lie above the 2nd highest of 8, over every way to mix them."""
    import itertools

    counts = np.zeros(6)
    for old in itertools.combinations(range(13), 8):
        above = set(range(13)) - set(old)
        counts[sum(place > sorted(old)[-2] for place in above)] += 1
    exact = np.cumsum(counts / counts.sum())
    scores = list(np.linspace(0, 1, 8))
    fit = tail_threshold(scores, 2 / 9)
    assert fit.threshold == pytest.approx(scores[-2]) and fit.above == 1
    assert fit.rates_on(5)[1] == np.argmax(exact >= 0.95) / 5


@pytest.mark.parametrize(("count", "total"), [(0, 20), (1, 50), (7, 31), (20, 20)])
def test_clopper_pearson_is_scipys(count: int, total: int) -> None:
    wanted = stats.binomtest(count, total).proportion_ci(LEVEL, "exact")
    assert clopper_pearson(count, total) == pytest.approx((wanted.low, wanted.high))


@pytest.mark.parametrize("rate", [0.9, 0.2, 0.05, 0.001, 1e-6])
def test_as_many_as_are_wanted_promise_twice_the_rate_and_one_fewer_does_not(rate: float) -> None:
    wanted = images_wanted(rate)
    assert clopper_pearson(wanted * rate, wanted)[1] <= 2 * rate
    assert wanted == 1 or clopper_pearson((wanted - 1) * rate, wanted - 1)[1] > 2 * rate


def fit_of(n: int, rate: float) -> TailFit:
    return tail_threshold(np.random.default_rng(0).normal(size=n).tolist(), rate)


def test_it_says_how_it_was_found_and_how_many_images_would_be_enough() -> None:
    assert fit_of(400, 0.001).method == "exponential tail beyond the highest of 400 held-out good scores"
    assert fit_of(40, 0.05).method == "order statistic, rank 2.05 of 40 held-out good scores"
    assert "order statistic" in fit_of(500, 0.2).method
    few = fit_of(20, 0.001)
    assert few.method == "exponential tail beyond the highest of 20 held-out good scores"
    assert not few.enough and str(few).endswith("5760 images would keep it below about 0.2 %")
    assert "0 % to 13.9 % (90 % confidence)" in str(few)
    many = fit_of(500, 0.05)
    assert many.enough and "images would" not in str(many)


def test_equal_scores_and_a_single_one_give_that_score() -> None:
    equal = tail_threshold([0.5] * 50, 0.001)
    assert equal.threshold == equal.threshold_low == equal.threshold_high == 0.5
    assert equal.method == "all 50 held-out good scores are equal"
    assert (equal.rate_low, equal.rate_high) == pytest.approx((0, 1 - 0.05 ** (1 / 50)))
    single = tail_threshold([0.7], 0.001)
    assert (single.threshold, single.method) == (0.7, "the only held-out good score")


@pytest.mark.parametrize("n", [30, 300])
def test_an_outlier_does_not_carry_the_threshold_away(n: int) -> None:
    """A defect among the good images: at a rate the others settle, it moves the threshold little."""
    clean = np.random.default_rng(0).normal(size=n)
    with_outlier = np.append(clean[1:], 1000.0)
    assert tail_threshold(with_outlier.tolist(), 0.1).threshold < clean.max()


@pytest.mark.parametrize("scores", [[0.1, float("nan")], [float("inf"), 0.2]])
def test_what_is_not_finite_is_refused(scores: list[float]) -> None:
    with pytest.raises(ValueError, match="1 of 2 scores are not finite"):
        tail_threshold(scores, 0.01)


def test_none_and_no_rate_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        tail_threshold([], 0.01)
    for rate in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            tail_threshold([0.1], rate)


@pytest.mark.parametrize(("share", "said"), [(0, "0 %"), (0.001, "0.1 %"), (0.058199, "5.82 %"), (1, "100 %")])
def test_shares_are_said_in_percent(share: float, said: str) -> None:
    assert percent(share) == said


@pytest.mark.parametrize(
    ("images", "rate"),
    [
        (1, 0.05),
        (18, 0.05),
        (98, 0.05),
        (99, 0.02),
        (199, 0.01),
        (399, 0.005),
        (999, 0.002),
        (1999, 0.001),
        (9999, 0.001),
    ],
)
def test_the_default_rate_is_the_smallest_that_the_scores_resolve_twice_over(images: int, rate: float) -> None:
    assert resolvable_rate(images) == rate
    assert resolves(rate, images) == (images >= 19)


@pytest.mark.parametrize(("rate", "images"), [(0.05, 19), (0.001, 999), (0.003, 333), (0.5, 1), (0.9, 1)])
def test_so_many_images_resolve_a_rate_and_one_fewer_does_not(rate: float, images: int) -> None:
    assert images_to_resolve(rate) == images
    assert resolves(rate, images) and (images == 1 or not resolves(rate, images - 1))


@pytest.mark.parametrize("shapes", [[(100, 80)], [(40, 40), (7, 300), (1, 1)], [(2, 2)]])
def test_one_in_a_thousand_pixels_of_all_maps_exceeds_the_pixel_threshold(shapes: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(4)
    maps = [rng.random(shape, np.float32) for shape in shapes]
    values = np.concatenate([each.ravel() for each in maps])
    found = pixel_threshold(maps, 2.0)
    assert np.count_nonzero(values > found) == max(1, round(values.size / 1000))
    assert pixel_threshold(maps, 0.25) == 0.25, "no higher than the image threshold"
