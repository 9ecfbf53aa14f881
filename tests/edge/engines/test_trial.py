"""A box times the precisions of a bundle with real engines, once, and keeps what it has chosen."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import tiny_bundle

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.bundle.manifest import Manifest
from edge_inspect.edge.doctor import find_choices
from edge_inspect.edge.engines.choice import Choice
from edge_inspect.edge.engines.choice_file import KEPT, ChoiceFile, ChoiceKey, read_choices
from edge_inspect.edge.engines.openvino import default_type
from edge_inspect.edge.engines.trial import MOST_BEGUN, can_be_timed, choose_once, contenders, try_precisions
from edge_inspect.edge.errors import EngineError

NEITHER = {"int8": -1.0, "fp32": -1.0}
"""Tolerances of golden frames that no engine keeps."""


@pytest.fixture(scope="module")
def slow_int8(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle that prefers INT8, whose INT8 is slower than its FP32 on any processor."""
    return tiny_bundle.write(tmp_path_factory.mktemp("slow") / "int8", slow="int8")


@pytest.fixture(scope="module")
def slow_fp32(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle.write(tmp_path_factory.mktemp("slow") / "fp32", slow="fp32")


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "outbox.precisions.json"


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


def test_the_precisions_are_timed_once(slow_int8: Bundle, record: Path) -> None:
    first = choose_once(slow_int8, "openvino", ChoiceFile(record))
    assert first is not None and first.precision == "fp32"
    (entry,) = read_choices(record)
    assert (entry.choice, entry.name, entry.key.bundle) == (first, slow_int8.manifest.name, slow_int8.digest)
    assert choose_once(slow_int8, "openvino", ChoiceFile(record)) == first
    assert read_choices(record) == [entry]


@pytest.mark.parametrize("other", ["bundle", "threads"])
def test_they_are_timed_again_for_another(slow_int8: Bundle, slow_fp32: Bundle, record: Path, other: str) -> None:
    choices = ChoiceFile(record)
    choose_once(slow_int8, "openvino", choices)
    bundle, threads = (slow_fp32, 0) if other == "bundle" else (slow_int8, 1)
    choose_once(bundle, "openvino", choices, threads=threads)
    first, second = read_choices(record)
    assert first.choice is not None and second.choice is not None
    assert first.key.model_copy(update={other: getattr(second.key, other)}) == second.key != first.key


def test_a_trial_that_takes_the_process_down_is_not_repeated_for_ever(
    slow_int8: Bundle, record: Path, caplog: pytest.LogCaptureFixture
) -> None:
    choose_once(slow_int8, "openvino", ChoiceFile(record))
    key = read_choices(record)[0].key
    record.unlink()
    for _ in range(MOST_BEGUN - 1):
        ChoiceFile(record).begin(key, "flange")
    assert choose_once(slow_int8, "openvino", ChoiceFile(record)) is not None
    record.unlink()
    for _ in range(MOST_BEGUN):
        ChoiceFile(record).begin(key, "flange")
    assert choose_once(slow_int8, "openvino", ChoiceFile(record)) is None
    assert f"the process ended {MOST_BEGUN} times while it timed the precisions" in caplog.text


def test_where_nothing_runs_the_next_start_tries_again(
    slow_fp32: Bundle, record: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = changed(slow_fp32, tolerance=NEITHER)
    for _ in range(MOST_BEGUN + 1):
        assert choose_once(broken, "openvino", ChoiceFile(record)) is None
    assert caplog.text.count("the precisions cannot be timed") == MOST_BEGUN + 1 and read_choices(record) == []


@pytest.mark.parametrize("content", [b"", b"{", b'[{"key": 1}]', b"\xff" * 9])
def test_a_damaged_record_is_written_anew(
    slow_int8: Bundle, record: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    record.write_bytes(content)
    (finding,) = find_choices(record)
    assert not finding.found and "is damaged; remove it" in finding.detail
    assert choose_once(slow_int8, "openvino", ChoiceFile(record)) is not None
    assert "the precisions are timed again" in caplog.text and len(read_choices(record)) == 1


def test_without_a_place_for_the_record_the_box_still_chooses(
    slow_int8: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    choices = ChoiceFile(tmp_path / "file" / "outbox.precisions.json")
    choice = choose_once(slow_int8, "openvino", choices)
    assert choice is not None and "the next start times the precisions again" in caplog.text
    assert choose_once(slow_int8, "openvino", choices) == choice


def test_the_record_is_bounded(record: Path) -> None:
    choices = ChoiceFile(record)
    for i in range(KEPT + 5):
        key = ChoiceKey(bundle=str(i), engine="openvino", version="1", processor="p", threads=0)
        choices.begin(key, "flange")
        choices.end(key, Choice(precision="fp32", latency_ms={}, against={}))
    kept = [entry.key.bundle for entry in read_choices(record)]
    assert kept == [str(i) for i in range(5, KEPT + 5)]


def test_doctor_lists_what_was_chosen_here(slow_int8: Bundle, record: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert find_choices(record) == []
    with caplog.at_level(logging.INFO):
        choices = ChoiceFile(record)
        choice = choose_once(slow_int8, "openvino", choices)
    assert f"{slow_int8.manifest.name}: fp32 takes" in caplog.text
    elsewhere = read_choices(record)[0].key.model_copy(update={"processor": "another"})
    choices.begin(elsewhere, "elsewhere")
    choices.end(elsewhere, choice)
    (finding,) = find_choices(record)
    assert finding.found and finding.what == "precision" and not finding.needed
    assert finding.detail == f"{slow_int8.manifest.name}: {choice}"
