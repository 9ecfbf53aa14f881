from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from edge_inspect.calibrate.precisions.damage import Budget, Damage, damage, worth
from edge_inspect.calibrate.precisions.validation import DRAWS, GOOD, Validation, draw_validation
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.train.foreground import foreground_masks
from edge_inspect.train.metrics import auroc


def validation(good: int = 4, flawed: int = 6, size: int = 16) -> Validation:
    masks = np.zeros((good + flawed, size, size), np.uint8)
    masks[good:, 4:8, 4:8] = 1
    return Validation(np.zeros((*masks.shape, 3), np.uint8), masks, np.ones(masks.shape, bool))


def maps_of(scores: list[float], masks: np.ndarray) -> np.ndarray:
    """A ramp below 0.1 everywhere, and each picture's score where flaws lie."""
    ramp = np.linspace(0, 0.1, masks[0].size, dtype=np.float32).reshape(masks[0].shape)
    maps = np.repeat(ramp[None], len(masks), 0)
    maps[:, 4:8, 4:8] = np.array(scores, np.float32)[:, None, None]
    return maps


def test_nothing_is_lost_where_nothing_changes() -> None:
    seen = validation()
    maps = maps_of([0.2, 0.3, 0.4, 0.5, 0.35, 0.6, 0.7, 0.8, 0.9, 1.0], seen.masks)
    assert damage(seen, maps, maps) == Damage(0, 0, 0, pytest.approx(1), 0, 0, 0, 0, 10)


def test_the_loss_is_that_of_the_metrics() -> None:
    seen = validation()
    before = maps_of([0.2, 0.3, 0.4, 0.5, 0.35, 0.6, 0.7, 0.8, 0.9, 1.0], seen.masks)
    after = maps_of([0.2, 0.3, 0.4, 0.75, 0.35, 0.6, 0.7, 0.8, 0.9, 1.0], seen.masks)
    lost = damage(seen, before, after)
    scores = [maps.max(axis=(1, 2)) for maps in (before, after)]
    assert lost.image_auroc == pytest.approx(100 * (auroc(scores[0], seen.flawed) - auroc(scores[1], seen.flawed)))
    assert lost.image_auroc == pytest.approx(100 * 2 / 24)
    assert lost.score_shift == pytest.approx(0.025 / np.std(scores[0]), rel=1e-5)
    assert lost.score_noise == pytest.approx(np.std(scores[1] - scores[0]) / np.std(scores[0]), rel=1e-5)
    assert lost.rank_correlation < 1 and lost.size == lost.score_noise + lost.map_noise
    assert worth(seen, after).aupro == pytest.approx(worth(seen, before).aupro - lost.aupro / 100)


@pytest.mark.parametrize(
    "scores",
    [[3, 1, 2, 4], [1, 1, 2, 1], [2.5, 0.5, 2.5, 1, 0.5, 0.5], [0.7, 0.3], list(range(20, 0, -1)), [5, 5, 9, 9, 1, 2]],
)
def test_the_rank_correlation_is_scipys(scores: list[float]) -> None:
    """Equal scores share a rank."""
    seen, before = validation(1, len(scores) - 1), np.linspace(1, 2, len(scores)).round(1).tolist()
    lost = damage(seen, maps_of(before, seen.masks), maps_of(scores, seen.masks))
    assert lost.rank_correlation == pytest.approx(stats.spearmanr(before, scores).statistic)


def test_scores_that_are_all_equal_have_no_ranks_to_keep() -> None:
    seen = validation(1, 3)
    some, equal = maps_of([1, 2, 3, 4], seen.masks), maps_of([1, 1, 1, 1], seen.masks)
    assert damage(seen, some, equal).rank_correlation == damage(seen, equal, some).rank_correlation == 0


