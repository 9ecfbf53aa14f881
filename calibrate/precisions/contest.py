"""FP32, INT8 and OpenVINO's default type, timed in turns: how fast each is here, and what the default type loses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edge_inspect.calibrate.engines import engine_of
from edge_inspect.calibrate.precisions.damage import Budget, Damage, Maps, damage
from edge_inspect.calibrate.precisions.measurement import infer_fitted
from edge_inspect.calibrate.precisions.validation import Validation
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.openvino import default_type


@dataclass(frozen=True)
class OwnDefault:
    """The type in which OpenVINO runs the float network by default, on a processor with a faster float than float32.

    Attributes:
        type: Name of the type.
        latency_ms: Median milliseconds of a picture that is fitted already.
        int8_latency_ms: Median milliseconds of INT8, timed in turns with it.
        damage: Loss against FP32.
        broken: How it breaks the budget that INT8 must keep, in words; empty if it keeps it.
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
        """Return the entry for the report."""
        return asdict(self) | {"damage": self.damage.as_dict()}


@dataclass(frozen=True)
class Contest:
    """The times that were measured in turns.

    Attributes:
        latency_ms: Median milliseconds of a picture that is fitted already, for FP32 and INT8, and for BF16 if that is
            OpenVINO's default.
        own_default: OpenVINO's default type with its measurements; `None` on a processor whose default is float32.
        own_maps: Maps of the validation pictures in that default type.
    """

    latency_ms: Mapping[Precision, float]
    own_default: OwnDefault | None = None
    own_maps: Maps | None = None


def hold_contest(bundle: Bundle, validation: Validation, reference: Maps, budget: Budget) -> Contest:
    """Time the precisions in turns, so that a machine that slows down meanwhile slows all of them.

    Args:
        bundle: A bundle with FP32 and INT8, for pictures that are fitted already.
        validation: Pictures on which the default type is judged.
        reference: FP32's maps of these pictures.
        budget: How much INT8 may lose.

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
