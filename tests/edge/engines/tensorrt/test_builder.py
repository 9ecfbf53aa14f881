"""The builder's calls for each release, on a stand-in that has the members of the real bindings."""

from __future__ import annotations

import pytest
import tiny_bundle
from stand_in_tensorrt import RELEASES, tensorrt

from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.tensorrt.builder import BuildError, build
from edge_inspect.edge.engines.tensorrt.release import PRECISIONS, options_for

MODEL = tiny_bundle.network()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("version", RELEASES)
def test_the_releases_flags_reach_the_builder(version: str, precision: Precision) -> None:
    trt, recorded = tensorrt(version)
    built = build(trt, MODEL, precision, workspace_mb=64)
    options = options_for(version, precision)
    assert recorded.network_flags == list(options.network)
    assert recorded.on == list(options.on) and recorded.off == list(options.off)
    assert recorded.tactics == list(options.tactics) and recorded.preview == list(options.preview)
    assert recorded.workspace == 64 << 20
    assert built.plan.endswith(MODEL)


def test_what_was_said_is_kept_without_the_verbose() -> None:
    built = build(tensorrt("10.3.0")[0], MODEL, "fp16")
    first, *said = built.log.splitlines()
    assert first.startswith("TensorRT 10.3.0, fp16, ") and "STRONGLY_TYPED" in first and "1024 MiB" in first
    assert said == ["INFO: Detected 1 inputs and 6 output network tensors."]


def test_timings_go_in_and_out() -> None:
    trt, recorded = tensorrt("8.6.1")
    first = build(trt, MODEL, "fp32")
    assert recorded.timing_given == [b""] and first.timing == b"measured!"
    assert build(trt, MODEL, "fp32", timing=first.timing).timing == b"measured!!"


def test_timings_that_tensorrt_does_not_take_are_left_aside() -> None:
    trt, recorded = tensorrt("11.4.0.106")
    built = build(trt, MODEL, "fp32", timing=b"of another GPU")
    assert recorded.timing_given == [b"of another GPU", b""]
    assert built.timing == b"measured!"


def test_an_onnx_that_is_not_read_names_the_node() -> None:
    with pytest.raises(BuildError, match="the ONNX is not read: node 7: No importer registered for op: Nonsense"):
        build(tensorrt("8.5.3.1")[0], b"no network", "fp32")


def test_a_failed_build_has_tensorrts_reason_and_the_log() -> None:
    trt, recorded = tensorrt("10.16.1.11")
    recorded.fails = "Could not find any implementation for node Conv_3\ndue to insufficient workspace."
    with pytest.raises(BuildError, match=r"Conv_3 due to insufficient workspace\.; .*--workspace") as raised:
        build(trt, MODEL, "int8")
    assert "ERROR: Could not find any implementation" in raised.value.log


def test_a_box_without_a_device_is_told_what_tensorrt_said() -> None:
    trt, recorded = tensorrt("8.5.3.1")
    recorded.device = False
    with pytest.raises(BuildError, match="CUDA initialization failure with error: 35"):
        build(trt, MODEL, "fp32")
