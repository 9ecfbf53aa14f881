"""The precision that a station runs, which is the fastest that keeps the budget, and those it tries if that fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.registry import ENGINES, EVERYWHERE

EVEN = 1.05
"""INT8 is taken even if BF16 is faster by this factor, because INT8 runs on every processor."""

MOST_NOISE = 0.5
"""Share of the spread of FP32's good scores. A precision that scatters scores by more must not judge."""

NAMES: dict[Precision, str] = {"int8": "INT8", "bf16": "bfloat16", "fp16": "FP16", "fp32": "FP32"}


@dataclass(frozen=True)
class Preference:
    """The order in which engines try a bundle's precisions.

    Attributes:
        order: Precisions in the order in which an engine tries them, by the engine's name. For the engine that runs on
            every box, they are ordered by their times on this processor. For the others INT8 comes first if it keeps
            the budget, because a GPU has other times.
        why: Reason for the choice, in words.
    """

    order: dict[str, list[Precision]]
    why: str

    @property
    def preferred(self) -> Precision:
        """Precision that a station runs with the engine that runs on every box."""
        return self.order[EVERYWHERE][0]


def prefer(latency_ms: Mapping[Precision, float], against: Mapping[Precision, str]) -> Preference:
    """Choose among the precisions of a bundle.

    Args:
        latency_ms: Milliseconds that a picture takes on this processor in FP32 and in the precisions that compete with
            it. FP16 does not compete: a processor computes it in float32, as fast as FP32.
        against: For every precision in the bundle, why it must not judge; an empty text if it may.
    """
    fitting = [name for name in latency_ms if name in against and not against[name]]
    quick = [name for name in fitting if name != "fp32" and latency_ms[name] < latency_ms["fp32"]]
    quick.sort(key=lambda name: latency_ms[name] / (EVEN if name == "int8" else 1))
    half: list[Precision] = ["fp16"] if "fp16" in against and not against["fp16"] else []
    measured: list[Precision] = [*quick, *(half if quick else []), "fp32"]
    whole: list[Precision] = ["int8"] if "int8" in fitting else []
    order = {name: measured if name == EVERYWHERE else [*whole, *half, "fp32"] for name in ENGINES}
    return Preference(order, _why(measured[0], latency_ms, against))


def objection(scores: Sequence[float], exact: Sequence[float], broken: str) -> str:
    """Return why a station should not judge in a precision; an empty text if it may.

    Args:
        scores: Scores of held-out good images in the precision.
        exact: Scores of the same images in FP32.
        broken: How the precision breaks the budget, in words; empty if it keeps it.
    """
    if broken:
        return f"is beyond the budget ({broken})"
    noise, spread = float(np.std(np.subtract(scores, exact))), float(np.std(exact))
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
