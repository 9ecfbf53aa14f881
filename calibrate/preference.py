"""Which precision a station runs: of those that keep the budget the fastest, and what it tries where that fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_inspect.calibrate.damage import Budget
from edge_inspect.calibrate.measurement import Measurement
from edge_inspect.calibrate.networks import Networks
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.registry import ENGINES, EVERYWHERE

EVEN = 1.05
"""INT8 may be slower than BF16 by this factor and still be taken: it runs on every processor."""

MOST_NOISE = 0.5
"""Of the spread of FP32's good scores: a precision that scatters them by more does not judge."""

NAMES: dict[Precision, str] = {"int8": "INT8", "bf16": "bfloat16", "fp16": "FP16", "fp32": "FP32"}


@dataclass(frozen=True)
class Preference:
    """The order in which engines try a bundle's precisions.

    Attributes:
        order: By the engine's name. The reference engine's is by the times measured on this processor. Of the others
            nothing was measured: INT8 first where it keeps the budget, as a GPU has times of its own.
        why: The reason, in a sentence's words.
    """

    order: dict[str, list[Precision]]
    why: str

    @property
    def preferred(self) -> Precision:
        """What a station runs with the engine that runs on every box."""
        return self.order[EVERYWHERE][0]


def prefer(latency_ms: Mapping[Precision, float], against: Mapping[Precision, str]) -> Preference:
    """Choose among the precisions of a bundle.

    Args:
        latency_ms: Milliseconds of a picture on this processor, of FP32 and of those that compete with it. FP16 does
            not: a processor computes it in float32, as fast as FP32.
        against: Of every precision in the bundle, why it must not judge; an empty text where nothing speaks against it.
    """
    fitting = [name for name in latency_ms if name in against and not against[name]]
    quick = [name for name in fitting if name != "fp32" and latency_ms[name] < latency_ms["fp32"]]
    quick.sort(key=lambda name: latency_ms[name] / (EVEN if name == "int8" else 1))
    half: list[Precision] = ["fp16"] if "fp16" in against and not against["fp16"] else []
    measured: list[Precision] = [*quick, *(half if quick else []), "fp32"]
    whole: list[Precision] = ["int8"] if "int8" in fitting else []
    order = {name: measured if name == EVERYWHERE else [*whole, *half, "fp32"] for name in ENGINES}
    return Preference(order, _why(measured[0], latency_ms, against))


def objection(name: Precision, measured: Mapping[Precision, Measurement], networks: Networks, budget: Budget) -> str:
    """Return why a station should not judge in a precision; an empty text where nothing speaks against it.

    Args:
        name: The precision.
        measured: What each precision says of held-out good images.
        networks: What each loses on flaws.
        budget: What it may lose.
    """
    if name == "fp32":
        return ""
    broken = networks.broken if name == "int8" else budget.broken(networks.damages[name])
    if broken:
        return f"is beyond the budget ({broken})"
    exact = measured["fp32"].scores
    noise, spread = float(np.std(np.subtract(measured[name].scores, exact))), float(np.std(exact))
    if len(exact) > 1 and noise > MOST_NOISE * spread:
        return f"scatters good scores by {noise:.4f}, and they differ by {spread:.4f}"
    return ""


def _why(chosen: Precision, latency_ms: Mapping[Precision, float], against: Mapping[Precision, str]) -> str:
    others = []
    for name in sorted(latency_ms.keys() - {chosen}, key=lambda name: latency_ms[name]):
        reason = f", but {against[name]}" if against.get(name) else ""
        others.append(f"{NAMES[name]} takes {latency_ms[name]:.1f} ms{reason}")
    first = f"{NAMES[chosen]} takes {latency_ms[chosen]:.1f} ms a picture here, the fastest that keeps the budget"
    return "; ".join([first, *others])
