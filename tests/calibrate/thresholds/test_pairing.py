from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.calibrate.decision import fit_all
from edge_inspect.calibrate.precisions.measurement import Measurement
from edge_inspect.calibrate.thresholds.pairing import pair
from edge_inspect.calibrate.thresholds.threshold import tail_threshold
from edge_inspect.edge.contract.fields import Precision


def said(scores: list[float]) -> Measurement:
    return Measurement(scores, [np.zeros((4, 4), np.float32)], [np.zeros((4, 4), np.float32)], 1.0)


@given(st.lists(st.integers(-1000, 1000).map(float), min_size=1, max_size=60), st.integers(-50, 50).map(float))
def test_a_precision_that_moves_every_score_alike_gives_every_verdict_alike(scores: list[float], by: float) -> None:
    moved = [score + by for score in scores]
    fits = fit_all(tail_threshold(scores, 0.05), {"fp32": said(scores), "int8": said(moved)})
    assert fits["int8"].threshold == pytest.approx(fits["fp32"].threshold + by)
    assert fits["fp32"] == tail_threshold(scores, 0.05)
    same = ("rate", "rate_low", "rate_high", "images", "above", "images_wanted")
    assert all(getattr(fits["int8"], name) == getattr(fits["fp32"], name) for name in same), "one promise for all"


def test_one_score_far_off_does_not_carry_the_threshold_away() -> None:
    scores = np.random.default_rng(0).normal(size=21)
    moved = scores + 0.3
    moved[np.argmax(scores)] += 100
    assert pair(scores.tolist(), moved.tolist()).shift == pytest.approx(0.3)


def test_the_shift_is_that_near_the_threshold_and_not_that_of_low_scores() -> None:
    scores = np.arange(20.0)
    moved = scores + np.where(scores < 10, 5.0, 1.0)
    paired = pair(scores.tolist(), moved.tolist())
    assert (paired.shift, paired.pictures) == (1.0, 10)
    assert (
        "moved by +1, the median shift of 10 paired scores" in paired.moved(tail_threshold(scores.tolist(), 0.1)).method
    )


@pytest.mark.parametrize(("images", "noise"), [(20, 0.2), (40, 0.1), (80, 0.2)])
def test_paired_thresholds_move_fewer_verdicts_than_two_estimates(images: int, noise: float) -> None:
    rng = np.random.default_rng(1)
    apart: dict[str, list[float]] = {"paired": [], "independent": []}
    for _ in range(100):
        exact = rng.gumbel(size=images + 2000)
        other = exact + 0.4 + noise * rng.normal(size=len(exact))
        measured: dict[Precision, Measurement] = {
            "fp32": said(exact[:images].tolist()),
            "int8": said(other[:images].tolist()),
        }
        fits = fit_all(tail_threshold(exact[:images].tolist(), 0.05), measured)
        limits = {"paired": fits["int8"], "independent": tail_threshold(other[:images].tolist(), 0.05)}
        for name, fit in limits.items():
            verdicts = (exact[images:] > fits["fp32"].threshold) == (other[images:] > fit.threshold)
            apart[name].append(1 - float(np.mean(verdicts)))
    assert np.mean(apart["paired"]) < 0.85 * np.mean(apart["independent"])


def test_the_scores_that_set_the_threshold_need_not_be_those_that_are_paired() -> None:
    """Scores of folds, each from a model of its own: the other precisions are moved by what the final model does."""
    folds = np.random.default_rng(2).gumbel(size=200).tolist()
    measured: dict[Precision, Measurement] = {"fp32": said([1.0, 2.0, 3.0]), "int8": said([1.5, 2.5, 3.5])}
    fits = fit_all(tail_threshold(folds, 0.01), measured)
    assert fits["fp32"].images == fits["int8"].images == 200
    assert fits["int8"].threshold == pytest.approx(fits["fp32"].threshold + 0.5)
