from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small_bundle
from hypothesis import given, settings
from hypothesis import strategies as st
from small_bundle import PIXEL, THRESHOLD, write

from edge_inspect.edge.bundle.bundle import Bundle, write_bundle
from edge_inspect.edge.decision import Decider, Decision
from edge_inspect.edge.engines import AnomalyMap
from edge_inspect.edge.frame.areas import Area, Areas
from edge_inspect.edge.frame.fit import MODES, Fit
from edge_inspect.edge.frame.placement import Placement


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    limits = {"fp32": {"image": THRESHOLD, "pixel": PIXEL}, "int8": {"image": 0.9, "pixel": PIXEL}}
    return write(tmp_path_factory.mktemp("bundles") / "flange", thresholds=limits)


def write_areas(path: Path, fit: Fit) -> Bundle:
    fields = small_bundle.fields()
    fields["input"]["fit"] = fit.as_dict()
    return write_bundle(path, fields, small_bundle.contents())


def place(fit: Fit, width: int, height: int) -> Placement:
    return fit.apply(np.zeros((height, width, 3), np.uint8))[1]


def anomaly(
    fit: Fit, frame: tuple[int, int], *blocks: tuple[int, int, int, int, float], score: float = 1.0
) -> AnomalyMap:
    """Return a map that is 0 except in blocks (x, y, width, height, value) in canvas pixels."""
    width, height = fit.canvas
    values = np.zeros((height, width), np.float32)
    for x, y, w, h, value in blocks:
        values[y : y + h, x : x + w] = value
    return AnomalyMap(values, place(fit, *frame), score)


def decide(bundle: Bundle, found: AnomalyMap, mm_per_px: float | None = None) -> Decision:
    return Decider(bundle, "fp32", mm_per_px).decide(found)


SQUARE = Fit(64, 64)
SAME = (64, 64)


def test_a_region_has_the_name_of_the_area_of_its_peak(tmp_path: Path) -> None:
    halves = {"left": ((0, 0), (31, 0), (31, 63), (0, 63)), "right": ((32, 0), (63, 0), (63, 63), (32, 63))}
    areas = Areas(size=(64, 64), look=tuple(Area(name=name, rings=(ring,)) for name, ring in halves.items()))
    fit = Fit(64, 64, areas=areas)
    bundle = write_areas(tmp_path / "halves", fit)
    found = anomaly(fit, SAME, (4, 4, 6, 6, 0.7), (28, 40, 10, 4, 0.6), (36, 41, 1, 1, 0.9))
    boxes = {region.area_name: region.bbox for region in decide(bundle, found).regions}
    assert boxes == {"right": (28, 40, 10, 4), "left": (4, 4, 6, 6)}


def test_no_region_lies_where_nothing_is_looked_at(tmp_path: Path) -> None:
    right = Area(name="right", rings=(((32, 0), (63, 0), (63, 63), (32, 63)),))
    fit = Fit(64, 64, areas=Areas(size=(64, 64), ignore=(right,)))
    found = anomaly(fit, SAME, (4, 4, 6, 6, 0.7), (28, 40, 20, 9, 5))
    regions = decide(write_areas(tmp_path / "right", fit), found).regions
    assert [region.bbox for region in regions] == [(28, 40, 4, 9), (4, 4, 6, 6)]
    assert [region.area_name for region in regions] == [None, None]


def test_at_the_threshold_a_part_is_accepted_and_above_it_not(bundle: Bundle) -> None:
    at = decide(bundle, anomaly(SQUARE, SAME, (8, 8, 4, 4, 0.4), score=THRESHOLD))
    assert at == Decision(True, THRESHOLD, THRESHOLD, ())
    above = decide(bundle, anomaly(SQUARE, SAME, (8, 8, 4, 4, 0.4), score=float(np.nextafter(THRESHOLD, 1))))
    assert not above.ok
    assert len(above.regions) == 1


def test_each_precision_has_thresholds_of_its_own(bundle: Bundle) -> None:
    found = anomaly(SQUARE, SAME, score=0.7)
    assert not Decider(bundle, "fp32").decide(found).ok
    assert Decider(bundle, "int8").decide(found).ok


def test_pixels_at_the_pixel_threshold_are_outside(bundle: Bundle) -> None:
    assert decide(bundle, anomaly(SQUARE, SAME, (8, 8, 4, 4, PIXEL))).regions == ()


