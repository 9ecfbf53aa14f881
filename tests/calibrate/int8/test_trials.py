"""INT8 tried on a small network, one of whose layers INT8 ruins: values of very different size share a tensor."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_inspect.calibrate.int8.activations import Activation, collect
from edge_inspect.calibrate.int8.clipping import METHODS
from edge_inspect.calibrate.int8.quantize import Int8Plan, quantizable
from edge_inspect.calibrate.int8.sensitivity import COUNT, RANKING_SHARE, Layer, SearchTime, rank_layers, release
from edge_inspect.calibrate.int8.trials import Int8Recipe, Trial, Workbench, best_first, try_recipes
from edge_inspect.calibrate.networks import Search, make_networks
from edge_inspect.calibrate.precisions.damage import Budget, Damage
from edge_inspect.calibrate.precisions.validation import Validation, draw_validation
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.bundle.manifest import FORMAT, GOLDEN, PRECISIONS, Manifest, model_file
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.frame.fit import MEAN, STD, Fit

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
    assert plans == {Int8Plan(), Int8Plan(shortcuts=False)}  # else nothing differs
    clipped = [trial for trial in trials if trial.recipe.plan == trials[0].recipe.plan]
    assert {trial.recipe.method for trial in clipped} == set(METHODS)
    assert trials[0].damage.size == min(trial.damage.size for trial in clipped)
    assert len({trial.recipe for trial in trials}) == len(trials)
    np.testing.assert_array_equal(maps, workbench.judge(trials[0].recipe)[1])


def test_of_equally_fast_forms_that_with_most_in_int8_comes_first() -> None:
    def trial(latency_ms: float, noise: float, **plan: bool) -> Trial:
        return Trial(Int8Recipe(Int8Plan(**plan)), latency_ms, Damage(0, 0, 0, 1, 0, noise, 0, 0, 12))

    unfaithful, fast = trial(1.0, 2.0), trial(4.0, 1.0, shortcuts=False)
    even, slow, slower = trial(4.1, 1.1), trial(4.3, 1.0, head=False), trial(5.0, 0.9, deconvolutions=False)
    assert best_first([slower, unfaithful, slow, fast, even]) == [even, fast, slow, slower, unfaithful]
    assert best_first([slower, fast, slow]) == [fast, slow, slower]
    everything = [slower, unfaithful, slow, fast, even]
    clockless = [dataclasses.replace(each, latency_ms=1.0) for each in everything]
    wanted = [each.recipe for each in best_first(clockless)]
    assert [each.recipe for each in best_first(everything, timed=False)] == wanted


def test_the_layer_that_int8_ruins_ranks_first_and_is_left_float(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So small a network may be no faster in INT8, which would end the search.
    monkeypatch.setattr(workbench, "beside_fp32", lambda recipe: (workbench.judge(recipe)[0], np.inf))
    recipe = Int8Recipe(Int8Plan(), "max")
    ranking = rank_layers(workbench, recipe)
    assert {layer.title for layer in ranking} == {"edges", "body", HARMED}
    sizes = [layer.damage.size for layer in ranking]
    assert sizes == sorted(sizes, reverse=True)
    harmful = {layer.title for layer in ranking if layer.damage.size > 10 * sizes[-1]}
    assert HARMED in harmful
    whole, _ = workbench.judge(recipe)
    budget = Budget(rank_correlation=0.9)
    assert budget.broken(whole.damage)
    released = release(workbench, recipe, ranking, budget, SearchTime(3600))
    assert released is not None and budget.broken(released.damage) == ""
    assert 0 < len(released.recipe.released) < len(ranking)
    assert {layer.name for layer in ranking if layer.title == HARMED} <= released.recipe.released


def test_a_budget_that_cannot_be_held_is_said_and_not_hidden(
    network: onnx.ModelProto, activations: dict[str, Activation], workbench: Workbench
) -> None:
    said: list[str] = []
    made = make_networks(network, activations, workbench, draft, Search(Budget(-100, -100)), said.append)
    assert made.broken and made.ranking and not made.trials[0].recipe.released
    assert any(line.startswith("INT8 stays as it is") for line in said)
    assert set(made.files) == {"int8", "fp16", "fp32"}


@pytest.mark.parametrize("share", [0.8, 0.95])
def test_layers_are_left_float_where_int8_would_change_verdicts(
    network: onnx.ModelProto,
    activations: dict[str, Activation],
    validation: Validation,
    workbench: Workbench,
    monkeypatch: pytest.MonkeyPatch,
    share: float,
) -> None:
    limit = float(np.median(workbench.reference[validation.flawed].max(axis=(1, 2))))
    bench = Workbench(network, activations, dataclasses.replace(validation, threshold=limit), draft)
    monkeypatch.setattr(bench, "beside_fp32", lambda recipe: (bench.judge(recipe)[0], np.inf))
    whole = try_recipes(bench)[0][0].damage.verdicts
    budget = Budget(100, 100, -1, verdicts=share * whole)
    said: list[str] = []
    made = make_networks(network, activations, bench, draft, Search(budget, seconds=3600), said.append)
    assert any("of verdicts expected to change" in line for line in said)
    assert made.trials[0].recipe.released and made.broken == ""
    assert 0 < made.damages["int8"].verdicts <= share * whole


def test_half_of_the_verdicts_is_aimed_at_where_pictures_can_tell(validation: Validation) -> None:
    search = Search(Budget(verdicts=1))
    assert search.aim(validation) == search.budget
    again = np.arange(len(validation.pictures)).repeat(3)
    more = Validation(validation.pictures[again], validation.masks[again], validation.valid[again])
    assert search.aim(more) == Budget(verdicts=0.5)


@pytest.mark.parametrize("enough", [1, 2, 3, 6, 11, 29])
def test_as_few_layers_stay_float_as_will_do(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch, enough: int
) -> None:
    fine, bad = (Damage(0, 0, 0, 1, 0, 0, 0, changed, 96) for changed in (0.1, 9.0))
    tried: list[int] = []

    def beside_fp32(recipe: Int8Recipe) -> tuple[Trial, float]:
        tried.append(len(recipe.released))
        return Trial(recipe, 1.0, fine if tried[-1] >= enough else bad), 2.0

    monkeypatch.setattr(workbench, "beside_fp32", beside_fp32)
    ranking = [Layer(str(i), "", bad) for i in range(40)]
    found = release(workbench, Int8Recipe(Int8Plan(), "max"), ranking, Budget(), SearchTime(3600))
    assert found is not None and len(found.recipe.released) == enough
    assert max(tried) <= 4 * enough + 4 and len(tried) < 8, "slow networks, with many layers float, are not tried first"


class Ticking:
    """A clock that goes on by a second whenever it is looked at."""

    def __init__(self) -> None:
        self.now = -1.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def test_a_ranking_that_runs_out_of_time_has_the_layers_next_to_the_picture(workbench: Workbench) -> None:
    recipe = Int8Recipe(Int8Plan(), "max")
    two = rank_layers(workbench, recipe, SearchTime(2.5 / RANKING_SHARE, Ticking()))
    assert {layer.title for layer in two} == {"edges", "body"}
    assert rank_layers(workbench, recipe, SearchTime(0)) == []
    assert all(layer.damage.pictures == COUNT for layer in two)


def test_without_time_no_layers_are_left_float(workbench: Workbench) -> None:
    recipe, budget = Int8Recipe(Int8Plan(), "max"), Budget(rank_correlation=0.9)
    ranking = rank_layers(workbench, recipe)
    assert release(workbench, recipe, ranking, budget, SearchTime(0)) is None


@pytest.mark.parametrize("seconds", [0.0, 1e-9])
def test_without_search_time_int8_is_kept_whole_and_beyond_the_budget(
    network: onnx.ModelProto, activations: dict[str, Activation], workbench: Workbench, seconds: float
) -> None:
    said: list[str] = []
    search = Search(Budget(-100, -100), seconds=seconds)
    made = make_networks(network, activations, workbench, draft, search, said.append)
    assert made.broken and made.ranking == [] and not made.trials[0].recipe.released
    assert any("--search-seconds" in line for line in said)


def test_layers_that_make_int8_as_slow_as_fp32_are_not_left_float(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing holds the budget, and the first step is slower than FP32: further steps would be slower still."""
    steps: list[int] = []
    lost = workbench.judge(Int8Recipe(Int8Plan(), "max"))[0].damage

    def beside_fp32(recipe: Int8Recipe) -> tuple[Trial, float]:
        steps.append(len(recipe.released))
        return Trial(recipe, 2.0, lost), 1.0

    monkeypatch.setattr(workbench, "beside_fp32", beside_fp32)
    ranking = rank_layers(workbench, Int8Recipe(Int8Plan(), "max")) * 8
    assert release(workbench, Int8Recipe(Int8Plan(), "max"), ranking, Budget(-100, -100), SearchTime(3600)) is None
    assert len(steps) == 1


def test_a_model_no_better_than_chance_is_not_searched(
    network: onnx.ModelProto, activations: dict[str, Activation], validation: Validation
) -> None:
    said: list[str] = []
    blind = Validation(validation.pictures, np.roll(validation.masks, 1, axis=0), validation.valid)
    bench = Workbench(network, activations, blind, draft)
    made = make_networks(network, activations, bench, draft, Search(Budget(-100, -100)), said.append)
    assert made.broken and made.ranking == []
    assert any("no better than chance" in line and "train for more steps" in line for line in said)


def test_within_the_budget_layers_are_ranked_only_where_asked(
    network: onnx.ModelProto, activations: dict[str, Activation], workbench: Workbench
) -> None:
    wide = Budget(100, 100, -1)
    made = make_networks(network, activations, workbench, draft, Search(wide), lambda line: None)
    assert made.broken == "" and made.ranking == []
    made = make_networks(network, activations, workbench, draft, Search(wide, sensitivity=True), lambda line: None)
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
    made = make_networks(network, seen, workbench, draft, Search(Budget(100, 100, -1)), said.append)
    assert set(made.files) == {"int8", "fp32"}
    assert any(line.startswith("no FP16: r1 reaches 70000") for line in said)
