"""INT8 tried on a small network, one of whose layers INT8 ruins: values of very different size share a tensor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from calibrate.activations import Activation, collect
from calibrate.clipping import METHODS
from calibrate.damage import Budget, Damage
from calibrate.networks import make_networks
from calibrate.quantize import Plan, quantizable
from calibrate.sensitivity import rank_layers, release
from calibrate.trials import Recipe, Trial, Workbench, _best_first, try_recipes
from calibrate.validation import Validation, draw_validation
from edge.bundle import FORMAT, GOLDEN, PRECISIONS, Bundle, Manifest, model_file
from edge.fit import MEAN, STD, Fit
from edge.messages import Precision

SIZE = 64
HARMED = "head"


@pytest.fixture(scope="module")
def network() -> onnx.ModelProto:
    """Edges by difference; `head` sees them beside a channel a thousand times as large, which it hardly weighs."""
    rng = np.random.default_rng(0)
    laplace = np.zeros((8, 3, 3, 3), np.float32)
    laplace[:, :, 1, 1] = rng.uniform(0.5, 1, (8, 3))
    laplace[:, :, 0, 1] = laplace[:, :, 2, 1] = -laplace[:, :, 1, 1] / 2
    laplace[0] = np.abs(laplace[0]) * 1000
    body = np.zeros((8, 8, 1, 1), np.float32)
    body[range(8), range(8)] = 0.5
    head = np.full((1, 8, 1, 1), 0.2, np.float32)
    head[0, 0] = 1e-6
    strided = {"kernel_shape": [1, 1], "strides": [2, 2]}
    weights = [numpy_helper.from_array(values, f"model.{name}.weight") for name, values in
               (("edges", laplace), ("body", body), (HARMED, head))]  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["image", "model.edges.weight"], ["c0"], name="n0", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c0"], ["r0"], name="n1"),
        helper.make_node("Conv", ["r0", "model.body.weight"], ["c1"], name="n2", kernel_shape=[1, 1]),
        helper.make_node("Add", ["c1", "r0"], ["a1"], name="n3"),
        helper.make_node("Relu", ["a1"], ["r1"], name="n4"),
        helper.make_node("Conv", ["r1", f"model.{HARMED}.weight"], ["map"], name="n5", **strided),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIZE, SIZE])
    out = helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 1, SIZE // 4, SIZE // 4])
    graph = helper.make_graph(nodes, "net", [image], [out], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def validation() -> Validation:
    rng = np.random.default_rng(1)
    frames = [rng.integers(110, 130, (SIZE, SIZE, 3), np.uint8) for _ in range(8)]
    return draw_validation(frames, Fit(SIZE, SIZE))


@pytest.fixture(scope="module")
def activations(network: onnx.ModelProto, validation: Validation) -> dict[str, Activation]:
    inputs = [
        (((picture[None, ..., ::-1] / 255 - MEAN) / STD).transpose(0, 3, 1, 2)).astype(np.float32)
        for picture in validation.pictures
    ]
    return collect(network, quantizable(network), inputs)


@pytest.fixture(scope="module")
def workbench(network: onnx.ModelProto, validation: Validation, activations: dict[str, Activation]) -> Workbench:
    return Workbench(network, activations, validation, draft)


def draft(networks: Mapping[Precision, bytes]) -> Bundle:
    precisions = [p for p in PRECISIONS if p in networks]
    manifest = {
        "format": FORMAT,
        "name": "edges",
        "created": "2026-01-31T06:07:08.000009Z",
        "model": {"system": "dmdd", "teacher": "none", "teacher_sha256": "0" * 64, "category": "noise"},
        "input": {"name": "image", "fit": Fit(SIZE, SIZE).as_dict(), "mean": MEAN, "std": STD},
        "outputs": {"kind": "map", "map": "map"},
        "decision": {
            "sigma": 4.0, "top": 1, "min_area_px": 4, "false_reject_rate": 0.1, "held_out_images": 1, "method": "none",
            "thresholds": {p: {"image": 0.0, "pixel": 0.0} for p in precisions},
        },
        "golden": {"tolerance": dict.fromkeys(precisions, 0.0)},
        "precisions": precisions,
        "preferred": precisions[0],
        "provenance": {},
        "files": dict.fromkeys([GOLDEN, *map(model_file, precisions)], {"sha256": "0" * 64, "bytes": 0}),
    }  # fmt: skip
    contents = {model_file(p): data for p, data in networks.items()}
    return Bundle(Path("draft"), Manifest.model_validate(manifest), "", contents.__getitem__)


def test_forms_and_every_way_to_clip_are_tried_and_the_most_faithful_clipping_kept(workbench: Workbench) -> None:
    trials, maps = try_recipes(workbench)
    plans = {trial.recipe.plan for trial in trials}
    assert plans == {Plan(), Plan(shortcuts=False)}  # else nothing differs
    clipped = [trial for trial in trials if trial.recipe.plan == trials[0].recipe.plan]
    assert {trial.recipe.method for trial in clipped} == set(METHODS)
    assert trials[0].damage.size == min(trial.damage.size for trial in clipped)
    assert len({trial.recipe for trial in trials}) == len(trials)
    np.testing.assert_array_equal(maps, workbench.judge(trials[0].recipe)[1])


def test_of_equally_fast_forms_that_with_most_in_int8_comes_first() -> None:
    def trial(latency_ms: float, noise: float, **plan: bool) -> Trial:
        return Trial(Recipe(Plan(**plan)), latency_ms, Damage(0, 0, 0, 1, 0, noise, 0, 12))

    unfaithful, fast = trial(1.0, 2.0), trial(4.0, 1.0, shortcuts=False)
    even, slow, slower = trial(4.1, 1.1), trial(4.3, 1.0, head=False), trial(5.0, 0.9, deconvolutions=False)
    assert _best_first([slower, unfaithful, slow, fast, even]) == [even, fast, slow, slower, unfaithful]
    assert _best_first([slower, fast, slow]) == [fast, slow, slower]


def test_the_layer_that_int8_ruins_ranks_first_and_is_left_float(workbench: Workbench) -> None:
    recipe = Recipe(Plan(), "max")
    ranking = rank_layers(workbench, recipe)
    assert {layer.title for layer in ranking} == {"edges", "body", HARMED}
    sizes = [layer.trial.damage.size for layer in ranking]
    assert sizes == sorted(sizes, reverse=True)
    harmful = {layer.title for layer in ranking if layer.trial.damage.size > 10 * sizes[-1]}
    assert HARMED in harmful
    whole = workbench.trial(recipe)
    budget = Budget(rank_correlation=0.9)
    assert budget.broken(whole.damage)
    released = release(workbench, recipe, ranking, budget)
    assert released is not None and budget.broken(released.damage) == ""
    assert 0 < len(released.recipe.released) < len(ranking)
    assert {layer.name for layer in ranking if layer.title == HARMED} <= released.recipe.released


def test_a_budget_that_cannot_be_held_is_said_and_not_hidden(
    network: onnx.ModelProto, activations: dict[str, Activation], workbench: Workbench
) -> None:
    said: list[str] = []
    made = make_networks(network, activations, workbench, draft, Budget(-100, -100), False, said.append)
    assert made.broken and made.ranking and not made.trials[0].recipe.released
    assert "no number of its layers left float brings INT8 within the budget" in said
    assert set(made.files) == {"int8", "fp16", "fp32"}


def test_within_the_budget_layers_are_ranked_only_where_asked(
    network: onnx.ModelProto, activations: dict[str, Activation], workbench: Workbench
) -> None:
    wide = Budget(100, 100, -1)
    made = make_networks(network, activations, workbench, draft, wide, False, lambda line: None)
    assert made.broken == "" and made.ranking == []
    made = make_networks(network, activations, workbench, draft, wide, True, lambda line: None)
    chosen = made.trials[0].recipe
    assert made.broken == "" and not chosen.released
    assert {layer.name for layer in made.ranking} == set(workbench.layers(chosen.plan))


def test_where_activations_leave_float16_there_is_no_fp16_and_that_is_said(
    network: onnx.ModelProto, activations: dict[str, Activation], workbench: Workbench
) -> None:
    said: list[str] = []
    wild = Activation()
    wild.add(np.array([[70_000.0]], np.float32))
    seen = {**activations, "r1": wild}
    made = make_networks(network, seen, workbench, draft, Budget(100, 100, -1), False, said.append)
    assert set(made.files) == {"int8", "fp32"}
    assert any(line.startswith("no FP16: r1 reaches 70000") for line in said)
