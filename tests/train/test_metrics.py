"""The metrics against brute force over every threshold, scikit-learn, and cases that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import label
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from train.metrics import aupro, auroc, average_precision, f1_max, pro_per_image, summarise

EIGHT = np.ones((3, 3))
SEEDS = range(6)

samples = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=25).filter(
    lambda pairs: len({defective for _, defective in pairs}) == 2
)


def random_scores(seed: int, count: int = 400, levels: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Overlapping scores of both classes; with `levels`, full of ties."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < 0.2).astype(int)
    labels[:2] = (0, 1)
    scores = rng.normal(labels, 1)
    return (np.round(scores * levels) / levels if levels else scores), labels


def random_maps(seed: int, size: tuple[int, int] = (24, 30)) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Three pictures, two of them defective, with one and two regions; maps that see them partly."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((3, *size), np.uint8)
    masks[0, 4:10, 5:9] = 1
    masks[1, 2:4, 2:4] = 1
    masks[1, 12:20, 10:24] = 1
    return rng.random(masks.shape) + 0.4 * masks, masks


def trapezoids(x: list[float], y: list[float]) -> float:
    return sum((x[i + 1] - x[i]) * (y[i + 1] + y[i]) / 2 for i in range(len(x) - 1))


def slow_aupro(maps: NDArray[np.float64], masks: NDArray[np.uint8], limit: float) -> float:
    regions = []
    for picture, mask in zip(maps, masks, strict=True):
        labels, count = label(mask, EIGHT)
        regions += [picture[labels == i + 1] for i in range(count)]
    normal = maps[masks == 0]
    x, y = [0.0], [0.0]
    for threshold in sorted(set(maps.ravel().tolist()), reverse=True):
        rate = float((normal >= threshold).mean())
        overlap = float(np.mean([(region >= threshold).mean() for region in regions]))
        if rate > limit:
            y.append(y[-1] + (overlap - y[-1]) * (limit - x[-1]) / (rate - x[-1]))
            x.append(limit)
            break
        x.append(rate)
        y.append(overlap)
    return trapezoids(x, y) / limit


def slow_pro(maps: NDArray[np.float64], masks: NDArray[np.uint8], limit: float = 0.3) -> float:
    """METHODS.md 1.g.2, step by step."""
    areas = []
    for picture, mask in zip(maps, masks, strict=True):
        if not mask.any():
            continue
        labels, count = label(mask, EIGHT)
        low, high = picture.min(), picture.max()
        points = []
        for step in range(200):
            marked = picture > low + step * (high - low) / 200
            overlap = np.mean([marked[labels == i + 1].mean() for i in range(count)])
            rate = marked[mask == 0].mean()
            if rate < limit:
                points.append((float(rate), float(overlap)))
        points.sort()
        largest = points[-1][0]
        areas.append(trapezoids([rate / largest for rate, _ in points], [overlap for _, overlap in points]))
    return float(np.mean(areas))


@given(samples)
@settings(deadline=None, max_examples=60)
def test_auroc_is_the_chance_that_a_defect_scores_higher_ties_half(pairs: list[tuple[int, bool]]) -> None:
    bad, good = ([score for score, defective in pairs if defective is kind] for kind in (True, False))
    wins = [(b > g) + (b == g) / 2 for b in bad for g in good]
    assert auroc(*zip(*pairs, strict=True)) == pytest.approx(np.mean(wins), abs=1e-9)


@given(samples)
@settings(deadline=None, max_examples=60)
def test_average_precision_is_the_sum_over_all_thresholds(pairs: list[tuple[int, bool]]) -> None:
    positives = sum(defective for _, defective in pairs)
    total = recall = 0.0
    for threshold in sorted({score for score, _ in pairs}, reverse=True):
        chosen = [defective for score, defective in pairs if score >= threshold]
        total += (sum(chosen) / positives - recall) * sum(chosen) / len(chosen)
        recall = sum(chosen) / positives
    assert average_precision(*zip(*pairs, strict=True)) == pytest.approx(total, abs=1e-9)


@given(samples)
@settings(deadline=None, max_examples=60)
def test_f1_max_is_the_best_over_all_thresholds(pairs: list[tuple[int, bool]]) -> None:
    def f1(threshold: float) -> float:
        hits = sum(defective for score, defective in pairs if score >= threshold)
        return 2 * hits / (sum(score >= threshold for score, _ in pairs) + sum(defective for _, defective in pairs))

    found, threshold = f1_max(*zip(*pairs, strict=True))
    assert found == pytest.approx(max(f1(score) for score, _ in pairs), abs=1e-9)
    assert f1(threshold) == pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize("levels", [0, 2])
@pytest.mark.parametrize("seed", SEEDS)
def test_image_metrics_agree_with_scikit_learn(seed: int, levels: int) -> None:
    scores, labels = random_scores(seed, levels=levels)
    precision, recall, thresholds = precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    assert auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)
    assert average_precision(scores, labels) == pytest.approx(average_precision_score(labels, scores), abs=1e-9)
    assert f1_max(scores, labels)[0] == pytest.approx(f1.max(), abs=1e-9)
    assert f1_max(scores, labels)[1] in thresholds[np.isclose(f1[:-1], f1.max())]


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int8, np.uint8])
def test_the_type_of_the_scores_does_not_matter(kind: type) -> None:
    scores, labels = np.array([0, 3, 1, 2, 3], kind), np.array([0, 1, 0, 1, 0], np.uint8)
    assert auroc(scores, labels) == pytest.approx(4.5 / 6)
    assert f1_max(scores, labels) == (pytest.approx(0.8), 2.0)


@pytest.mark.parametrize("metric", [auroc, average_precision, f1_max])
def test_both_classes_are_needed(metric: object) -> None:
    assert callable(metric)
    for labels in ([0, 0], [1, 1], []):
        with pytest.raises(ValueError, match="both good and defective"):
            metric([1.0, 2.0][: len(labels)], labels)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_are_refused(bad: float) -> None:
    _, masks = random_maps(0)
    with pytest.raises(ValueError, match="finite"):
        auroc([0.0, bad], [0, 1])
    with pytest.raises(ValueError, match="finite"):
        aupro(np.full(masks.shape, bad), masks)


def test_aupro_of_a_perfect_map_is_1() -> None:
    _, masks = random_maps(0)
    assert aupro(masks.astype(np.float32), masks) == pytest.approx(1)


def test_aupro_of_an_inverted_map_is_0() -> None:
    _, masks = random_maps(0)
    assert aupro(1.0 - masks, masks) == pytest.approx(0)


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_aupro_of_a_constant_map_is_half_the_limit(limit: float) -> None:
    _, masks = random_maps(0)  # one threshold: the curve is the line from 0, 0 to 1, 1
    assert aupro(np.full(masks.shape, 7.0), masks, limit) == pytest.approx(limit / 2)


def test_aupro_counts_a_small_region_as_much_as_a_large_one() -> None:
    masks = np.zeros((1, 20, 20), np.uint8)
    masks[0, 1, 1] = 1
    masks[0, 5:15, 5:15] = 1
    for found in (np.s_[0, 1, 1], np.s_[0, 5:15, 5:15]):
        maps = np.zeros(masks.shape)
        maps[found] = 1  # one of two regions at once, the other not before all the rest
        wanted = (0.5 + (0.5 + 0.5 * 0.3)) / 2
        assert aupro(maps, masks) == pytest.approx(wanted)


def test_aupro_takes_regions_that_touch_at_a_corner_for_one() -> None:
    masks = np.zeros((1, 10, 10), np.uint8)
    masks[0, 2:4, 2:4] = masks[0, 4:8, 4:8] = 1
    maps = np.zeros(masks.shape)
    maps[0, 2:4, 2:4] = 1
    assert aupro(maps, masks) == pytest.approx((0.2 + (0.2 + 0.8 * 0.3)) / 2)


def test_aupro_reads_the_curve_by_hand() -> None:
    # 10 normal pixels and a region of 2: at 0.9 half of it, at 0.5 one false pixel, at 0.4 its other half.
    maps = np.array([[[0.9, 0.4, 0.5] + [0.0] * 9]])
    masks = np.array([[[1, 1, 0] + [0] * 9]], np.uint8)
    # (0, 0) (0, .5) (.1, .5) (.1, 1) (1, 1), cut at .3
    assert aupro(maps, masks) == pytest.approx((0.1 * 0.5 + 0.2) / 0.3)


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("levels", [0, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_aupro_is_the_area_over_all_thresholds(seed: int, levels: int, limit: float) -> None:
    maps, masks = random_maps(seed, (22, 26))
    if levels:
        maps = np.round(maps * levels)
    assert aupro(maps, masks, limit) == pytest.approx(slow_aupro(maps, masks, limit), abs=1e-6)


@given(st.lists(st.integers(0, 3), min_size=24, max_size=24), st.lists(st.booleans(), min_size=24, max_size=24))
@settings(deadline=None, max_examples=60)
def test_aupro_holds_for_any_small_map(scores: list[int], truth: list[bool]) -> None:
    maps, masks = np.array(scores, float).reshape(2, 3, 4), np.array(truth, np.uint8).reshape(2, 3, 4)
    if masks.all() or not masks.any():
        with pytest.raises(ValueError, match="defective and normal"):
            aupro(maps, masks)
    else:
        assert aupro(maps, masks) == pytest.approx(slow_aupro(maps, masks, 0.3), abs=1e-6)


@pytest.mark.parametrize("limit", [0.1, 0.3])
@pytest.mark.parametrize("seed", SEEDS)
def test_pro_per_image_is_the_procedure_of_the_notes(seed: int, limit: float) -> None:
    maps, masks = random_maps(seed)
    assert pro_per_image(maps, masks, limit) == pytest.approx(slow_pro(maps, masks, limit), abs=1e-6)


def test_pro_per_image_is_not_aupro() -> None:
    maps, masks = random_maps(0)
    maps = maps * np.array([1.0, 3.0, 9.0])[:, None, None]
    assert abs(pro_per_image(maps, masks) - aupro(maps, masks)) > 0.05
    assert pro_per_image(maps, masks) == pytest.approx(pro_per_image(random_maps(0)[0], masks), abs=0.01)


def test_pro_per_image_of_degenerate_maps_is_finite() -> None:
    _, masks = random_maps(0)
    assert pro_per_image(masks.astype(float), masks) == pytest.approx(1)
    assert pro_per_image(np.zeros(masks.shape), masks) == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_excluded_pixels_are_as_if_they_were_not_there(seed: int) -> None:
    maps, masks = random_maps(seed)
    masks[2, :, 25:] = 1  # a region wholly outside, and in the second picture one cut in two
    maps[:, :3] += 5
    maps[:, :, 20:] -= 5
    inside = np.s_[:, 3:22, 0:20]
    valid = np.zeros(masks.shape, bool)
    valid[inside] = True
    good, scores = [False, False, True], [0.3, 0.4, 0.1]
    cut = np.ascontiguousarray(maps[inside]), np.ascontiguousarray(masks[inside])
    wanted = summarise(scores, good, *cut, np.ones(cut[1].shape, bool))
    assert summarise(scores, good, maps, masks, valid) == wanted
    assert wanted["aupro_0.3"] == pytest.approx(slow_aupro(*cut, 0.3), abs=1e-6)
    assert wanted["pro_per_image"] == pytest.approx(slow_pro(*cut), abs=1e-6)
    assert wanted["pixel_auroc"] == pytest.approx(roc_auc_score(cut[1].ravel(), cut[0].ravel()), abs=1e-6)


def test_metrics_leave_their_arguments_alone() -> None:
    maps, masks = random_maps(0)
    before = maps.copy(), masks.copy()
    valid = np.ones(masks.shape, bool)
    valid[:, :5] = False
    summarise([1.0, 2.0, 0.0], [False, False, True], maps, masks, valid)
    assert np.array_equal(maps, before[0])
    assert np.array_equal(masks, before[1])


def test_pixel_metrics_need_defective_and_normal_pixels() -> None:
    maps, masks = random_maps(0)
    none, nowhere = np.zeros_like(masks), np.zeros(masks.shape, bool)
    with pytest.raises(ValueError, match="defective and normal"):
        aupro(maps, none)
    with pytest.raises(ValueError, match="defective and normal"):
        aupro(maps, np.ones_like(masks))
    with pytest.raises(ValueError, match="defective and normal"):
        aupro(maps, masks, valid=nowhere)
    with pytest.raises(ValueError, match="defective pictures"):
        pro_per_image(maps, none)
    with pytest.raises(ValueError, match="defective pictures"):
        pro_per_image(maps, masks, valid=nowhere)
