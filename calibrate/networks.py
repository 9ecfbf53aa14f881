"""The ONNX of every precision, made from the float32 network, and how good each is on validation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx

from edge_inspect.calibrate.engines import engine_of
from edge_inspect.calibrate.float16 import beyond_float16, rounded, to_float16
from edge_inspect.calibrate.int8.activations import Activation
from edge_inspect.calibrate.int8.sensitivity import Layer, SearchTime, rank_layers, release
from edge_inspect.calibrate.int8.trials import Draft, Trial, Workbench, try_recipes
from edge_inspect.calibrate.precisions.damage import Budget, Damage, Maps, damage, worth
from edge_inspect.calibrate.precisions.measurement import infer_fitted
from edge_inspect.calibrate.precisions.validation import GOOD, Validation
from edge_inspect.edge.contract.fields import Precision

Say = Callable[[str], None]


@dataclass(frozen=True)
class Search:
    """How much INT8 may lose, and how long to work on that.

    Attributes:
        budget: Loss that INT8 may have on validation.
        seconds: Longest time to search for layers to leave in float, in seconds, if INT8 is beyond the budget.
        sensitivity: Whether to rank all layers even if the budget holds, and however long it takes.
        repeatable: Whether no clock may decide: forms of INT8 count as equally fast, and a search, unless `seconds` is
            0, takes as long as it needs.
    """

    budget: Budget = Budget()
    seconds: float = 60.0
    sensitivity: bool = False
    repeatable: bool = False

    def time(self) -> SearchTime:
        """Return the time that a search may take from now on."""
        return SearchTime(math.inf if self.repeatable and self.seconds else self.seconds)

    def aim(self, validation: Validation) -> Budget:
        """Return the loss to aim at: the budget, with half of its `verdicts` where validation has pictures enough.

        The estimate of the verdicts that change is off by a quarter, and chance decides how many parts lie near a
        threshold. If 0.5 % of verdicts are expected to change, then in nine of ten cases 99 % of some hundred parts
        keep theirs. Fewer pictures do not tell 0.5 from 1 %, and a search for it would double the time to a first
        bundle.
        """
        if np.count_nonzero(~validation.flawed) < GOOD:
            return self.budget
        return dataclasses.replace(self.budget, verdicts=self.budget.verdicts / 2)


@dataclass
class Networks:
    """The networks of a bundle in the making.

    Attributes:
        files: ONNX of each precision.
        arithmetic: ONNX that gives each precision's numbers on this machine; for FP16 it is
            `calibrate.float16.rounded`.
        maps: Maps of the validation pictures in each precision, (N, H, W).
        damages: Loss of each precision except FP32.
        trials: Forms of INT8 that were tried. The chosen one comes first and was judged on all pictures.
        ranking: Layers of INT8 by sensitivity, if they were ranked.
        broken: How INT8 breaks the budget, in words; empty if it keeps it.
    """

    files: dict[Precision, bytes]
    arithmetic: dict[Precision, bytes]
    maps: dict[Precision, Maps]
    damages: dict[Precision, Damage] = field(default_factory=dict)
    trials: list[Trial] = field(default_factory=list)
    ranking: list[Layer] = field(default_factory=list)
    broken: str = ""

    def add(self, precision: Precision, file: bytes, arithmetic: bytes, maps: Maps, lost: Damage) -> None:
        """Add the network of a precision."""
        self.files[precision], self.arithmetic[precision] = file, arithmetic
        self.maps[precision], self.damages[precision] = maps, lost

    def beyond(self, precision: Precision, budget: Budget) -> str:
        """Return how a precision breaks the budget, in words; an empty text if it keeps it, as FP32 always does."""
        if precision == "fp32":
            return ""
        return self.broken if precision == "int8" else budget.broken(self.damages[precision])


def make_networks(
    fp32: onnx.ModelProto,
    activations: Mapping[str, Activation],
    workbench: Workbench,
    draft: Draft,
    search: Search,
    say: Say,
) -> Networks:
    """Return INT8 and FP16 networks made from a float32 network.

    Args:
        fp32: The float32 network.
        activations: Values that flow through it on calibration images.
        workbench: Place where forms of INT8 are tried.
        draft: Makes a bundle in memory, of pictures that are fitted already.
        search: How much INT8 may lose, and how long to work on that.
        say: Called with each decision.
    """
    file = fp32.SerializeToString()
    networks = Networks({"fp32": file}, {"fp32": file}, {"fp32": workbench.reference})
    _add_int8(networks, workbench, search, say)
    _add_fp16(networks, fp32, activations, workbench, draft, say)
    return networks


def _add_int8(networks: Networks, workbench: Workbench, search: Search, say: Say) -> None:
    networks.trials, maps = try_recipes(workbench, timed=not search.repeatable)
    chosen = networks.trials[0]
    say(f"INT8: {chosen.recipe}; {chosen.damage}")
    aim = search.aim(workbench.validation)
    networks.broken, missed = search.budget.broken(chosen.damage), aim.broken(chosen.damage)
    if missed:
        say(f"INT8 is beyond {'the budget' if networks.broken else 'what is aimed at'}: {missed}")
    if search.sensitivity or (missed and _worth_a_search(workbench, search, say)):
        allowed = search.time()
        _rank(networks, workbench, None if search.sensitivity else allowed, say)
        if search.sensitivity:
            allowed = search.time()  # a ranking that was asked for does not use up this time
        if missed and (found := _release(networks, workbench, aim, allowed, search, say)):
            chosen, maps = found
    model = workbench.model(chosen.recipe)
    networks.add("int8", model, model, maps, chosen.damage)


def _worth_a_search(workbench: Workbench, search: Search, say: Say) -> bool:
    """Return whether it can be judged at all if layers left in float help."""
    if search.seconds <= 0:
        say("no layers are left in float: --search-seconds 0")
        return False
    seen = worth(workbench.validation, workbench.reference)
    if seen.at_chance:
        figure = f"image AUROC {seen.image_auroc:.2f} ± {seen.image_auroc_error:.2f} on {len(seen.scores)} pictures"
        say(
            "no layers are left in float: FP32 itself tells synthetic flaws from good parts no better than chance "
            f"({figure}); train for more steps (--steps), or on more images"
        )
    return not seen.at_chance


def _rank(networks: Networks, workbench: Workbench, allowed: SearchTime | None, say: Say) -> None:
    recipe = networks.trials[0].recipe
    networks.ranking = rank_layers(workbench, recipe, allowed)
    worst = ", ".join(layer.title for layer in networks.ranking[:3])
    say(f"layers that INT8 harms most: {worst or 'none was tried in time'}")
    tried, every = len(networks.ranking), len(workbench.layers(recipe.plan))
    if allowed is not None and tried < every:
        say(f"{tried} of {every} layers were tried in {allowed.seconds:g} s; --search-seconds allows more")


def _release(
    networks: Networks, workbench: Workbench, budget: Budget, allowed: SearchTime, search: Search, say: Say
) -> tuple[Trial, Maps] | None:
    """Try to bring INT8 within a budget by leaving layers in float; return its trial and maps if that works."""
    timed = not search.repeatable
    released = release(workbench, networks.trials[0].recipe, networks.ranking, budget, allowed, timed=timed)
    if released is None:
        say("INT8 stays as it is: leaving layers in float did not help, however many were tried")
        return None
    networks.broken = ""
    chosen, maps = workbench.judge(released.recipe)
    networks.trials.insert(0, chosen)
    say(f"INT8: {chosen.recipe}; {chosen.damage}")
    return chosen, maps


def _add_fp16(
    networks: Networks,
    fp32: onnx.ModelProto,
    activations: Mapping[str, Activation],
    workbench: Workbench,
    draft: Draft,
    say: Say,
) -> None:
    if beyond := beyond_float16(activations):
        name, largest = max(beyond.items(), key=lambda item: item[1])
        say(
            f"no FP16: {name} reaches {largest:.0f} on the calibration images, too close to float16's largest value, "
            "65504"
        )
        return
    try:
        typed = to_float16(fp32)
    except ValueError as error:
        say(f"no FP16: {error}")
        return
    arithmetic = rounded(typed).SerializeToString()
    engine = engine_of(draft({"fp16": arithmetic}), "fp16")
    ((maps, _),) = infer_fitted([engine], workbench.validation.pictures, least_s=0)
    lost = damage(workbench.validation, workbench.reference, maps)
    networks.add("fp16", typed.SerializeToString(), arithmetic, maps, lost)
    say(f"FP16: {lost}; a processor computes it in float32, as fast as FP32")
