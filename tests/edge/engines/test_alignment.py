"""A bundle that aligns: the part is brought to its pose before the fit, on every engine, or the frame is rejected."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import moved_parts
import numpy as np
import pytest
import small_bundle
import tiny_bundle
from moved_parts import FLANGE, Part, flanges

from edge_inspect.edge.bundle.bundle import Bundle, open_bundle, write_bundle
from edge_inspect.edge.bundle.manifest import GOLDEN
from edge_inspect.edge.decision import Decider
from edge_inspect.edge.engines.openvino import OpenVinoEngine
from edge_inspect.edge.errors import BundleError, UsageError
from edge_inspect.edge.evidence.saved_part import SavedMap
from edge_inspect.edge.frame.alignment import ALIGNMENT_PICTURE, Alignment
from edge_inspect.edge.frame.areas import Area, Areas
from edge_inspect.edge.frame.fit import Fit

MOVED = Part((40.0, -25.0), 12.0)


@pytest.fixture(scope="module")
def alignment() -> Alignment:
    return Alignment("rigid", flanges(1), FLANGE)


@pytest.fixture(scope="module")
def bundle(alignment: Alignment, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write(tmp_path_factory.mktemp("aligned") / "bundle", alignment)


def write(path: Path, alignment: Alignment, **fit: Any) -> Bundle:
    fields = small_bundle.fields()
    fields["input"] |= {"alignment": alignment.as_dict()}
    fields["input"]["fit"] = {"width": 32, "height": 32, "region": list(FLANGE), "grey": False, **fit}
    names = [[f"{side}{k + 1}" for k in range(2)] for side in ("teacher", "student")]
    fields["outputs"] = {"kind": "feature_pairs", "teacher": names[0], "student": names[1]}
    limits = {"image": 0.1, "pixel": 0.05}
    fields["decision"]["thresholds"] = {"fp32": limits, "int8": limits}
    model = tiny_bundle.network()
    contents = {"model.fp32.onnx": model, "model.int8.onnx": model, GOLDEN: small_bundle.golden()}
    return write_bundle(path, fields, contents | {ALIGNMENT_PICTURE: alignment.png()})


def test_the_alignment_travels_in_the_bundle(bundle: Bundle, alignment: Alignment) -> None:
    again = open_bundle(bundle.path)
    assert again.fit.alignment == alignment and again.fit == replace(Fit(32, 32, region=FLANGE), alignment=alignment)
    assert "alignment" not in again.manifest.input.fit


def test_a_bundle_without_the_alignments_picture_is_refused(alignment: Alignment, tmp_path: Path) -> None:
    fields = small_bundle.fields()
    fields["input"] |= {"alignment": alignment.as_dict()}
    with pytest.raises(ValueError, match=r"alignment\.png missing"):
        write_bundle(tmp_path / "bundle", fields, small_bundle.contents())
    fields["input"] |= {"alignment": {**alignment.as_dict(), "mode": "upright"}}
    bundle = write_bundle(tmp_path / "bundle", fields, small_bundle.contents() | {ALIGNMENT_PICTURE: alignment.png()})
    with pytest.raises(BundleError, match="alignment mode 'upright' is unknown"):
        _ = bundle.fit


def test_a_moved_part_is_seen_as_if_it_lay_still(bundle: Bundle) -> None:
    engine = OpenVinoEngine(bundle, "fp32")
    still = engine.infer(flanges(3))
    values, score = still.values.copy(), still.score
    found = engine.infer(flanges(3, [MOVED]))
    assert found.placement.pose is not None and found.placement.found
    assert found.placement.pose.angle == pytest.approx(12, abs=0.3)
    assert np.abs(found.values - values).mean() < 0.25 * values.std() + 0.02
    assert found.score == pytest.approx(score, rel=0.5)


@pytest.mark.parametrize(
    ("parts", "cause"),
    [
        ([], "absent"),
        ([Part(angle=180.0)], "upside_down"),
        ([Part((290.0, 0.0))], "outside"),
        ([Part((-80.0, 0.0)), Part((220.0, 60.0))], "several"),
    ],
)
def test_a_frame_without_the_part_is_rejected_and_not_judged(bundle: Bundle, parts: list[Part], cause: str) -> None:
    anomaly = OpenVinoEngine(bundle, "fp32").infer(flanges(4, parts))
    assert not anomaly.placement.found and anomaly.score == np.inf
    decision = Decider(bundle, "fp32").decide(anomaly)
    assert not decision.ok and decision.score == 0 and decision.regions == () and decision.not_found == cause


def test_regions_lie_on_the_part_where_the_camera_sees_it(bundle: Bundle) -> None:
    """A dark spot on the part, in the same place of it, however it lies."""
    engine, decider = OpenVinoEngine(bundle, "fp32"), Decider(bundle, "fp32")
    centres = []
    for part in (Part(), MOVED):
        anomaly = engine.infer(flanges(5, [part]))
        values = np.zeros_like(anomaly.values)
        values[6:9, 20:24] = 1  # of the part's own map
        decision = decider.decide(replace(anomaly, values=values, score=1.0))
        (region,) = decision.regions
        centres.append(region.centroid)
        x, y, width, height = region.bbox
        assert x <= region.centroid[0] <= x + width and y <= region.centroid[1] <= y + height
    turn = cv2.getRotationMatrix2D(moved_parts.MIDDLE, MOVED.angle, 1)
    expected = turn @ (*centres[0], 1.0) + MOVED.shift
    assert centres[1] == pytest.approx(tuple(expected), abs=2)


def test_a_map_is_brought_back_to_where_the_camera_sees_the_part(bundle: Bundle) -> None:
    anomaly = OpenVinoEngine(bundle, "fp32").infer(flanges(5, [MOVED]))
    values = np.zeros_like(anomaly.values)
    values[6:9, 20:24] = 1
    (region,) = Decider(bundle, "fp32").decide(replace(anomaly, values=values, score=1.0)).regions
    drawn = anomaly.placement.map_to_frame(values, 640, 480)
    rows, columns = np.nonzero(drawn > 0.5)
    assert (columns.mean(), rows.mean()) == pytest.approx(region.centroid, abs=2)
    again = SavedMap.model_validate_json(SavedMap.of(anomaly.placement, 0, 1).model_dump_json()).placement
    np.testing.assert_allclose(again.map_to_frame(values, 640, 480), drawn, atol=1e-6)


def test_areas_move_with_the_part(alignment: Alignment, tmp_path: Path) -> None:
    lamp = ((200, 120), (260, 120), (260, 180), (200, 180))
    areas = Areas(size=(640, 480), ignore=(Area(name="lamp", rings=(lamp,)),))
    bundle = write(tmp_path / "bundle", alignment, areas=areas.as_dict())
    engine = OpenVinoEngine(bundle, "fp32")
    frame = flanges(6, [MOVED])
    before = engine.infer(frame)
    pose, score = before.placement.pose, before.score
    assert pose is not None
    spotted = frame.copy()
    corner = pose.to_frame @ (230.0, 150.0, 1.0)
    cv2.circle(spotted, (round(corner[0]), round(corner[1])), 8, (255, 255, 255), -1)
    after = engine.infer(spotted)
    assert after.score == pytest.approx(score, abs=0.02), "the spot lies in the area that is ignored"


def test_frames_of_another_size_are_refused(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="cannot be aligned"):
        OpenVinoEngine(bundle, "fp32").infer(np.zeros((240, 320, 3), np.uint8))