def test_a_stretched_region_in_frame_pixels(bundle: Bundle) -> None:
    (region,) = decide(bundle, anomaly(Fit(64, 32), (128, 128), (20, 10, 10, 4, 0.6)), mm_per_px=0.5).regions
    assert region.bbox == (40, 40, 20, 16)
    assert region.area_px == 20 * 16
    assert region.area_mm2 == 20 * 16 * 0.25
    assert region.peak == pytest.approx(0.6)
    assert region.centroid == (49.5, 47.5)


def test_a_padded_region_in_frame_pixels_and_nothing_in_the_padding(bundle: Bundle) -> None:
    fit = Fit(64, 64, "pad")
    found = anomaly(fit, (128, 64), (0, 0, 64, 16, 0.9), (0, 48, 64, 16, 0.9), (8, 20, 4, 6, 0.6))
    (region,) = decide(bundle, found).regions
    assert region.bbox == (16, 8, 8, 12)
    assert region.area_px == 96
    assert region.area_mm2 is None
    assert region.centroid == (19.5, 13.5)


def test_a_cropped_region_in_frame_pixels(bundle: Bundle) -> None:
    (region,) = decide(bundle, anomaly(Fit(64, 64, "crop"), (256, 128), (0, 60, 4, 4, 0.6))).regions
    assert region.bbox == (64, 120, 8, 8)
    assert region.area_px == 64
    assert region.centroid == (67.5, 123.5)


def test_a_region_inside_a_region_of_interest(bundle: Bundle) -> None:
    fit = Fit(64, 64, region=(100, 50, 32, 128))
    (region,) = decide(bundle, anomaly(fit, (200, 200), (8, 8, 4, 4, 0.6))).regions
    assert region.bbox == (104, 66, 2, 8)
    assert region.area_px == 16
    assert region.centroid == (104.5, 69.5)


def test_a_region_on_the_canvas_of_several_tiles(bundle: Bundle) -> None:
    fit = Fit(64, 64, "tile", tiles=(3, 1), overlap=16)  # a canvas of 160x64
    (region,) = decide(bundle, anomaly(fit, (320, 64), (60, 10, 10, 4, 0.6))).regions
    assert region.bbox == (120, 10, 20, 4)
    assert region.area_px == 80
    assert region.centroid == (129.5, 11.5)


def test_the_largest_peak_comes_first(bundle: Bundle) -> None:
    found = anomaly(SQUARE, SAME, (2, 2, 20, 20, 0.4), (40, 2, 4, 4, 0.6), (2, 40, 4, 4, 0.9), (40, 40, 4, 4, 0.55))
    found.values[10, 10] = 0.7
    peaks = [region.peak for region in decide(bundle, found).regions]
    assert peaks == pytest.approx([0.9, 0.7, 0.6, 0.55])


def test_small_regions_are_left_out(bundle: Bundle) -> None:
    """The smallest area of this bundle is 4 network pixels."""
    found = anomaly(SQUARE, SAME, (2, 2, 8, 8, 0.9), (20, 2, 3, 1, 0.8), (30, 2, 2, 2, 0.7))
    assert [region.bbox for region in decide(bundle, found).regions] == [(2, 2, 8, 8), (30, 2, 2, 2)]


def test_the_highest_peak_is_kept_however_small(bundle: Bundle) -> None:
    found = anomaly(SQUARE, SAME, (2, 2, 1, 1, 0.9), (20, 2, 1, 1, 0.8), (30, 2, 2, 2, 0.7))
    assert [region.bbox for region in decide(bundle, found).regions] == [(2, 2, 1, 1), (30, 2, 2, 2)]


def test_areas_that_touch_at_a_corner_are_one(bundle: Bundle) -> None:
    (region,) = decide(bundle, anomaly(SQUARE, SAME, (2, 2, 4, 4, 0.9), (6, 6, 4, 4, 0.8))).regions
    assert region.bbox == (2, 2, 8, 8)
    assert region.area_px == 32
    assert region.centroid == (5.5, 5.5)


def test_a_peak_is_that_of_its_own_region(bundle: Bundle) -> None:
    """A ring surrounds a higher island, so their boxes overlap."""
    found = anomaly(SQUARE, SAME, (10, 10, 20, 20, 0.6), (12, 12, 16, 16, 0.0), (18, 18, 4, 4, 0.9))
    island, ring = decide(bundle, found).regions
    assert (island.bbox, island.peak) == ((18, 18, 4, 4), pytest.approx(0.9))
    assert (ring.bbox, ring.peak) == ((10, 10, 20, 20), pytest.approx(0.6))
    assert ring.area_px == 20 * 20 - 16 * 16


