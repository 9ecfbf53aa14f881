"""Which INT8 form of a network is best on this box: tried, not guessed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from calibrate.measurement import Measurement, measure
from calibrate.quantize import Plan, quantize
from edge.bundle import Bundle
from edge.images import Frame
from train.progress import tracked

PLANS = (
    Plan(),
    Plan(deconvolutions=False),
    Plan(pixel_shuffle=True),
    Plan(shortcuts=False),
    Plan(shortcuts=False, deconvolutions=False),
    Plan(shortcuts=False, pixel_shuffle=True),
    Plan(shortcuts=False, residuals=False, deconvolutions=False),
)
SLACK = 1.25
"""A faster plan may move the scores this much more than the most faithful one."""


@dataclass(frozen=True)
class Trial:
    """A plan, what it made, and what that is worth.

    Attributes:
        plan: The plan.
        model: The INT8 ONNX.
        latency_ms: Median of a frame.
        score_shift: Mean absolute difference of the frames' scores from FP32's.
    """

    plan: Plan
    model: bytes
    latency_ms: float
    score_shift: float

    def as_dict(self) -> dict[str, Any]:
        """For the report."""
        return {
            "plan": str(self.plan),
            "latency_ms_median": round(self.latency_ms, 3),
            "score_shift_mean": round(self.score_shift, 6),
        }


def try_plans(
    fp32: onnx.ModelProto,
    scales: dict[str, float],
    frames: Sequence[Frame],
    reference: Measurement,
    draft: Callable[[bytes], Bundle],
) -> list[Trial]:
    """Makes and measures every plan; the chosen one comes first: the fastest of those about as faithful as the best.

    Args:
        fp32: The float32 network.
        scales: INT8 scales of its activations.
        frames: Good frames the model has not seen.
        reference: What FP32 says of them.
        draft: Makes a bundle in memory of an INT8 ONNX.
    """
    trials = []
    for plan in tracked(PLANS, len(PLANS), "INT8 forms", "tried"):
        model = quantize(fp32, scales, plan).SerializeToString()
        measured = measure(draft(model), "int8", frames)
        shift = float(np.mean(np.abs(np.subtract(measured.scores, reference.scores))))
        trials.append(Trial(plan, model, measured.latency_ms, shift))
    bound = SLACK * min(trial.score_shift for trial in trials)
    return sorted(trials, key=lambda trial: (trial.score_shift > bound, trial.latency_ms))
