"""Which precision of a bundle an engine runs, and what it does if this box cannot compute in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_bundle

import edge_inspect.edge.engines.openvino
from edge_inspect.calibrate.cli import main
from edge_inspect.calibrate.verification import verify
from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.bundle.manifest import Manifest, model_file
from edge_inspect.edge.engines.opening import fall_back, open_checked_engine, open_engine
from edge_inspect.edge.engines.openvino import default_type
from edge_inspect.edge.engines.tensorrt.engine import TensorRtEngine
from edge_inspect.edge.errors import EngineError


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A bundle whose first precision is bf16 and whose FP32 network is what bf16 runs."""
    tiny_bundle.write(tmp_path / "tiny")
    return with_bf16(open_bundle(tmp_path / "tiny"))


def with_bf16(plain: Bundle, **changed: Any) -> Bundle:
    fields = plain.manifest.model_dump()
    fields["precisions"] = ["int8", "bf16", "fp32"]
    fields["preferred"] = "bf16"
    fields["order"] = {"openvino": ["bf16", "int8", "fp32"], "tensorrt": ["int8", "fp32"]}
    thresholds: dict[str, Mapping[str, Any]] = fields["decision"]["thresholds"]
    thresholds["bf16"] = thresholds["fp32"]
    fields["golden"]["tolerance"]["bf16"] = 1.0
    fields |= changed
    manifest = Manifest.model_validate(fields)
    return Bundle(plain.path, manifest, plain.digest, lambda name: (plain.path / name).read_bytes())


def test_each_engine_has_its_order(bundle: Bundle) -> None:
    assert fall_back(bundle, None, "openvino") == ["bf16", "int8", "fp32"]
    assert fall_back(bundle, None, "tensorrt") == ["int8", "fp32"]
    assert fall_back(bundle, "fp32", "openvino") == fall_back(bundle, "fp32", "tensorrt") == ["fp32"]


@pytest.mark.parametrize(("preferred", "tried"), [("int8", ["int8", "bf16", "fp32"]), ("fp32", ["fp32"])])
def test_without_an_order_the_preferred_and_those_after_it_are_tried(
    bundle: Bundle, preferred: str, tried: list[str]
) -> None:
    older = with_bf16(bundle, order=None, preferred=preferred)
    assert fall_back(older, None, "openvino") == fall_back(older, None, "tensorrt") == tried


def test_a_processor_without_bfloat16_takes_the_next_precision_and_says_so(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(edge_inspect.edge.engines.openvino, "default_type", lambda: "f32")
    assert open_checked_engine(bundle, engine="openvino").precision == "int8"
    assert "bf16 needs a processor with bfloat16 instructions; this one has none; trying int8" in caplog.text
    with pytest.raises(EngineError, match="this one has none"):
        open_engine(bundle, "bf16", engine="openvino")


def test_verify_does_not_fail_a_bundle_for_what_this_processor_lacks(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_inspect.edge.engines.openvino, "default_type", lambda: "f32")
    monkeypatch.setattr("edge_inspect.calibrate.verification.open_bundle", lambda path, trusted: bundle)
    verification = verify(bundle.path)
    (check,) = [check for check in verification.checks if check.what == "golden bf16"]
    assert check.ok and check.detail.startswith("not run: bf16 needs")
    assert verification.failed == [] and "bf16" not in verification.golden


def test_show_names_bf16_and_the_size_of_the_network_it_runs(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("edge_inspect.edge.bundle.bundle.open_bundle", lambda path: bundle)
    assert main(["show", str(bundle.path)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  bf16")]
    size = bundle.manifest.files["model.fp32.onnx"].bytes / 1e6
    assert f"{size:.1f} MB" in line and line.endswith(", preferred")


def test_bf16_is_not_for_tensorrt(bundle: Bundle) -> None:
    assert "TensorRT runs int8, fp16 and fp32" in TensorRtEngine.unsupported("bf16")
    with pytest.raises(EngineError, match="bf16 is for OpenVINO"):
        open_engine(bundle, "bf16", engine="tensorrt")


@pytest.mark.skipif(default_type() != "bf16", reason="this processor has no bfloat16 instructions")
def test_bf16_runs_the_fp32_network_with_less_exact_numbers(bundle: Bundle) -> None:
    assert model_file("bf16") == model_file("fp32")
    engines = [open_engine(bundle, precision, engine="openvino") for precision in ("bf16", "fp32")]
    frame = bundle.golden()[0].frame
    rounded, exact = (engine.infer(frame).values.copy() for engine in engines)
    assert 0 < np.abs(rounded - exact).max() < 0.1 * max(1.0, np.abs(exact).max())
