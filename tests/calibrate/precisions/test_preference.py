"""The fastest precision that keeps the budget judges; a GPU has times of its own."""

from __future__ import annotations

import dataclasses

import pytest

from edge_inspect.calibrate.networks import Networks
from edge_inspect.calibrate.precisions.damage import Budget, Damage
from edge_inspect.calibrate.precisions.preference import objection, prefer
from edge_inspect.edge.contract.fields import Precision

FINE: dict[Precision, str] = {"int8": "", "bf16": "", "fp16": "", "fp32": ""}


@pytest.mark.parametrize(
    ("latency_ms", "against", "openvino", "tensorrt"),
    [
        ({"fp32": 10, "int8": 3}, {}, ["int8", "fp16", "fp32"], ["int8", "fp16", "fp32"]),
        ({"fp32": 10, "int8": 5, "bf16": 3}, {}, ["bf16", "int8", "fp16", "fp32"], ["int8", "fp16", "fp32"]),
        ({"fp32": 10, "int8": 3.1, "bf16": 3}, {}, ["int8", "bf16", "fp16", "fp32"], ["int8", "fp16", "fp32"]),
        ({"fp32": 10, "int8": 11}, {}, ["fp32"], ["int8", "fp16", "fp32"]),
        ({"fp32": 10, "int8": 11, "bf16": 4}, {}, ["bf16", "fp16", "fp32"], ["int8", "fp16", "fp32"]),
        ({"fp32": 10, "int8": 3}, {"int8": "bad"}, ["fp32"], ["fp16", "fp32"]),
        ({"fp32": 10, "int8": 3, "bf16": 4}, {"int8": "bad"}, ["bf16", "fp16", "fp32"], ["fp16", "fp32"]),
        ({"fp32": 10, "int8": 3, "bf16": 2}, {"bf16": "bad"}, ["int8", "fp16", "fp32"], ["int8", "fp16", "fp32"]),
        ({"fp32": 10, "int8": 3}, {"int8": "bad", "fp16": "bad"}, ["fp32"], ["fp32"]),
    ],
)
def test_the_fastest_within_the_budget_comes_first(
    latency_ms: dict[Precision, float],
    against: dict[Precision, str],
    openvino: list[Precision],
    tensorrt: list[Precision],
) -> None:
    preference = prefer(latency_ms, FINE | against)
    assert preference.order == {"openvino": openvino, "tensorrt": tensorrt}
    assert preference.preferred == openvino[0]


def test_a_default_that_is_no_precision_of_the_bundle_is_not_preferred() -> None:
    without: dict[Precision, str] = {"int8": "", "fp32": ""}
    assert prefer({"fp32": 10, "int8": 9, "bf16": 2}, without).order["openvino"] == ["int8", "fp32"]


def test_the_reason_has_the_times_and_what_speaks_against_the_faster() -> None:
    why = prefer({"fp32": 10, "int8": 3, "bf16": 4}, FINE | {"int8": "is beyond the budget (AUPRO)"}).why
    assert why.startswith("bfloat16 takes 4.0 ms a picture here, the fastest that keeps the budget; ")
    assert "INT8 takes 3.0 ms, but is beyond the budget (AUPRO)" in why and "FP32 takes 10.0 ms" in why


def test_int8_may_move_good_scores_alike_and_not_scatter_them() -> None:
    """What moves all alike, its own threshold makes up for."""
    scores = [0.4, 0.5, 0.45, 0.6]

    assert objection(scores, scores, "") == ""
    assert objection([score + 0.2 for score in scores], scores, "") == ""
    assert objection([0.3, 0.6, 0.55, 0.5], scores, "").startswith("scatters good scores by")
    assert objection(scores, scores, "too much") == "is beyond the budget (too much)"


def test_every_precision_but_fp32_must_keep_the_budget() -> None:
    """INT8's search has judged it already; the others are judged by what they lose."""
    harmless = Damage(0, 0, 0, 1, 0, 0, 0, 0, 40)
    networks = Networks({}, {}, {}, broken="too much")
    networks.damages = {"int8": harmless, "bf16": harmless, "fp16": dataclasses.replace(harmless, aupro=2.5)}
    assert networks.beyond("int8", Budget()) == "too much"
    assert networks.beyond("bf16", Budget()) == networks.beyond("fp32", Budget()) == ""
    assert networks.beyond("fp16", Budget()) == "2.50 points of AUPRO lost, 1 allowed"
