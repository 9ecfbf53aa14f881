"""A box times the precisions of a bundle with real engines."""

from __future__ import annotations

from typing import Any

import pytest

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.bundle.manifest import Manifest
from edge_inspect.edge.engines.openvino import default_type
from edge_inspect.edge.engines.trial import can_be_timed, contenders, try_precisions
from edge_inspect.edge.errors import EngineError

NEITHER = {"int8": -1.0, "fp32": -1.0}
"""Tolerances of golden frames that no engine keeps."""


def changed(plain: Bundle, *, tolerance: dict[str, float] | None = None, **fields: Any) -> Bundle:
    """Returns the bundle with another manifest."""
    manifest = plain.manifest.model_dump() | fields
    manifest["golden"]["tolerance"] |= tolerance or {}
    files = plain.path
    return Bundle(files, Manifest.model_validate(manifest), plain.digest, lambda name: (files / name).read_bytes())


def with_bf16(plain: Bundle) -> Bundle:
    thresholds = plain.manifest.decision.thresholds
    decision = plain.manifest.decision.model_dump() | {"thresholds": {**thresholds, "bf16": thresholds["fp32"]}}
    order = {"openvino": ["int8", "fp32", "bf16"], "tensorrt": ["int8", "fp32"]}
    precisions = ["int8", "bf16", "fp32"]
    return changed(plain, tolerance={"bf16": 1.0}, precisions=precisions, order=order, decision=decision)


def test_what_is_slower_here_is_not_taken_though_the_bundle_prefers_it(slow_int8: Bundle) -> None:
    choice = try_precisions(slow_int8, "openvino")
    assert choice.precision == "fp32" and choice.latency_ms["fp32"] < choice.latency_ms["int8"]
    assert str(choice).startswith("fp32 takes ") and not choice.against


def test_what_is_faster_here_is_taken_though_the_bundle_prefers_another(slow_fp32: Bundle) -> None:
    fp32_first = changed(slow_fp32, preferred="fp32", order={"openvino": ["fp32"], "tensorrt": ["int8", "fp32"]})
    assert try_precisions(fp32_first, "openvino").precision == "int8"


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, ["int8", "fp32"]),
        ({"preferred": "fp32"}, ["fp32"]),
        ({"order": {"openvino": ["fp32"], "tensorrt": ["fp32"]}}, ["fp32"]),
        ({"order": {"openvino": ["fp32", "int8"], "tensorrt": ["fp32"]}}, ["fp32", "int8"]),
        ({"order": {"openvino": ["fp32"], "tensorrt": ["int8", "fp32"]}}, ["fp32", "int8"]),
    ],
)
def test_only_what_keeps_the_budget_is_timed(slow_fp32: Bundle, fields: dict[str, Any], wanted: list[str]) -> None:
    bundle = changed(slow_fp32, **fields)
    assert contenders(bundle, "openvino") == wanted
    if len(wanted) == 1:
        assert str(try_precisions(bundle, "openvino")).startswith("fp32 is the only precision that the bundle allows")


def test_fp16_is_not_timed(slow_fp32: Bundle) -> None:
    fields = slow_fp32.manifest.model_dump()
    fields["files"]["model.fp16.onnx"] = fields["files"]["model.fp32.onnx"]
    fields["decision"]["thresholds"]["fp16"] = fields["decision"]["thresholds"]["fp32"]
    bundle = changed(slow_fp32, tolerance={"fp16": 0.01}, **fields | {"precisions": ["int8", "fp16", "fp32"]})
    assert bundle.manifest.order_of("openvino") == ["int8", "fp16", "fp32"]
    assert contenders(bundle, "openvino") == ["int8", "fp32"]


def test_what_does_not_hold_the_golden_frames_is_not_taken_however_fast(slow_fp32: Bundle) -> None:
    choice = try_precisions(changed(slow_fp32, tolerance={"int8": -1.0}), "openvino")
    assert choice.precision == "fp32" and choice.latency_ms.keys() == {"fp32"}
    assert "does not reproduce the golden frames" in choice.against["int8"] and "int8 cannot run" in str(choice)
    with pytest.raises(EngineError, match="no precision can run on this box"):
        try_precisions(changed(slow_fp32, tolerance=NEITHER), "openvino")


def test_bf16_is_timed_where_the_processor_has_it(slow_int8: Bundle) -> None:
    choice = try_precisions(with_bf16(slow_int8), "openvino")
    assert ("bf16" in choice.latency_ms) == (default_type() == "bf16")
    assert ("needs a processor with bfloat16 instructions" in choice.against.get("bf16", "")) != (
        default_type() == "bf16"
    )
    assert choice.precision != "int8"


def test_a_gpu_engine_is_not_timed() -> None:
    assert can_be_timed("openvino") and not can_be_timed("tensorrt")
