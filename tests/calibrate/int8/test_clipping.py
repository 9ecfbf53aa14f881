from __future__ import annotations

import numpy as np
import pytest

from edge_inspect.calibrate.int8.activations import BINS, EACH, THINNED, Histogram
from edge_inspect.calibrate.int8.clipping import METHODS, entropy, maximum, mse, percentile, scale


def counted(*values: np.ndarray) -> Histogram:
    histogram = Histogram()
    for part in values:
        for few in np.array_split(part.astype(np.float32), -(-part.size // THINNED)):
            histogram.add(few)
    return histogram


def test_a_histogram_grows_and_loses_nothing() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(0, 1, 5000), rng.normal(0, 9, 5000), np.array([-300.0])]
    every = np.abs(np.concatenate(parts))
    histogram = counted(*parts)
    assert histogram.largest == pytest.approx(300)
    assert histogram.largest <= histogram.end < 2 * histogram.largest
    assert histogram.counts.sum() == every.size
    wanted = np.histogram(every.astype(np.float32), BINS, (0, histogram.end))[0]
    # A value on a border may fall to either side: the steps double, and 2 x / (2 y) is not rounded as x / y.
    assert np.abs(np.cumsum(histogram.counts) - np.cumsum(wanted)).max() <= 2


def test_zeros_before_the_first_value_are_counted() -> None:
    histogram = counted(np.zeros(7), np.ones(3))
    assert (histogram.counts[0], histogram.counts.sum()) == (7, 10)


def test_of_very_many_values_each_column_has_its_turn() -> None:
    """Columns of 5 k: a fixed step of five would see the same ones for ever."""
    histogram = Histogram()
    values = np.tile(np.arange(20, dtype=np.float32), (THINNED, 1))
    for _ in range(EACH):
        histogram.add(values)
    assert histogram.counts.sum() == values.size
    assert np.count_nonzero(histogram.counts) == 20


def test_the_methods_on_a_normal_distribution() -> None:
    """Known ends: the largest, the 99.99th percentile of |x| (3.89), and about 4 sigma for the error of 7 bits."""
    histogram = counted(np.random.default_rng(1).normal(size=1_000_000))
    assert maximum(histogram) == histogram.largest > 4.5
    assert percentile(histogram) == pytest.approx(3.891, abs=0.05)
    assert 3.3 < mse(histogram) < 4.6
    assert 2.5 < entropy(histogram) <= histogram.end


def test_a_few_outliers_are_clipped_by_all_but_max() -> None:
    body = np.random.default_rng(2).uniform(0, 1, 1_000_000)
    histogram = counted(body, np.full(5, 100.0))
    assert maximum(histogram) == 100
    assert percentile(histogram) == pytest.approx(1, abs=0.05)
    assert entropy(histogram) < 10


def test_what_is_spread_evenly_is_not_clipped() -> None:
    histogram = counted(np.random.default_rng(3).uniform(0, 4, 1_000_000))
    for method, clip in METHODS.items():
        assert clip(histogram) == pytest.approx(4, rel=0.03), method


def test_entropy_is_the_divergence_of_its_definition() -> None:
    """Against the plain loops of the published procedure, over every end that is a multiple of 128."""
    rng = np.random.default_rng(4)
    histogram = counted(rng.gamma(1.5, 1.0, 50_000))
    counts = histogram.counts.copy()
    counts[0] = counts[1]

    def divergence(end: int) -> float:
        p = counts[:end].copy()
        p[-1] += counts[end:].sum()
        q = np.zeros(end)
        for level in range(128):
            members = [i for i in range(end) if i * 128 // end == level and counts[i] > 0]
            for i in members:
                q[i] = counts[members].sum() / len(members)
        p, q = p / p.sum(), np.maximum(q / q.sum(), 1e-4)
        return float(sum(a * np.log(a / b) for a, b in zip(p, q, strict=True) if a > 0))

    used = int(np.ceil(histogram.largest / histogram.end * BINS))
    found = entropy(histogram) / histogram.end * BINS
    rivals = range(128, used, 512)
    assert divergence(round(found)) <= min(divergence(end) for end in rivals) + 1e-9


@pytest.mark.parametrize("method", METHODS)
def test_a_tensor_that_is_always_zero_has_a_scale(method: str) -> None:
    assert scale(counted(np.zeros(10)), method) > 0