def test_what_moves_all_alike_is_a_shift_and_no_noise() -> None:
    """A precision's own thresholds make up for it."""
    seen = validation()
    maps = maps_of([0.2, 0.3, 0.4, 0.5, 0.35, 0.6, 0.7, 0.8, 0.9, 1.0], seen.masks)
    lost = damage(seen, maps, maps - 0.05)
    assert lost.score_shift == pytest.approx(-0.05 / np.std(maps.max(axis=(1, 2))), rel=1e-4)
    assert lost.size < 1e-5 and lost.image_auroc == 0 and lost.rank_correlation == pytest.approx(1)


def test_the_standard_error_is_the_spread_over_drawn_pictures() -> None:
    """DeLong's formula against what redrawing the pictures does to the difference."""
    rng = np.random.default_rng(0)
    good, flawed = 60, 60
    seen = validation(good, flawed)
    base = np.concatenate([rng.normal(0.4, 0.05, good), rng.normal(0.45, 0.05, flawed)])
    noisy = base + rng.normal(0, 0.02, len(base))
    lost = damage(seen, maps_of(base.tolist(), seen.masks), maps_of(noisy.tolist(), seen.masks))
    drawn = []
    for _ in range(400):
        picked = np.concatenate([rng.integers(0, good, good), good + rng.integers(0, flawed, flawed)])
        labels = picked >= good
        drawn.append(100 * (auroc(base[picked], labels) - auroc(noisy[picked], labels)))
    assert lost.image_auroc_error == pytest.approx(np.std(drawn), rel=0.2)


def test_a_budget_names_what_is_beyond_it() -> None:
    fine = Damage(0.4, 0.0, 0.9, 0.99, 0.1, 0.1, 0.1, 0.4, 48)
    assert Budget().broken(fine) == ""
    assert Budget().broken(Damage(0.9, 0.5, 0.9, 0.99, 0, 0, 0, 0, 48)) == "", "within its standard error"
    assert "1.10 ± 0.50 points of image AUROC lost, 0.5" in Budget().broken(Damage(1.1, 0.5, 0, 1, 0, 0, 0, 0, 48))
    assert "1.50 points of AUPRO lost, 1 allowed" in Budget().broken(Damage(0, 0, 1.5, 1, 0, 0, 0, 0, 48))
    swapped = Damage(0, 0, 0, 0.97, 0, 0, 0, 0, 48)
    assert "rank correlation 0.9700 of 48 pictures, 0.98 wanted" in Budget().broken(swapped)
    assert Budget().broken(Damage(0, 0, 0, 0.97, 0, 0, 0, 0, 12)) == "", "a swap or two of twelve"
    assert Budget(aupro=0.5).broken(fine).startswith("0.90 points of AUPRO")
    changed = Damage(0, 0, 0, 1, 0, 0, 0, 1.25, 48)
    assert Budget().broken(changed) == "1.25 % of verdicts expected to change, 1 % allowed"
    assert Budget(verdicts=1.5).broken(changed) == "" and Budget(verdicts=0.3).broken(fine)


@pytest.mark.parametrize(
    ("threshold", "noise", "shift"), [(2.5, 0.1, 0.0), (2.0, 0.3, 0.5), (3.0, 0.2, -0.2), (4.0, 0.4, 1.0)]
)
def test_verdicts_that_change_are_told_from_few_pictures(threshold: float, noise: float, shift: float) -> None:
    """The estimates from 48 pictures, on average, against the changed verdicts of many."""
    rng = np.random.default_rng(3)

    def drawn(good: int, flawed: int) -> tuple[np.ndarray, np.ndarray]:
        before = np.concatenate([rng.normal(0, 1, good), rng.gamma(2, 1.5, flawed)]) + 10
        return before, before + rng.normal(shift, noise, len(before))

    before, after = drawn(20_000, 40_000)
    changed = 100 * float(np.mean((before > 10 + threshold) != (after > 10 + threshold + shift)))
    masks = validation(16, 32).masks
    seen = Validation(np.zeros((*masks.shape, 3), np.uint8), masks, np.ones(masks.shape, bool), 10 + threshold)
    told = [damage(seen, *(maps_of(side.tolist(), masks) for side in drawn(16, 32))).verdicts for _ in range(60)]
    assert np.mean(told) == pytest.approx(changed, rel=0.25)
    assert np.std(told) < 0.5 * changed, "one calibration is not far off"


