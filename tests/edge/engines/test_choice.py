"""The rule by which a box chooses a precision."""

from __future__ import annotations

import pytest

from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.choice import choose
from edge_inspect.edge.errors import EngineError

INT8_FIRST: list[Precision] = ["int8", "bf16", "fp32"]
BF16_FIRST: list[Precision] = ["bf16", "int8", "fp32"]


@pytest.mark.parametrize(
    ("order", "latency_ms", "chosen"),
    [
        (INT8_FIRST, {"int8": 4, "bf16": 6, "fp32": 12}, "int8"),
        (INT8_FIRST, {"int8": 3.9, "bf16": 2.5, "fp32": 12}, "bf16"),
        (INT8_FIRST, {"int8": 40, "fp32": 30}, "fp32"),
        (BF16_FIRST, {"bf16": 4, "int8": 2, "fp32": 12}, "int8"),
        (BF16_FIRST, {"int8": 2, "fp32": 12}, "int8"),
        # Less than 5 %, or less than 0.2 ms: the bundle's order stands.
        (INT8_FIRST, {"int8": 100, "bf16": 96, "fp32": 120}, "int8"),
        (INT8_FIRST, {"int8": 100, "bf16": 94, "fp32": 120}, "bf16"),
        (INT8_FIRST, {"int8": 0.4, "bf16": 0.3, "fp32": 0.25}, "int8"),
        (INT8_FIRST, {"int8": 0.5, "bf16": 0.29, "fp32": 0.2}, "bf16"),
        # Each is compared with the one chosen so far.
        (INT8_FIRST, {"int8": 10, "bf16": 9.7, "fp32": 9.3}, "fp32"),
        (["fp32"], {"fp32": 12}, "fp32"),
        # A precision that is not in the order is not taken, however fast it is.
        (["bf16", "fp32"], {"int8": 1, "bf16": 6, "fp32": 12}, "bf16"),
    ],
)
def test_the_fastest_that_runs_is_chosen(
    order: list[Precision], latency_ms: dict[Precision, float], chosen: Precision
) -> None:
    assert choose(order, latency_ms, {}).precision == chosen


def test_where_none_runs_the_reasons_are_said() -> None:
    with pytest.raises(EngineError, match="no precision can run on this box: the maps differ; out of memory"):
        choose(["int8", "fp32"], {}, {"int8": "the maps differ", "fp32": "out of memory"})


@pytest.mark.parametrize(
    ("latency_ms", "against", "said"),
    [
        (
            {"int8": 12.04, "fp32": 4},
            {"bf16": "this one has none"},
            "fp32 takes 4.0 ms a frame on this box; int8 takes 12.0 ms; bf16 cannot run: this one has none",
        ),
        (
            {"int8": 4, "bf16": 3.9, "fp32": 12},
            {},
            "int8 takes 4.0 ms a frame on this box; bf16 takes 3.9 ms; fp32 takes 12.0 ms; "
            "int8 comes first in the bundle's order, and others are hardly faster",
        ),
    ],
)
def test_the_reason_has_the_times(latency_ms: dict[Precision, float], against: dict[Precision, str], said: str) -> None:
    assert str(choose(INT8_FIRST, latency_ms, against)) == said
