from __future__ import annotations

import numpy as np
import pytest

from edge_inspect.calibrate.golden import LEAST_TOLERANCE, MARGIN, tolerances, with_flaw
from edge_inspect.calibrate.precisions.measurement import Measurement
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.golden import golden_difference
from edge_inspect.edge.engines.opening import open_engine
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame
from edge_inspect.train.flaws import KINDS


def test_a_bundle_has_two_good_golden_frames_and_two_flawed_ones_of_every_precision(bundle: Bundle) -> None:
    golden = bundle.golden()
    assert len(golden) == 4
    for frame in golden:
        assert frame.others.keys() == set(bundle.manifest.precisions) - {"fp32"}
        assert all(values.shape == frame.map.shape for values in frame.others.values())
        assert not np.array_equal(frame.others["int8"], frame.map)
    engine = open_engine(bundle, "fp32")
    assert [engine.infer(each.frame).score for each in golden] == pytest.approx([each.score for each in golden])


def test_each_precision_is_held_against_its_own_maps(bundle: Bundle) -> None:
    """Against FP32's maps, INT8 could differ by what INT8 does, and an engine that drifts by less would pass."""
    moved = max(float(np.abs(each.others["int8"] - each.map).max()) for each in bundle.golden())
    assert golden_difference(bundle, open_engine(bundle, "int8")) < 0.1 * moved


@pytest.mark.parametrize("kind", range(len(KINDS)))
@pytest.mark.parametrize(
    "fit",
    [
        Fit(64, 64),
        Fit(64, 32, mode="crop"),
        Fit(64, 64, mode="pad", region=(20, 30, 90, 50)),
        Fit(64, 64, mode="tile", tiles=(2, 1), overlap=8, region=(0, 10, 60, 90)),
    ],
)
def test_a_flaw_lies_where_the_network_looks(fit: Fit, kind: int) -> None:
    frame: Frame = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    flawed = with_flaw(frame, fit, kind)
    changed = (flawed != frame).any(axis=2)
    assert changed.any() and flawed.shape == frame.shape
    seen = np.zeros(changed.shape, bool)
    placement = fit.apply(frame)[1]
    (left, top), (right, bottom) = placement.to_frame(*placement.valid[:2]), placement.to_frame(*placement.valid[2:])
    seen[max(0, round(top)) : round(bottom), max(0, round(left)) : round(right)] = True
    assert not changed[~seen].any()
    assert (fit.apply(flawed)[0] != fit.apply(frame)[0]).any()


@pytest.mark.parametrize(
    ("scores", "limit", "allowed"),
    [([1.0, 2.0, 3.0], 6.0, MARGIN * 4), ([5.0], 5.0, LEAST_TOLERANCE), ([0.1, 0.1, 0.9], 0.2, MARGIN * 0.1)],
)
def test_maps_may_move_by_half_of_what_lies_between_usual_good_parts_and_the_threshold(
    scores: list[float], limit: float, allowed: float
) -> None:
    maps = [np.full((4, 4), score, np.float32) for score in scores]
    measured: dict[Precision, Measurement] = dict.fromkeys(("fp32", "int8"), Measurement(scores, maps, maps, 1.0))
    found = tolerances(measured, {"fp32": limit, "int8": limit})
    assert found["int8"] == pytest.approx(allowed)
    assert found["fp32"] == pytest.approx(1e-3), "FP32 is the reference"
