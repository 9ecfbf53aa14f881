"""The TensorRT engine on a stand-in for TensorRT and GPU (tests/stand_in_tensorrt.py) whose numbers are real."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_bundle
import tiny_bundle
from stand_in_tensorrt import ORIN, HostCuda, Recorded, tensorrt

from edge_inspect.edge.bench import bench
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.engines.golden import check_golden, golden_difference
from edge_inspect.edge.engines.opening import open_checked_engine, open_engine
from edge_inspect.edge.engines.openvino import OpenVinoEngine
from edge_inspect.edge.engines.tensorrt import cached
from edge_inspect.edge.engines.tensorrt.cache import LOG, EngineCache
from edge_inspect.edge.engines.tensorrt.cached import Device, open_cached
from edge_inspect.edge.engines.tensorrt.engine import TensorRtEngine
from edge_inspect.edge.errors import BundleError, DriftError, EngineError

VERSION = "10.3.0"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle.write(tmp_path_factory.mktemp("tiny") / "bundle")


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


def device(version: str = VERSION, **cuda: Any) -> tuple[Device, Recorded]:
    trt, recorded = tensorrt(version)
    return Device(trt, HostCuda(**cuda)), recorded


def engine_of(bundle: Bundle, made: Device, precision: Any = "fp32") -> TensorRtEngine:
    plan = f"plan {made.trt.__version__}\n".encode() + bundle.model(precision)
    return TensorRtEngine(bundle, precision, plan, made.trt, made.cuda)


@pytest.mark.parametrize("version", ["8.5.3.1", "8.6.1", "10.3.0", "11.4.0.106"])
def test_the_golden_frames_are_reproduced(bundle: Bundle, version: str) -> None:
    assert check_golden(bundle, engine_of(bundle, device(version)[0])) < 1e-4
    check_golden(bundle, engine_of(bundle, device(version)[0], "int8"))


def test_half_precision_in_and_out(bundle: Bundle) -> None:
    made, recorded = device()
    recorded.half = True
    assert 0 < golden_difference(bundle, engine_of(bundle, made)) < 0.05


def frames(count: int) -> list[Any]:
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (70, 90, 3), np.uint8) for _ in range(count)]


@pytest.mark.parametrize("capturable", [True, False])
def test_two_in_flight_keep_their_order_and_their_buffers(bundle: Bundle, capturable: bool) -> None:
    engine = engine_of(bundle, device(capturable=capturable)[0])
    alone = [(map_.values.copy(), map_.score) for map_ in map(OpenVinoEngine(bundle, "fp32").infer, frames(5))]
    together = [(map_.values.copy(), map_.score) for map_ in engine.infer_all(iter(frames(5)))]
    for (values, score), (expected, expected_score) in zip(together, alone, strict=True):
        np.testing.assert_allclose(values, expected, atol=1e-4)
        assert score == pytest.approx(expected_score, abs=1e-4)
    assert np.std([score for _, score in together]) > 0, "every frame gave the same"


def test_tiles_are_merged_as_they_are_elsewhere(tmp_path: Path) -> None:
    tiled = tiny_bundle.write(tmp_path / "tiled", tiles=(3, 2))
    expected = [anomaly.values.copy() for anomaly in map(OpenVinoEngine(tiled, "fp32").infer, frames(3))]
    for anomaly, values in zip(engine_of(tiled, device()[0]).infer_all(frames(3)), expected, strict=True):
        assert anomaly.values.shape == (56, 80)
        np.testing.assert_allclose(anomaly.values, values, atol=1e-4)


def test_the_processor_reads_a_frame_while_the_device_has_one(bundle: Bundle) -> None:
    read: list[int] = []

    def source() -> Iterator[Any]:
        for i, frame in enumerate(frames(4)):
            read.append(i)
            yield frame

    maps = engine_of(bundle, device()[0]).infer_all(source())
    next(maps)
    assert read == [0, 1, 2]


def test_frames_given_up_half_way_leave_nothing_behind(bundle: Bundle) -> None:
    engine = engine_of(bundle, device()[0])
    expected = OpenVinoEngine(bundle, "fp32").infer(frames(4)[3]).values.copy()
    given_up = engine.infer_all(frames(3))
    next(given_up)
    del given_up
    np.testing.assert_allclose(engine.infer(frames(4)[3]).values, expected, atol=1e-4)


def test_memory_is_taken_once(bundle: Bundle) -> None:
    made, _ = device()
    engine = engine_of(bundle, made)
    before = made.cuda.device_bytes, made.cuda.pinned_bytes
    assert before[0] == before[1] > 2 * 4 * 3 * 32 * 32
    for frame in frames(3):
        engine.infer(frame)
    assert (made.cuda.device_bytes, made.cuda.pinned_bytes) == before


def test_another_thread_may_infer(bundle: Bundle) -> None:
    engine, scores = engine_of(bundle, device()[0]), []
    thread = threading.Thread(target=lambda: scores.append(engine.infer(frames(1)[0]).score))
    thread.start()
    thread.join()
    assert scores == [pytest.approx(OpenVinoEngine(bundle, "fp32").infer(frames(1)[0]).score, abs=1e-4)]


def test_a_failing_device_is_the_services_own_error(bundle: Bundle) -> None:
    made, _ = device()
    engine = engine_of(bundle, made)
    made.cuda.failing = "CUDA: cuStreamSynchronize failed: unspecified launch failure; restart the service"
    with pytest.raises(EngineError, match="restart the service"):
        engine.infer(frames(1)[0])


def test_a_plan_of_another_release_and_of_another_network_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    made, _ = device()
    with pytest.raises(EngineError, match="TensorRT refuses the fp32 engine: The engine plan file is not compatible"):
        TensorRtEngine(bundle, "fp32", b"plan 8.6.1\n" + bundle.model("fp32"), made.trt, made.cuda)
    other = small_bundle.write(tmp_path / "other")
    with pytest.raises(EngineError, match=r"the engine belongs to another network: it has .*teacher1 \(1, "):
        TensorRtEngine(other, "fp32", f"plan {VERSION}\n".encode() + bundle.model("fp32"), made.trt, made.cuda)


def test_where_cuda_does_not_start_tensorrts_reason_is_said(bundle: Bundle) -> None:
    made, recorded = device("8.5.3.1")
    recorded.device = False
    with pytest.raises(EngineError, match="TensorRT cannot start: .*CUDA initialization failure with error: 35"):
        engine_of(bundle, made)


def test_the_bench_has_the_network_alone_as_its_floor(bundle: Bundle, box: Recorded, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(bundle.path.parent / "cache"))
    monkeypatch.setattr("edge_inspect.edge.engines.tensorrt.cache.SERVICE_FOLDER", Path("/nowhere"))
    result = bench(bundle.path, "fp32", 3, (80, 48), "tensorrt")
    assert result["engine"] == "tensorrt" and result["raw_ms_p50"] > 0
    assert bench(bundle.path, "fp32", 3, (80, 48), "openvino")["engine"] == "openvino"


def test_one_is_built_once_and_then_taken_from_the_cache(bundle: Bundle, cache: EngineCache) -> None:
    made, recorded = device()
    first = open_cached(bundle, "int8", cache, made, workspace_mb=16)
    assert recorded.builds == 1 and recorded.workspace == 16 << 20
    second = open_cached(bundle, "int8", cache, made)
    assert recorded.builds == 1
    np.testing.assert_array_equal(first.infer(frames(1)[0]).values, second.infer(frames(1)[0]).values)
    assert (cache.path(made.key(bundle, "int8")) / LOG).read_text().startswith("TensorRT 10.3.0, int8")
    open_cached(bundle, "int8", cache, made, again=True)
    assert recorded.builds == 2 and recorded.timing_given[-1] == b"measured!"


def test_another_gpu_or_release_builds_its_own_but_another_driver_does_not(bundle: Bundle, cache: EngineCache) -> None:
    open_cached(bundle, "fp32", cache, device()[0])
    builds = []
    for gpu, version in ((ORIN, "10.16.1.11"), ("Thor", VERSION), ("driver", VERSION)):
        named = {"Thor": {"name": "Thor"}, "driver": {"cuda": "13.0"}}.get(str(gpu), {})
        made, recorded = device(version, gpu=type(ORIN)(**{**vars(ORIN), **named}))
        open_cached(bundle, "fp32", cache, made)
        builds.append(recorded.builds)
    assert builds == [1, 1, 0]


def test_a_kept_plan_that_tensorrt_refuses_is_built_again(
    bundle: Bundle, cache: EngineCache, caplog: pytest.LogCaptureFixture
) -> None:
    made, recorded = device()
    cache.store(made.key(bundle, "fp32"), b"plan of a driver that was\n", "", {})
    check_golden(bundle, open_cached(bundle, "fp32", cache, made))
    assert recorded.builds == 1 and "it is built again" in caplog.text
    open_cached(bundle, "fp32", cache, made)
    assert recorded.builds == 1


def test_one_that_drifts_is_refused_once_and_for_all(bundle: Bundle, cache: EngineCache) -> None:
    made, recorded = device()
    recorded.spoil[bundle.model("int8")] = 1.0
    with pytest.raises(DriftError, match=r"int8 tensorrt engine .* differs by [\d.]+, the manifest allows"):
        open_cached(bundle, "int8", cache, made)
    with pytest.raises(DriftError, match=r"differs by [\d.]+, .*calibrate compile --again"):
        open_cached(bundle, "int8", cache, made)
    assert recorded.builds == 1
    assert "INFO: Detected 1 inputs" in (cache.path(made.key(bundle, "int8")) / LOG).read_text()


def test_maps_that_are_no_numbers_are_refused_once_and_for_all(bundle: Bundle, cache: EngineCache) -> None:
    made, recorded = device()
    recorded.spoil[bundle.model("int8")] = float("nan")
    for _ in range(2):
        with pytest.raises(DriftError, match="is not finite"):
            open_cached(bundle, "int8", cache, made)
    assert recorded.builds == 1


def test_a_failed_build_keeps_its_log_and_is_tried_again(bundle: Bundle, cache: EngineCache) -> None:
    made, recorded = device()
    recorded.fails = "out of memory"
    with pytest.raises(EngineError, match=r"built no int8 engine.*out of memory.*; see .*\.build\.log") as raised:
        open_cached(bundle, "int8", cache, made)
    assert "ERROR: out of memory" in Path(str(raised.value).rpartition("see ")[2]).read_text()
    recorded.fails = ""
    check_golden(bundle, open_cached(bundle, "int8", cache, made))


def test_a_precision_the_bundle_lacks_is_named_before_anything_is_built(tmp_path: Path, cache: EngineCache) -> None:
    made, recorded = device()
    with pytest.raises(BundleError, match="has no fp16 model; it has int8, fp32"):
        open_cached(small_bundle.write(tmp_path / "small"), "fp16", cache, made)
    assert recorded.builds == 0


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """A box with TensorRT and a GPU."""
    made, recorded = device()
    monkeypatch.setattr(cached, "find_device", lambda: made)
    return recorded


def test_a_box_with_tensorrt_takes_it_and_one_without_takes_openvino(
    bundle: Bundle, box: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_engine(bundle, cache=tmp_path / "engines").name == "tensorrt"
    assert open_engine(bundle, engine="openvino").name == "openvino"

    def missing() -> Device:
        raise EngineError("TensorRT is not installed; apt install python3-libnvinfer")

    monkeypatch.setattr(cached, "find_device", missing)
    assert open_engine(bundle).name == "openvino"
    with pytest.raises(EngineError, match="apt install python3-libnvinfer"):
        open_engine(bundle, engine="tensorrt", cache=tmp_path / "engines")


def test_int8_that_drifts_falls_back_with_the_numbers(
    bundle: Bundle, box: Recorded, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    box.spoil[bundle.model("int8")] = 1.0
    engine = open_checked_engine(bundle, cache=tmp_path / "engines")
    assert (engine.name, engine.precision) == ("tensorrt", "fp32")
    assert "a map value differs by" in caplog.text and "trying fp32 on tensorrt" in caplog.text


def test_where_no_tensorrt_engine_holds_openvino_runs_unless_tensorrt_was_asked_for(
    bundle: Bundle, box: Recorded, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    box.fails = "out of memory"
    engine = open_checked_engine(bundle, "fp32", cache=tmp_path / "engines")
    assert (engine.name, engine.precision) == ("openvino", "fp32")
    assert "trying fp32 on openvino" in caplog.text
    with pytest.raises(EngineError, match="out of memory"):
        open_checked_engine(bundle, "fp32", engine="tensorrt", cache=tmp_path / "engines")
