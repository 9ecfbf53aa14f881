"""FP32, INT8 and OpenVINO's own default type in turns: how fast each is here, and what that default loses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edge_inspect.calibrate.damage import Budget, Damage, Maps, damage
from edge_inspect.calibrate.engines import engine_of
from edge_inspect.calibrate.measurement import infer_fitted
from edge_inspect.calibrate.validation import Validation
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.openvino import default_type


@dataclass(frozen=True)
class OwnDefault:
    """What OpenVINO makes of the float network where nobody names a type, on a processor with a faster float.

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
            f"is {self.latency_ms / self.int8_latency_ms:.2f} times as fast; {self.damage}{beyond}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it as the report has it."""
        return asdict(self) | {"damage": self.damage.as_dict()}


@dataclass(frozen=True)
class Contest:
    """What was measured in turns.

    Attributes:
        latency_ms: The median of a picture that is fitted already, of FP32 and INT8, and of BF16 where OpenVINO's
            own default is that.
        own_default: What OpenVINO would do by itself; `None` on a processor whose default is float32.
        own_maps: Its maps of the validation pictures.
    """

    latency_ms: Mapping[Precision, float]
    own_default: OwnDefault | None = None
    own_maps: Maps | None = None


def hold_contest(bundle: Bundle, validation: Validation, reference: Maps, budget: Budget) -> Contest:
    """Time the precisions in turns: a machine that slows down meanwhile slows all of them.

    Args:
        bundle: With FP32 and INT8, of pictures that are fitted already.
        validation: What the default is judged on.
        reference: FP32's maps of it.
        budget: What INT8 may lose.

    Raises:
        EngineError: An engine cannot be built or failed.
    """
    engines = [engine_of(bundle, "fp32"), engine_of(bundle, "int8")]
    if default_type() == "f32":
        (_, fp32_ms), (_, int8_ms) = infer_fitted(engines, validation.pictures)
        return Contest({"fp32": fp32_ms, "int8": int8_ms})
    engines.append(engine_of(bundle, "fp32", exact=False))
    (_, fp32_ms), (_, int8_ms), (maps, own_ms) = infer_fitted(engines, validation.pictures)
    lost = damage(validation, reference, maps)
    own = OwnDefault(default_type(), own_ms, int8_ms, lost, budget.broken(lost))
    latency_ms: dict[Precision, float] = {"fp32": fp32_ms, "int8": int8_ms}
    return Contest(latency_ms | ({"bf16": own_ms} if own.type == "bf16" else {}), own, maps)
