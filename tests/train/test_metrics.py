"""The metrics against brute force over every threshold, scikit-learn, and cases that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.ndimage import label
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from edge_inspect.train.metrics import aupro, auroc, average_precision, f1_max, pro_per_image, roc, summarise

EIGHT = np.ones((3, 3))
SEEDS = range(6)

numbers = st.integers(-3, 3) | st.floats(-1e6, 1e6, width=32)  # the former for ties
samples = st.lists(st.tuples(numbers, st.booleans()), min_size=2, max_size=25).filter(
    lambda pairs: len({defective for _, defective in pairs}) == 2
)
SMALL = (2, 4, 4)
small_maps = arrays(np.float32, SMALL, elements=st.integers(0, 3).map(float)) | arrays(
    np.float32, SMALL, elements=st.floats(-100, 100, width=32), fill=st.nothing()
)
small_masks = arrays(np.uint8, SMALL, elements=st.integers(0, 1))
small_valid = arrays(np.bool_, SMALL, elements=st.integers(0, 3).map(bool))
limits = st.sampled_from([0.05, 0.1, 0.3, 0.5, 1.0]) | st.floats(0.01, 1)


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


def slow_aupro(
    maps: NDArray[np.floating], masks: NDArray[np.uint8], limit: float, valid: NDArray[np.bool_] | None = None
) -> float:
    valid = np.ones(masks.shape, bool) if valid is None else valid
    regions = []
    for picture, mask in zip(maps, (masks == 1) & valid, strict=True):
        labels, count = label(mask, EIGHT)
        regions += [picture[labels == i + 1] for i in range(count)]
    normal = maps[(masks == 0) & valid]
    x, y = [0.0], [0.0]
    for threshold in sorted(set(maps[valid].tolist()), reverse=True):
        rate = float((normal >= threshold).mean())
        overlap = float(np.mean([(region >= threshold).mean() for region in regions]))
        if rate > limit:
            y.append(y[-1] + (overlap - y[-1]) * (limit - x[-1]) / (rate - x[-1]))
            x.append(limit)
            break
        x.append(rate)
        y.append(overlap)
    return trapezoids(x, y) / limit


def slow_pro(
    maps: NDArray[np.floating], masks: NDArray[np.uint8], limit: float = 0.3, valid: NDArray[np.bool_] | None = None
) -> float:
    """As docs/methods.md, "Metrics", says, step by step."""
    valid = np.ones(masks.shape, bool) if valid is None else valid
    areas = []
    for picture, mask, inside in zip(maps, masks, valid, strict=True):
        defective, normal = (mask == 1) & inside, (mask == 0) & inside
        if not defective.any() or not normal.any():
            continue
        labels, count = label(defective, EIGHT)
        low, high = float(picture[inside].min()), float(picture[inside].max())
        points = []
        for step in range(200):
            marked = picture.astype(np.float64) > low + step * ((high - low) / 200)
            overlap = np.mean([marked[labels == i + 1].mean() for i in range(count)])
            rate = marked[normal].mean()
            if rate < limit:
                points.append((float(rate), float(overlap)))
        points.sort()
        if len(points) < 2 or points[-1][0] == 0:
            areas.append(float(np.mean([overlap for _, overlap in points])) if points else 0.0)
            continue
        largest = points[-1][0]
        areas.append(trapezoids([rate / largest for rate, _ in points], [overlap for _, overlap in points]))
    return float(np.mean(areas))


def slow_auroc(scores: NDArray[np.floating], labels: NDArray[np.generic]) -> float:
    bad, good = scores[labels != 0].astype(float)[:, None], scores[labels == 0].astype(float)[None]
    return float(((bad > good) + (bad == good) / 2).mean())


def slow_average_precision(scores: NDArray[np.floating], labels: NDArray[np.generic]) -> float:
    total = recall = 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        chosen = labels[scores >= threshold] != 0
        found = chosen.sum() / (labels != 0).sum()
        total += (found - recall) * chosen.mean()
        recall = found
    return float(total)


def slow_f1(scores: NDArray[np.floating], labels: NDArray[np.generic], threshold: float) -> float:
    marked, truth = scores >= threshold, labels != 0
    return float(2 * (marked & truth).sum() / (marked.sum() + truth.sum()))


def split(pairs: list[tuple[float, bool]]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    scores, labels = zip(*pairs, strict=True)
    return np.array(scores, np.float64), np.array(labels, np.int64)


@given(samples)
@settings(deadline=None, max_examples=100)
def test_auroc_is_the_chance_that_a_defect_scores_higher_ties_half(pairs: list[tuple[float, bool]]) -> None:
    scores, labels = split(pairs)
    assert auroc(scores, labels) == pytest.approx(slow_auroc(scores, labels), abs=1e-9)
    assert auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)


@given(samples)
@settings(deadline=None, max_examples=100)
def test_average_precision_is_the_sum_over_all_thresholds(pairs: list[tuple[float, bool]]) -> None:
    scores, labels = split(pairs)
    assert average_precision(scores, labels) == pytest.approx(slow_average_precision(scores, labels), abs=1e-9)
    assert average_precision(scores, labels) == pytest.approx(average_precision_score(labels, scores), abs=1e-9)


@given(samples)
@settings(deadline=None, max_examples=100)
def test_f1_max_is_the_best_over_all_thresholds(pairs: list[tuple[float, bool]]) -> None:
    scores, labels = split(pairs)
    found, threshold = f1_max(scores, labels)
    assert found == pytest.approx(max(slow_f1(scores, labels, score) for score in scores), abs=1e-9)
    assert slow_f1(scores, labels, threshold) == pytest.approx(found, abs=1e-9)


@given(samples)
@settings(deadline=None, max_examples=100)
def test_the_receiver_operating_characteristic_is_that_of_scikit_learn(pairs: list[tuple[float, bool]]) -> None:
    scores, labels = split(pairs)
    false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert np.allclose(roc(scores, labels), (false, true), rtol=0, atol=1e-12)


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


@pytest.mark.parametrize("levels", [0, 3])
@pytest.mark.parametrize("seed", SEEDS)
def test_pixel_metrics_are_those_of_all_pixels_at_once(seed: int, levels: int) -> None:
    maps, masks = random_maps(seed)
    maps = (np.round(maps * levels) if levels else maps).astype(np.float32)
    scores, labels = maps.ravel(), masks.ravel()
    assert auroc(maps, masks) == pytest.approx(slow_auroc(scores, labels), abs=1e-9)
    assert auroc(maps, masks) == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)
    assert average_precision(maps, masks) == pytest.approx(slow_average_precision(scores, labels), abs=1e-9)
    assert average_precision(maps, masks) == pytest.approx(average_precision_score(labels, scores), abs=1e-9)


def test_scores_that_say_nothing_are_worth_what_chance_is() -> None:
    scores, labels = np.full(10, 0.7), np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    assert auroc(scores, labels) == pytest.approx(0.5)
    assert average_precision(scores, labels) == pytest.approx(0.2)
    assert f1_max(scores, labels) == (pytest.approx(2 * 0.2 / 1.2), 0.7)


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
    for where in ((0, 5, 6), (2, 0, 0)):  # a defective pixel, and a normal one
        maps = np.zeros(masks.shape)
        maps[where] = bad
        for metric in (aupro, pro_per_image):
            with pytest.raises(ValueError, match="finite"):
                metric(maps, masks)
        valid = np.ones(masks.shape, bool)
        valid[where] = False
        for metric in (aupro, pro_per_image):
            assert np.isfinite(metric(maps, masks, valid=valid))


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


@given(small_maps, small_masks, small_valid, limits)
@settings(deadline=None, max_examples=300)
def test_aupro_holds_for_any_small_map(
    maps: NDArray[np.float32], masks: NDArray[np.uint8], valid: NDArray[np.bool_], limit: float
) -> None:
    if np.unique(masks[valid]).size < 2:
        with pytest.raises(ValueError, match="defective and normal"):
            aupro(maps, masks, limit, valid)
    else:
        assert aupro(maps, masks, limit, valid) == pytest.approx(slow_aupro(maps, masks, limit, valid), abs=1e-6)


@given(small_maps, small_masks, small_valid, limits)
@settings(deadline=None, max_examples=100)
def test_pro_per_image_holds_for_any_small_map(
    maps: NDArray[np.float32], masks: NDArray[np.uint8], valid: NDArray[np.bool_], limit: float
) -> None:
    if not any(np.unique(mask[inside]).size == 2 for mask, inside in zip(masks, valid, strict=True)):
        with pytest.raises(ValueError, match="defective pictures"):
            pro_per_image(maps, masks, limit, valid)
    else:
        assert pro_per_image(maps, masks, limit, valid) == pytest.approx(slow_pro(maps, masks, limit, valid), abs=1e-6)


@given(small_maps, small_masks, small_valid)
@settings(deadline=None, max_examples=100)
def test_a_summary_holds_for_any_small_map(
    maps: NDArray[np.float32], masks: NDArray[np.uint8], valid: NDArray[np.bool_]
) -> None:
    masks[0, :2, :2] = [[0, 1], [1, 1]]  # at least one good picture, and one with both kinds of pixel
    masks[1] = 0
    valid[:, :2, :2] = True
    scores = np.where(valid, maps, -np.inf).max(axis=(1, 2))
    found = summarise(scores.tolist(), [False, True], maps, masks, valid)
    labels = np.array([1, 0])
    threshold = found["image_f1_threshold"]
    assert found == pytest.approx(
        {
            "image_auroc": slow_auroc(scores, labels),
            "image_f1_max": max(slow_f1(scores, labels, score) for score in scores),
            "image_f1_threshold": threshold,
            "pixel_auroc": roc_auc_score(masks[valid], maps[valid]),
            "pixel_ap": average_precision_score(masks[valid], maps[valid]),
            "aupro_0.3": slow_aupro(maps, masks, 0.3, valid),
            "pro_per_image": slow_pro(maps, masks, 0.3, valid),
        },
        abs=1e-6,
    )
    assert np.isclose(scores, threshold, rtol=0, atol=1e-6).any()


@pytest.mark.parametrize("limit", [0.1, 0.3])
@pytest.mark.parametrize("levels", [0, 5])
@pytest.mark.parametrize("seed", SEEDS)
def test_pro_per_image_is_the_procedure_of_the_notes(seed: int, levels: int, limit: float) -> None:
    maps, masks = random_maps(seed)
    maps = (np.round(maps * levels) if levels else maps).astype(np.float32)
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
    for nothing in (none, np.ones_like(masks)):
        with pytest.raises(ValueError, match="defective pictures with normal pixels"):
            pro_per_image(maps, nothing)
    with pytest.raises(ValueError, match="defective pictures"):
        pro_per_image(maps, masks, valid=nowhere)
