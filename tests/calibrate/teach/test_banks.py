"""Prototypes are found in a network, and more of them are appended in every form that a bundle keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import taught_parts
from onnx import ModelProto, numpy_helper

from edge_inspect.calibrate.int8.quantize import WEIGHT_LEVELS, Int8Plan
from edge_inspect.calibrate.teach.banks import MULTIPLE, Addition, banks_in, find_banks, grown, padded
from edge_inspect.calibrate.teach.memory import draft
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.bundle.manifest import model_file
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.memory_probe import MemoryProbe

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")


def additions(bundle: Bundle, vectors: Callable[[np.ndarray], np.ndarray]) -> dict[str, Addition]:
    found = find_banks(onnx.load_from_string(bundle.model("fp32")))
    return {
        bank.node: Addition(
            padded(vectors(bank.prototypes).astype(np.float32), len(bank.prototypes)),
            bank.prototypes.mean(axis=0),
        )
        for bank in found
    }


def extended(bundle: Bundle, added: dict[str, Addition]) -> Bundle:
    files = {model_file(each): grown(bundle.model(each), added) for each in bundle.manifest.precisions}
    return draft(bundle, files)


@pytest.mark.parametrize("kind", ["memory", "usual", "student"])
def test_both_banks_are_found(bundle_of: Callable[[str], Bundle], kind: str) -> None:
    banks = find_banks(onnx.load_from_string(bundle_of(kind).model("fp32")))
    assert [bank.prototypes.shape for bank in banks] == [(taught_parts.PROTOTYPES, 96)] * 2
    assert len({bank.node for bank in banks} | {bank.directions for bank in banks}) == 4


def test_a_system_without_a_memory_has_no_banks(exported: Callable[[str], ModelProto]) -> None:
    assert find_banks(exported("rd")) == []


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", ["memory", "student"])
def test_prototypes_that_are_nearest_nowhere_change_no_map(
    bundle_of: Callable[[str], Bundle], kind: str, precision: str
) -> None:
    bundle = bundle_of(kind)
    frames = [taught_parts.part(1), taught_parts.part(2, "new"), taught_parts.part(3, defect=True)]
    far = extended(bundle, additions(bundle, lambda present: -np.abs(present[:5])))
    assert taught_parts.scores(far, frames, precision) == taught_parts.scores(bundle, frames, precision)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_score_ever_rises(bundle_of: Callable[[str], Bundle], precision: str, seed: int) -> None:
    bundle = bundle_of("memory")
    rng = np.random.default_rng(seed)

    def near(present: np.ndarray) -> np.ndarray:
        vectors = present[:20] + rng.normal(0, 0.05, (20, present.shape[1]))
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

    frames = [taught_parts.part(seed, lot, defect) for lot in ("old", "new") for defect in (False, True)]  # type: ignore[arg-type]
    before = taught_parts.scores(bundle, frames, precision)
    after = taught_parts.scores(extended(bundle, additions(bundle, near)), frames, precision)
    assert all(b >= a for b, a in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("system", "plan"),
    [
        ("memory", Int8Plan()),
        ("memory", Int8Plan(first=False, shortcuts=False, head=False)),
        ("memory", Int8Plan(deconvolutions=False, features=False)),
        ("rd", Int8Plan(pixel_shuffle=True)),
    ],
    ids=str,
)
def test_every_form_of_int8_learns_as_fp32_does(tmp_path: Path, system: str, plan: Int8Plan) -> None:
    bundle = taught_parts.write(tmp_path / "b", system=system, plan=plan)
    frame = taught_parts.part(300, "new")
    banks = find_banks(onnx.load_from_string(bundle.model("fp32")))
    networks = {}
    for precision in PRECISIONS:
        computed: Precision = "int8" if precision == "int8" else "fp32"
        with MemoryProbe(bundle, banks_in(bundle.model(computed), banks), computed) as probe:
            seen = probe.observe(frame)
        own = {
            bank.node: Addition(padded(vectors, len(bank.prototypes)), vectors.mean(axis=0))
            for bank, vectors in zip(banks, seen.directions, strict=True)
        }
        networks[model_file(precision)] = grown(bundle.model(precision), own)
    taught = draft(bundle, networks)
    for precision in PRECISIONS:
        before, after = (taught_parts.scores(each, [frame], precision)[0] for each in (bundle, taught))
        assert after < 0.3 * before, f"{precision}: the part's own features are prototypes now"


def test_integers_get_scales_of_their_own(bundle_of: Callable[[str], Bundle]) -> None:
    bundle = bundle_of("memory")
    added = additions(bundle, lambda present: np.eye(present.shape[1])[:3])
    model = onnx.load_from_string(grown(bundle.model("int8"), added))
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    made = {node.output[0]: node for node in model.graph.node}
    checked = 0
    for node in (each for each in model.graph.node if each.name in added):
        source = made[node.input[1]]
        weights, scales, zeros = (tensors[name] for name in source.input)
        assert len(weights) == len(scales) == len(zeros) == len(tensors[node.input[2]]) == 80
        np.testing.assert_allclose(scales[-3:], 1 / WEIGHT_LEVELS, rtol=1e-6)
        assert weights.dtype == np.int8 and weights.max() == WEIGHT_LEVELS
        checked += 1
    assert checked == 2


@pytest.mark.parametrize(("present", "new"), [(1000, 5), (1000, 248), (64, 16), (12, 1), (16, 0)])
def test_channels_are_a_multiple(present: int, new: int) -> None:
    prototypes = np.arange(3 * new, dtype=np.float32).reshape(new, 3)
    found = padded(prototypes, present)
    assert new == len(found) == 0 or (present + len(found)) % MULTIPLE == 0
    assert len(found) < new + MULTIPLE and (found[:new] == prototypes).all()
    assert (found[new:] == prototypes[-1:]).all()


def test_a_network_of_another_form_is_refused(bundle_of: Callable[[str], Bundle]) -> None:
    bundle = bundle_of("memory")
    with pytest.raises(ValueError, match="no convolution nowhere"):
        grown(bundle.model("fp32"), {"nowhere": next(iter(additions(bundle, lambda p: p[:1]).values()))})
