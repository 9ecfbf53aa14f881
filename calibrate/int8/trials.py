"""The best form of INT8 on this box; forms are tried, not guessed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from edge_inspect.calibrate.engines import engine_of
from edge_inspect.calibrate.int8.activations import Activation
from edge_inspect.calibrate.int8.clipping import METHODS, scale
from edge_inspect.calibrate.int8.quantize import Int8Plan, layers, quantizable, quantize
from edge_inspect.calibrate.precisions.damage import Damage, Maps, damage
from edge_inspect.calibrate.precisions.measurement import infer_fitted
from edge_inspect.calibrate.precisions.validation import Validation
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.openvino import OpenVinoEngine
from edge_inspect.train.progress import tracked

Draft = Callable[[Mapping[Precision, bytes]], Bundle]
"""Makes a bundle in memory from the ONNX of precisions."""

SLACK = 1.5
"""A faster plan may do this many times the damage of the most faithful one; the budget is checked afterwards."""

EVEN = 1.05
"""Forms whose times differ by a smaller factor count as equally fast: two copies of one form differ by as much,
depending on where their memory lies."""

FEW = 24
"""Number of pictures that forms are tried on."""


@dataclass(frozen=True)
class Int8Recipe:
    """How an INT8 network is made.

    Attributes:
        plan: Places that become INT8.
        method: How activations are clipped, one of `calibrate.int8.clipping.METHODS`.
        released: Layers that stay in float nevertheless.
    """

    plan: Int8Plan
    method: str = next(iter(METHODS))
    released: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.plan}; clipped by {self.method}" + (f"; {len(self.released)} left float" * bool(self.released))


@dataclass(frozen=True)
class Candidate:
    """A recipe's network, ready to run.

    Attributes:
        recipe: The recipe.
        model: The INT8 ONNX.
        engine: The box's engine with this network.
    """

    recipe: Int8Recipe
    model: bytes
    engine: OpenVinoEngine


@dataclass(frozen=True)
class Trial:
    """A recipe and its measurements.

    Attributes:
        recipe: The recipe.
        latency_ms: Median milliseconds of a picture.
        damage: Loss against FP32.
    """

    recipe: Int8Recipe
    latency_ms: float
    damage: Damage

    def as_dict(self) -> dict[str, Any]:
        """Return the entry for the report."""
        return {"recipe": str(self.recipe), "latency_ms_median": round(self.latency_ms, 3), **self.damage.as_dict()}


class Workbench:
    """Makes INT8 networks from a float32 network, and measures them through the engine of the box.

    Args:
        fp32: The float32 network.
        activations: Values on calibration images of all tensors that are `quantizable`.
        validation: Pictures on which networks are judged.
        draft: Makes bundles for pictures that are fitted already.

    Attributes:
        validation: Pictures on which networks are judged.
        reference: FP32's maps of these pictures.
    """

    def __init__(
        self,
        fp32: onnx.ModelProto,
        activations: Mapping[str, Activation],
        validation: Validation,
        draft: Draft,
    ) -> None:
        self.validation = validation
        self._fp32, self._draft = fp32, draft
        self._activations = {name: activations[name] for name in quantizable(fp32)}
        self._scales: dict[str, dict[str, float]] = {}
        self._exact = engine_of(draft({"fp32": fp32.SerializeToString()}), "fp32")
        ((self.reference, _),) = infer_fitted([self._exact], validation.pictures, least_s=0)

    def model(self, recipe: Int8Recipe) -> bytes:
        """Return the INT8 ONNX."""
        if recipe.method not in self._scales:
            self._scales[recipe.method] = {
                name: scale(activation.histogram, recipe.method) for name, activation in self._activations.items()
            }
        means = {name: activation.means for name, activation in self._activations.items()}
        made = quantize(self._fp32, self._scales[recipe.method], means, recipe.plan, recipe.released)
        return bytes(made.SerializeToString())

    def layers(self, plan: Int8Plan) -> dict[str, str]:
        """Return the nodes that a plan makes INT8, each with a name for a person."""
        return layers(self._fp32, plan)

    def candidate(self, recipe: Int8Recipe) -> Candidate:
        """Make an INT8 network."""
        model = self.model(recipe)
        return Candidate(recipe, model, engine_of(self._draft({"int8": model}), "int8"))

    def race(self, candidates: Sequence[Candidate], count: int) -> list[tuple[Trial, Maps]]:
        """Measure INT8 networks in turns, on the first `count` pictures; return their maps too."""
        measured = infer_fitted([each.engine for each in candidates], self.validation.pictures[:count])
        return [
            (Trial(each.recipe, latency_ms, damage(self.validation, self.reference, maps)), maps)
            for each, (maps, latency_ms) in zip(candidates, measured, strict=True)
        ]

    def judge(self, recipe: Int8Recipe) -> tuple[Trial, Maps]:
        """Make and measure one INT8 network on all pictures, each of which runs once."""
        ((maps, latency_ms),) = infer_fitted([self.candidate(recipe).engine], self.validation.pictures, least_s=0)
        return Trial(recipe, latency_ms, damage(self.validation, self.reference, maps)), maps

    def beside_fp32(self, recipe: Int8Recipe) -> tuple[Trial, float]:
        """Make and measure one INT8 network; return also FP32's milliseconds, measured in turns with it."""
        engines = [self.candidate(recipe).engine, self._exact]
        (maps, latency_ms), (_, exact_ms) = infer_fitted(engines, self.validation.pictures)
        return Trial(recipe, latency_ms, damage(self.validation, self.reference, maps)), exact_ms

    def harm(self, recipe: Int8Recipe, count: int) -> Damage:
        """Return what one INT8 network loses on the first `count` pictures, without timing it."""
        with OpenVinoEngine(self._draft({"int8": self.model(recipe)}), "int8") as engine:  # needed only once, not kept
            ((maps, _),) = infer_fitted([engine], self.validation.pictures[:count], least_s=0)
        return damage(self.validation, self.reference, maps)


