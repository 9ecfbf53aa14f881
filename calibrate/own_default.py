"""What OpenVINO would do with the float network if nobody named a type, and why no precision of a bundle is that."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from calibrate.damage import Budget, Damage, Maps, damage
from calibrate.measurement import infer_fitted
from calibrate.validation import Validation
from edge.bundle import Bundle
from edge.engines.openvino import OpenVinoEngine, default_type


@dataclass(frozen=True)
class OwnDefault:
    """What INT8 competes with on a processor that has a faster float than float32.

    Attributes:
        type: The processor's.
        latency_ms: The median of a picture that is fitted already.
        int8_latency_ms: Likewise, in turns with it.
        damage: Against FP32.
        broken: What of the budget that INT8 must keep does not hold for it; empty where all does.
    """

    type: str
    latency_ms: float
    int8_latency_ms: float
    damage: Damage
    broken: str

    def __str__(self) -> str:
        beyond = f", beyond INT8's budget ({self.broken})" if self.broken else ""
        return (
            f"OpenVINO left to itself computes the float network in {self.type} here: {self.latency_ms:.1f} ms, INT8 "
            f"is {self.latency_ms / self.int8_latency_ms:.2f} times as fast; {self.damage}{beyond}; its thresholds "
            "would hold on such processors alone, so no precision of the bundle is that"
        )

    def as_dict(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self) | {"damage": self.damage.as_dict()}


def measure_own_default(bundle: Bundle, validation: Validation, reference: Maps, budget: Budget) -> OwnDefault | None:
    """Measures it beside INT8; `None` on a processor whose own default is float32.

    Args:
        bundle: With FP32 and INT8, of pictures that are fitted already.
        validation: What both are judged on.
        reference: FP32's maps of it.
        budget: What INT8 may lose.

    Raises:
        EngineError: An engine cannot be built or failed.
    """
    if default_type() == "f32":
        return None
    engines = [OpenVinoEngine(bundle, "fp32", exact=False), OpenVinoEngine(bundle, "int8")]
    (maps, latency_ms), (_, int8_latency_ms) = infer_fitted(engines, validation.pictures)
    lost = damage(validation, reference, maps)
    return OwnDefault(default_type(), latency_ms, int8_latency_ms, lost, budget.broken(lost))
