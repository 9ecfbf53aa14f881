"""The flags and calls for each TensorRT release exist in its bindings, which were read from the wheels on PyPI."""

from __future__ import annotations

import inspect

import pytest
from stand_in_tensorrt import RELEASES

from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.tensorrt import bindings
from edge_inspect.edge.engines.tensorrt.release import PRECISIONS, options_for
from edge_inspect.edge.errors import EngineError

OLD = [version for version in RELEASES if version.startswith("8.")]
PROTOCOLS = {
    "Builder": "Builder",
    "BuilderConfig": "IBuilderConfig",
    "Parser": "OnnxParser",
    "ParserError": "ParserError",
    "Runtime": "Runtime",
    "CudaEngine": "ICudaEngine",
    "ExecutionContext": "IExecutionContext",
    "TimingCache": "ITimingCache",
}


def test_the_releases_of_both_ends_are_there() -> None:
    assert [version.split(".")[0] for version in RELEASES] == ["8", "8", "10", "10", "10", "11", "11"]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("version", RELEASES)
def test_every_flag_is_one_of_the_release(version: str, precision: Precision) -> None:
    options, release = options_for(version, precision), RELEASES[version]
    assert set(options.network) <= release["NetworkDefinitionCreationFlag"].keys()
    assert {*options.on, *options.off} <= release["BuilderFlag"].keys()
    assert options.off == (("TF32",) if precision == "fp32" else ())


@pytest.mark.parametrize("version", OLD)
def test_before_10_precisions_are_flags(version: str) -> None:
    assert options_for(version, "int8").on == ("INT8", "FP16")
    assert options_for(version, "fp16").on == ("FP16", "PREFER_PRECISION_CONSTRAINTS")
    assert options_for(version, "fp32").on == ()
    assert options_for(version, "fp32").network == ("EXPLICIT_BATCH",)


@pytest.mark.parametrize("version", OLD)
def test_before_10_cublas_and_cudnn_are_named_out(version: str) -> None:
    options, release = options_for(version, "fp16"), RELEASES[version]
    left = release["TacticSource"].keys() - set(options.tactics)
    assert left == {"CUBLAS", "CUBLAS_LT", "CUDNN"} and set(options.tactics) < release["TacticSource"].keys()
    assert set(options.preview) <= release["PreviewFeature"].keys()


def test_only_before_10_int8_weights_are_floats() -> None:
    found = [v for v in RELEASES for p in PRECISIONS if options_for(v, p).float_weights]
    assert found == OLD


@pytest.mark.parametrize("version", [version for version in RELEASES if version not in OLD])
def test_from_10_on_the_onnx_says_every_type(version: str) -> None:
    for precision in PRECISIONS:
        assert options_for(version, precision).on == ()
    typed = ("STRONGLY_TYPED",) if version.startswith("10.") else ()
    assert options_for(version, "int8").network == typed


@pytest.mark.parametrize("version", ["8.4.3.1", "7.1.3", "8.4"])
def test_older_releases_are_refused_with_a_remedy(version: str) -> None:
    with pytest.raises(EngineError, match=rf"{version} is older than 8\.5; update JetPack"):
        options_for(version, "fp32")


def test_a_version_that_is_none_is_refused() -> None:
    with pytest.raises(EngineError, match="'dev', which cannot be read"):
        options_for("dev", "fp32")


@pytest.mark.parametrize("version", RELEASES)
@pytest.mark.parametrize("ours", PROTOCOLS)
def test_every_release_has_what_is_called(ours: str, version: str) -> None:
    protocol = getattr(bindings, ours)
    called = {name for name, _ in inspect.getmembers(protocol) if not name.startswith("_")}
    assert called, "the protocol is empty"
    assert called <= set(RELEASES[version][PROTOCOLS[ours]])