@given(
    st.integers(2, 300),
    st.integers(2, 300),
    st.sampled_from(MODES),
    st.integers(0, 63),
    st.integers(0, 63),
    st.integers(1, 9),
)
@settings(max_examples=80, deadline=None)
def test_a_region_lies_inside_its_frame(
    bundle: Bundle, width: int, height: int, mode: str, x: int, y: int, size: int
) -> None:
    for region in decide(bundle, anomaly(Fit(64, 64, mode), (width, height), (x, y, size, size, 0.6))).regions:
        left, top, w, h = region.bbox
        assert left >= 0 and w >= 1 and left + w <= width
        assert top >= 0 and h >= 1 and top + h <= height
        assert left - 1 <= region.centroid[0] <= left + w
        assert top - 1 <= region.centroid[1] <= top + h


def test_the_smallest_area_is_the_bundles(bundle: Bundle, tmp_path: Path) -> None:
    other = write(tmp_path / "other", min_area_px=1)
    found = anomaly(SQUARE, SAME, (2, 2, 1, 1, 0.9), (20, 2, 1, 1, 0.8))
    assert len(decide(other, found).regions) == 2
    assert len(decide(bundle, found).regions) == 1


def blobs(seed: int) -> AnomalyMap:
    """Twelve warm blobs of 0.3 to 0.49, one defect of 0.8 with a warm rim, each apart from the others."""
    rng = np.random.default_rng(seed)
    corners = [(x, y) for x in range(0, 64, 16) for y in range(0, 64, 16)]
    chosen = rng.permutation(len(corners))[:13]
    found = anomaly(
        SQUARE, SAME, *(((*corners[i], 8, 8, float(rng.uniform(0.3, 0.49)))) for i in chosen[1:]), score=0.8
    )
    x, y = corners[chosen[0]]
    found.values[y : y + 10, x : x + 10] = 0.3
    found.values[y + 4 : y + 6, x + 4 : x + 6] = 0.8
    return found


@pytest.mark.parametrize("seed", range(4))
def test_a_rejected_part_lists_its_defect_with_its_rim_and_no_warm_blob(bundle: Bundle, seed: int) -> None:
    (region,) = decide(bundle, blobs(seed)).regions
    assert region.peak == pytest.approx(0.8) and region.area_px == 100


def test_regions_follow_the_threshold_that_a_command_has_set(bundle: Bundle) -> None:
    decider = Decider(bundle, "fp32")
    found = anomaly(SQUARE, SAME, (2, 2, 4, 4, 0.9), (20, 20, 4, 4, 0.6))
    assert len(decider.decide(found).regions) == 2
    decider.threshold = 0.7
    assert len(decider.decide(found).regions) == 1
    decider.threshold = PIXEL / 2  # below the bundle's pixel threshold
    cold = anomaly(SQUARE, SAME, (2, 2, 4, 4, 0.8 * PIXEL), score=0.8 * PIXEL)
    assert [region.bbox for region in decider.decide(cold).regions] == [(2, 2, 4, 4)]


def test_a_score_above_every_value_of_the_map_still_has_its_region(bundle: Bundle) -> None:
    """This occurs if an engine rounds its score and its map differently."""
    (region,) = decide(bundle, anomaly(SQUARE, SAME, (2, 2, 4, 4, 0.4), (20, 2, 4, 4, 0.3), score=0.6)).regions
    assert region.bbox == (2, 2, 4, 4)


@pytest.mark.parametrize(
    ("min_area_px", "areas"), [(0, [16, 16, 64]), (17, [16, 64]), (64, [16, 64]), (65, [16]), (1e9, [16])]
)
def test_the_least_area_is_of_the_frame(bundle: Bundle, min_area_px: float, areas: list[int]) -> None:
    found = anomaly(Fit(64, 64), (128, 128), (2, 2, 1, 4, 0.9), (20, 2, 2, 2, 0.8), (30, 2, 4, 4, 0.7))
    regions = Decider(bundle, "fp32", min_area_px=min_area_px).decide(found).regions
    assert [region.area_px for region in regions] == areas
