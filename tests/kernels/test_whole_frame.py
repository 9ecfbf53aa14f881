"""A frame's whole way through the GPU's engine, against OpenVINO's on the same bundle: map, score, regions.

Real are the kernels' source (on the processor: tests/kernels/shim), the network (OpenVINO in TensorRT's place) and all
of the engine's own; of the device only its order of work is played (tests/stand_in_tensorrt.py).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import small_bundle
import tiny_bundle
from kernels.host import Host
from moved_parts import FLANGE, Part, flanges
from onnx import TensorProto, helper
from stand_in_tensorrt import HostCuda, tensorrt

from edge_inspect.edge.bundle.bundle import Bundle, write_bundle
from edge_inspect.edge.bundle.manifest import GOLDEN
from edge_inspect.edge.decision import Decider
from edge_inspect.edge.engines import AnomalyMap
from edge_inspect.edge.engines.golden import check_golden, golden_difference
from edge_inspect.edge.engines.openvino import OpenVinoEngine
from edge_inspect.edge.engines.tensorrt.cache import EngineCache
from edge_inspect.edge.engines.tensorrt.cached import Device, open_cached
from edge_inspect.edge.engines.tensorrt.fused import FusedTensorRtEngine
from edge_inspect.edge.errors import DriftError, UsageError
from edge_inspect.edge.frame.alignment import ALIGNMENT_PICTURE, Alignment
from edge_inspect.edge.kernels.launch import Launch

VERSION = "10.3.0"
FITS: dict[str, dict[str, Any]] = {
    "stretch": {"mode": "stretch"},
    "pad": {"mode": "pad"},
    "crop, grey, a region": {"mode": "crop", "grey": True, "region": [7, 3, 60, 41]},
    "tile": {"mode": "tile", "tiles": [3, 2], "overlap": 8},
}
SIZES = {"much larger": (131, 203), "odd": (45, 67)}


def write(
    path: Path,
    seen: np.ndarray,
    *,
    top: int = 1,
    gives_map: bool = False,
    alignment: Alignment | None = None,
    **fit: Any,
) -> Bundle:
    """Return a tiny bundle that rejects every frame; its pixel threshold marks a fifth of the given frame's map."""
    fields = small_bundle.fields(top=top)
    fields["input"]["fit"] = {"width": 32, "height": 32, "region": None, "grey": False, **fit}
    names = [[f"{side}{k + 1}" for k in range(2)] for side in ("teacher", "student")]
    fields["outputs"] = {"kind": "feature_pairs", "teacher": names[0], "student": names[1]}
    if gives_map:
        fields["outputs"] = {"kind": "map", "map": "map"}
    model = with_map(tiny_bundle.network()) if gives_map else tiny_bundle.network()
    contents = {"model.fp32.onnx": model, "model.int8.onnx": model, GOLDEN: small_bundle.golden()}
    if alignment is not None:
        fields["input"]["alignment"] = alignment.as_dict()
        contents[ALIGNMENT_PICTURE] = alignment.png()
    draft = OpenVinoEngine(write_bundle(path.with_name("draft"), fields, contents), "fp32")
    limits = {"image": -1.0, "pixel": float(np.quantile(draft.infer(seen).values, 0.8))}
    fields["decision"]["thresholds"] = {"fp32": limits, "int8": limits}
    return write_bundle(path, fields, contents)


def with_map(model: bytes) -> bytes:
    """Return the tiny network with one more output: the distance between teacher and student, (1, 1, 16, 16)."""
    made = onnx.load_from_string(model)
    made.graph.node.extend(
        [
            helper.make_node("Sub", ["teacher1", "student1"], ["difference"]),
            helper.make_node("Abs", ["difference"], ["distance"]),
            helper.make_node("ReduceMean", ["distance"], ["map"], axes=[1], keepdims=1),
        ]
    )
    del made.graph.output[:]
    made.graph.output.append(helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 1, 16, 16]))
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


def engine_of(
    bundle: Bundle, library: Path, *, spoil: float = 0.0, half: bool = False, **cuda: Any
) -> tuple[FusedTensorRtEngine, HostCuda]:
    trt, recorded = tensorrt(VERSION)
    recorded.spoil[bundle.model("fp32")], recorded.half = spoil, half
    host = HostCuda(host=Host(library), **cuda)
    plan = f"plan {VERSION}\n".encode() + bundle.model("fp32")
    return FusedTensorRtEngine(bundle, "fp32", plan, trt, host, host.host), host