def try_recipes(workbench: Workbench, *, timed: bool = True) -> tuple[list[Trial], Maps]:
    """Try forms of the network beside the best so far, then ways to clip; return the chosen one first, and its maps.

    Of the forms that are about as faithful as the best, the fastest is chosen; of equally fast ones, the one with most
    in INT8, which gains more on TensorRT. Ways to clip activations do not change the time, so the most faithful is
    chosen, on all pictures: on a few pictures, the choice would often be wrong.

    Args:
        workbench: Place where networks are made and measured.
        timed: Whether times count. Otherwise all forms are taken to be equally fast.
    """
    best = workbench.candidate(Int8Recipe(Int8Plan(shortcuts=False)))
    forms: list[Trial] = []
    for variants in (_upsampling, _shortcuts, _features, _heads):
        made = {best.model: best.recipe}
        for plan in variants(best.recipe.plan):
            made.setdefault(workbench.model(Int8Recipe(plan)), Int8Recipe(plan))
        if len(made) == 1:  # not every network has the nodes in which forms differ
            continue
        field = [workbench.candidate(recipe) for recipe in tracked([*made.values()], len(made), "INT8 forms", "made")]
        raced = best_first([trial for trial, _ in workbench.race(field, FEW)], timed=timed)
        forms = [*raced, *forms[1:]]
        best = next(each for each in field if each.recipe == raced[0].recipe)
    recipes = [dataclasses.replace(best.recipe, method=method) for method in METHODS]
    judged = [workbench.judge(recipe) for recipe in tracked(recipes, len(recipes), "INT8 scales", "tried")]
    clipped = sorted(judged, key=lambda each: each[0].damage.size)
    return [*(trial for trial, _ in clipped), *forms[1:]], clipped[0][1]


def _upsampling(plan: Int8Plan) -> list[Int8Plan]:
    return [dataclasses.replace(plan, deconvolutions=False), dataclasses.replace(plan, pixel_shuffle=True)]


def _shortcuts(plan: Int8Plan) -> list[Int8Plan]:
    return [dataclasses.replace(plan, shortcuts=True)]


def _features(plan: Int8Plan) -> list[Int8Plan]:
    return [dataclasses.replace(plan, features=False)]


def _heads(plan: Int8Plan) -> list[Int8Plan]:
    return [dataclasses.replace(plan, head=False)]


def best_first(trials: Sequence[Trial], *, timed: bool = True) -> list[Trial]:
    """Return trials of forms in the order of choice.

    First come the forms that do at most `SLACK` times the damage of the most faithful one, the fastest of them first.
    Equally fast ones are ordered by the number of places in INT8, most first. The other forms follow in the same order.
    Unless times count, all are equally fast.
    """
    bound = SLACK * min(trial.damage.size for trial in trials)
    fastest = min(trial.latency_ms for trial in trials if trial.damage.size <= bound)

    def place(trial: Trial) -> tuple[float, ...]:
        slower = timed and trial.latency_ms > EVEN * fastest
        order = (trial.latency_ms,) if slower else (-trial.recipe.plan.places, trial.damage.size)
        return trial.damage.size > bound, slower, *order

    return sorted(trials, key=place)
