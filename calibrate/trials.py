"""Which INT8 is best on this box: tried, not guessed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import onnx

from calibrate.activations import Histogram
from calibrate.clipping import METHODS, scale
from calibrate.damage import Damage, Maps, damage
from calibrate.measurement import infer_fitted
from calibrate.quantize import Plan, layers, quantizable, quantize
from calibrate.validation import Validation
from edge.bundle import Bundle
from edge.messages import Precision
from train.progress import tracked

Draft = Callable[[Mapping[Precision, bytes]], Bundle]
"""Makes a bundle in memory from the ONNX of precisions."""

SLACK = 1.25
"""A faster plan may do this much more damage than the most faithful one."""

EVEN = 1.05
"""Forms whose times differ by less are equally fast: so do two timings of one."""

FEW = 12
"""Pictures that plans and methods are tried on."""


@dataclass(frozen=True)
class Recipe:
    """How an INT8 network is made.

    Attributes:
        plan: Which places become INT8.
        method: How activations are clipped, of `calibrate.clipping.METHODS`.
        released: Layers that stay float all the same.
    """

    plan: Plan
    method: str = next(iter(METHODS))
    released: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.plan}; clipped by {self.method}" + (f"; {len(self.released)} left float" * bool(self.released))


@dataclass(frozen=True)
class Trial:
    """A recipe and what it is worth.

    Attributes:
        recipe: The recipe.
        latency_ms: Median of a picture.
        damage: Against FP32.
    """

    recipe: Recipe
    latency_ms: float
    damage: Damage

    def as_dict(self) -> dict[str, Any]:
        """For the report."""
        return {"recipe": str(self.recipe), "latency_ms_median": round(self.latency_ms, 3), **self.damage.as_dict()}


class Workbench:
    """Makes INT8 networks of a float32 one and measures them, through the engine of the box.

    Args:
        fp32: The float32 network.
        histograms: Of its activations on calibration images, all that are `quantizable`.
        validation: What they are judged on.
        draft: Makes bundles of pictures that are fitted already.

    Attributes:
        validation: What they are judged on.
        reference: FP32's maps of it.
    """

    def __init__(
        self,
        fp32: onnx.ModelProto,
        histograms: Mapping[str, Histogram],
        validation: Validation,
        draft: Draft,
    ) -> None:
        self.validation = validation
        self._fp32, self._draft = fp32, draft
        self._histograms = {name: histograms[name] for name in quantizable(fp32)}
        self._scales: dict[str, dict[str, float]] = {}
        self.reference = infer_fitted(draft({"fp32": fp32.SerializeToString()}), "fp32", validation.pictures)[0]

    def model(self, recipe: Recipe) -> bytes:
        """The INT8 ONNX."""
        if recipe.method not in self._scales:
            self._scales[recipe.method] = {name: scale(h, recipe.method) for name, h in self._histograms.items()}
        made = quantize(self._fp32, self._scales[recipe.method], recipe.plan, recipe.released)
        return bytes(made.SerializeToString())

    def layers(self, plan: Plan) -> dict[str, str]:
        """What a plan makes INT8: node names, each with a name for a person."""
        return layers(self._fp32, plan)

    def judge(self, recipe: Recipe, count: int | None = None) -> tuple[Trial, Maps]:
        """Makes and measures an INT8 network, on the first `count` pictures or all; gives its maps too."""
        pictures = self.validation.pictures[:count]
        maps, latency_ms = infer_fitted(self._draft({"int8": self.model(recipe)}), "int8", pictures)
        return Trial(recipe, latency_ms, damage(self.validation, self.reference, maps)), maps

    def trial(self, recipe: Recipe, count: int | None = None) -> Trial:
        """`judge` without the maps."""
        return self.judge(recipe, count)[0]


def try_recipes(workbench: Workbench) -> list[Trial]:
    """Tries forms of the network, then on the best of them the ways to clip; the chosen one comes first.

    Of the forms about as faithful as the best the fastest, and of equally fast ones that with most in INT8, which is
    worth more on TensorRT. How activations are clipped changes no latency, so there the most faithful is kept.
    """
    forms: list[Trial] = []
    for plans in (_upsampling, _shortcuts, _residuals):
        new = [Recipe(plan) for plan in plans(forms[0].recipe.plan if forms else Plan(shortcuts=False))]
        forms = _best_first([*forms, *(workbench.trial(r, FEW) for r in tracked(new, len(new), "INT8 forms", "tried"))])
    recipes = [dataclasses.replace(forms[0].recipe, method=method) for method in METHODS]
    clipped = [workbench.trial(r, FEW) for r in tracked(recipes[1:], len(recipes) - 1, "INT8 scales", "tried")]
    return [*sorted([forms[0], *clipped], key=lambda trial: trial.damage.size), *forms[1:]]


def _upsampling(plan: Plan) -> list[Plan]:
    return [plan, dataclasses.replace(plan, deconvolutions=False), dataclasses.replace(plan, pixel_shuffle=True)]


def _shortcuts(plan: Plan) -> list[Plan]:
    return [dataclasses.replace(plan, shortcuts=True)]


def _residuals(plan: Plan) -> list[Plan]:
    return [dataclasses.replace(plan, residuals=False)]


def _best_first(trials: list[Trial]) -> list[Trial]:
    bound = SLACK * min(trial.damage.size for trial in trials)
    fastest = min(trial.latency_ms for trial in trials if trial.damage.size <= bound)

    def place(trial: Trial) -> tuple[float, ...]:
        slower = trial.latency_ms > EVEN * fastest
        order = (trial.latency_ms,) if slower else (-trial.recipe.plan.places, trial.damage.size)
        return trial.damage.size > bound, slower, *order

    return sorted(trials, key=place)