def frames(count: int, size: tuple[int, int] = (70, 90)) -> list[np.ndarray]:
    """Smooth pictures, each with a spot."""
    rng = np.random.default_rng(5)
    made = [cv2.GaussianBlur(rng.integers(0, 256, (*size, 3), np.uint8), (0, 0), 3) for _ in range(count)]
    for frame in made:
        cv2.circle(frame, (size[1] // 3, size[0] // 2), size[0] // 6, (20, 40, 250), -1)
    return made


def assert_same(bundle: Bundle, found: AnomalyMap, wanted: AnomalyMap) -> None:
    """Compare map, score and regions. Another OpenCV may round a pixel differently, which changes them a little."""
    assert found.placement == wanted.placement
    np.testing.assert_allclose(found.values, wanted.values, atol=1e-3, rtol=0)
    assert found.score == pytest.approx(wanted.score, abs=1e-3)
    one, other = (Decider(bundle, "fp32").decide(anomaly) for anomaly in (found, wanted))
    assert len(one.regions) == len(other.regions)
    for region, expected in zip(one.regions, other.regions, strict=True):
        assert region.bbox == pytest.approx(expected.bbox, abs=wanted.placement.scale_x + 1)
        assert region.peak == pytest.approx(expected.peak, abs=1e-3)
        assert region.centroid == pytest.approx(expected.centroid, abs=1)


@pytest.mark.parametrize("gives_map", [False, True], ids=["features", "map"])
@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_map_score_and_regions_are_openvinos(
    library: Path, tmp_path: Path, size: tuple[int, int], fit: dict[str, Any], gives_map: bool
) -> None:
    pictures = frames(2, size)
    bundle = write(tmp_path / "bundle", pictures[0], top=3, gives_map=gives_map, **fit)
    engine, reference = engine_of(bundle, library)[0], OpenVinoEngine(bundle, "fp32")
    assert Decider(bundle, "fp32").decide(reference.infer(pictures[0])).regions
    for frame in pictures:
        assert_same(bundle, engine.infer(frame), reference.infer(frame))


AREAS = {
    "size": [203, 131],
    "look": [
        {"name": "left", "rings": [[[10, 5], [120, 20], [110, 125], [12, 120]]]},
        {"name": "right", "rings": [[[40, 5], [195, 5], [195, 125], [40, 125]]], "scale": 1.5},
    ],
    "ignore": [{"name": "lamp", "rings": [[[60, 60], [75, 60], [75, 80], [60, 80]]]}],
}


@pytest.mark.parametrize("gives_map", [False, True], ids=["features", "map"])
@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_what_is_not_looked_at_changes_no_bit(
    library: Path, tmp_path: Path, fit: dict[str, Any], gives_map: bool
) -> None:
    pictures = frames(2, (131, 203))
    bundle = write(tmp_path / "bundle", pictures[0], top=3, gives_map=gives_map, areas=AREAS, **fit)
    engine, reference = engine_of(bundle, library)[0], OpenVinoEngine(bundle, "fp32")
    assert bundle.fit.areas is not None
    seen = bundle.fit.areas.looked_at()
    for frame in pictures:
        found = engine.infer(frame)
        assert_same(bundle, found, reference.infer(frame))
        other = np.where(seen[..., None], frame, np.random.default_rng(2).integers(0, 256, frame.shape, np.uint8))
        for each in (engine, reference):
            before = each.infer(frame)
            values, score = before.values.copy(), before.score
            after = each.infer(other)
            assert after.score == score and np.array_equal(after.values, values), each.name
    fitted, _ = bundle.fit.apply(pictures[0])
    np.testing.assert_allclose(engine.infer_fitted(fitted), reference.infer_fitted(fitted), atol=1e-5, rtol=0)


def test_a_part_that_does_not_lie_still_is_aligned_first(library: Path, tmp_path: Path) -> None:
    alignment = Alignment("rigid", flanges(1), FLANGE)
    bundle = write(tmp_path / "bundle", flanges(1), region=list(FLANGE), alignment=alignment)
    engine, reference = engine_of(bundle, library)[0], OpenVinoEngine(bundle, "fp32")
    given = [flanges(3, [Part((40.0, -25.0), 12.0)]), flanges(4, []), flanges(5)]
    wanted = [replace(anomaly, values=anomaly.values.copy()) for anomaly in map(reference.infer, given)]
    assert [anomaly.placement.found for anomaly in wanted] == [True, False, True]
    for found, expected in zip(engine.infer_all(iter(given)), wanted, strict=True):
        assert_same(bundle, found, expected)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle.write(tmp_path_factory.mktemp("tiny") / "bundle")


@pytest.mark.parametrize("capturable", [True, False])
def test_frames_of_changing_size_keep_their_order_and_their_buffers(
    bundle: Bundle, library: Path, capturable: bool
) -> None:
    given = [*frames(3), *frames(3, (131, 203)), *frames(5)[3:]]
    reference = OpenVinoEngine(bundle, "fp32")
    wanted = [replace(anomaly, values=anomaly.values.copy()) for anomaly in map(reference.infer, given)]
    engine, host = engine_of(bundle, library, capturable=capturable)
    for found, expected in zip(engine.infer_all(iter(given)), wanted, strict=True):
        assert_same(bundle, found, expected)
    assert len({anomaly.score for anomaly in wanted}) == len(given), "frames gave the same"
    assert [stream.graphs for stream in host.streams] == [int(capturable)] * 2, "graphs of old sizes are left"


def test_memory_is_taken_once_for_frames_of_one_size(bundle: Bundle, library: Path) -> None:
    engine, host = engine_of(bundle, library)
    first, *others = frames(5)
    list(engine.infer_all([first, first]))
    before = host.device_bytes, host.pinned_bytes
    assert before[1] == 2 * (first.nbytes + 4 * 32 * 32 + 4)
    list(engine.infer_all(others))
    assert (host.device_bytes, host.pinned_bytes) == before


def test_only_what_is_seen_of_a_frame_is_copied(library: Path, tmp_path: Path) -> None:
    (frame,) = frames(1)
    engine, host = engine_of(write(tmp_path / "bundle", frame, mode="stretch", region=[7, 3, 60, 41]), library)
    before = host.pinned_bytes
    engine.infer(frame)
    assert host.pinned_bytes - before == 3 * 60 * 41
    with pytest.raises(UsageError, match="lies outside a frame of 50x40"):
        engine.infer(frames(1, (40, 50))[0])
    assert engine.infer(frame).score > 0


def test_frames_given_up_half_way_leave_nothing_behind(bundle: Bundle, library: Path) -> None:
    engine, (last,) = engine_of(bundle, library)[0], frames(1, (45, 67))
    given_up = engine.infer_all(frames(3))
    next(given_up)
    del given_up
    assert_same(bundle, engine.infer(last), OpenVinoEngine(bundle, "fp32").infer(last))


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_a_frame_that_was_fitted_already_is_left_as_it_is(library: Path, tmp_path: Path, fit: dict[str, Any]) -> None:
    (frame,) = frames(1)
    bundle = write(tmp_path / "bundle", frame, **fit)
    engine, (fitted, _) = engine_of(bundle, library)[0], bundle.fit.apply(frame)
    wanted = OpenVinoEngine(bundle, "fp32").infer_fitted(fitted)
    np.testing.assert_allclose(engine.infer_fitted(fitted), wanted, atol=1e-5, rtol=0)
    engine.run_network()
    np.testing.assert_allclose(engine.infer(frame).values, wanted, atol=1e-3, rtol=0)


def test_half_precision_in_and_out(bundle: Bundle, library: Path) -> None:
    assert 0 < golden_difference(bundle, engine_of(bundle, library, half=True)[0]) < 0.05


def test_a_map_that_is_not_finite_is_refused(bundle: Bundle, library: Path) -> None:
    engine, _ = engine_of(bundle, library, spoil=float("nan"))
    with pytest.raises(DriftError, match="is not finite"):
        engine.infer(frames(1)[0])


def test_a_box_with_kernels_takes_them_and_one_without_says_what_it_loses(
    bundle: Bundle, library: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trt, recorded = tensorrt(VERSION)
    cache = EngineCache(tmp_path / "engines")
    for host, fused in ((Host(library), True), (None, False)):
        engine = open_cached(bundle, "fp32", cache, Device(trt, HostCuda(host=host)))
        assert isinstance(engine, FusedTensorRtEngine) is fused
        assert ("a millisecond or more per frame" in caplog.text) is not fused
        assert check_golden(bundle, engine) < 1e-3
    assert recorded.builds == 1, "the plan is the same for both"


class IdleHost(Host):
    """Kernels that do nothing."""

    def run(self, launch: Launch) -> None:
        pass


def test_kernels_that_go_wrong_do_not_cost_the_box_its_engine(
    bundle: Bundle, library: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cuda = HostCuda(host=IdleHost(library))
    engine = open_cached(bundle, "fp32", EngineCache(tmp_path / "engines"), Device(tensorrt(VERSION)[0], cuda))
    assert not isinstance(engine, FusedTensorRtEngine)
    assert "is not finite, so there can be no verdict; trying again with the processor" in caplog.text
    assert check_golden(bundle, engine) < 1e-3