def test_a_shift_and_scatter_far_from_the_threshold_change_no_verdicts() -> None:
    masks = validation().masks
    seen = Validation(np.zeros((*masks.shape, 3), np.uint8), masks, np.ones(masks.shape, bool), 0.6)
    base = np.array([0.2, 0.25, 0.22, 0.23, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5])
    before = maps_of(base.tolist(), masks)
    scattered = maps_of((base + np.array([0] * 8 + [0.05, -0.05])).tolist(), masks)
    near = maps_of((base + np.array([0] * 4 + [0.05, -0.05] + [0] * 4)).tolist(), masks)
    assert damage(seen, before, before + 0.3).verdicts == pytest.approx(0, abs=1e-3)
    assert damage(seen, before, scattered).verdicts < damage(seen, before, near).verdicts


def test_scores_that_are_all_alike_tell_no_more_than_every_verdict() -> None:
    masks = validation().masks
    seen = Validation(np.zeros((*masks.shape, 3), np.uint8), masks, np.ones(masks.shape, bool), 0.5)
    alike, moved = maps_of([0.5] * 10, masks), maps_of([0.5] * 5 + [0.6] * 5, masks)
    assert 0 < damage(seen, alike, moved).verdicts <= 100
    assert damage(validation(), alike, moved).verdicts == 0, "no threshold, no verdicts"


def test_validation_pictures_are_good_ones_each_with_its_flaws() -> None:
    frames = [np.random.default_rng(i).integers(60, 200, (64, 96, 3), np.uint8) for i in range(3)]
    seen = draw_validation(frames, Fit(64, 64))
    assert seen.flawed.tolist() == ([False] + [True] * DRAWS) * 3
    for i in np.flatnonzero(~seen.flawed):
        for turn in range(1, DRAWS + 1):
            changed = (seen.pictures[i] != seen.pictures[i + turn]).any(axis=2)
            assert changed.any() and not (changed & (seen.masks[i + turn] == 0)).any()
    again = draw_validation(frames, Fit(64, 64))
    np.testing.assert_array_equal(seen.pictures, again.pictures)


def test_of_tiles_no_more_than_wanted_and_none_of_padding() -> None:
    frames = [np.random.default_rng(i).integers(60, 200, (64, 256, 3), np.uint8) for i in range(6)]
    tiled = Fit(64, 64, "tile", tiles=(5, 2), overlap=16)
    seen = draw_validation(frames, tiled)
    assert int((~seen.flawed).sum()) <= GOOD
    assert seen.pictures.shape[1:] == (64, 64, 3)
    assert seen.valid.any(axis=(1, 2)).all()
    assert all(
        (mask & inside).any() for mask, inside in zip(seen.masks[seen.flawed], seen.valid[seen.flawed], strict=True)
    )


@pytest.mark.parametrize(
    ("fit", "foreground"), [(Fit(64, 64), "disc"), (Fit(96, 64, "pad"), "full"), (Fit(64, 128, "pad"), "disc")]
)
def test_flaws_lie_on_the_part_and_not_in_the_padding(fit: Fit, foreground: str) -> None:
    frames = [np.random.default_rng(seed).integers(0, 255, (80, 80, 3), np.uint8) for seed in range(4)]
    seen = draw_validation(frames, fit, foreground)
    parts = foreground_masks(seen.pictures[~seen.flawed], foreground)
    assert len(seen.pictures) == 4 * (1 + DRAWS)
    assert not seen.masks[~seen.valid].any()
    assert not seen.masks[np.repeat(parts, 1 + DRAWS, axis=0) == 0].any()
