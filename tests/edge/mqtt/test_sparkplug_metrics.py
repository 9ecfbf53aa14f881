from __future__ import annotations

import json
from typing import Any

import pytest
from sparkplug_parts import defect, reply, verdict
from station_parts import status

from edge_inspect.edge.mqtt.sparkplug.metrics import MODELS, definitions, milliseconds, read
from edge_inspect.edge.mqtt.sparkplug.payload import DataType


def leaves(message: dict[str, Any], path: str) -> set[str]:
    found = set()
    for key, value in message.items():
        inner = f"{path}/{key}"
        found |= leaves(value, inner) if isinstance(value, dict) else {inner}
    return found


def test_every_field_of_a_message_is_a_metric() -> None:
    for schema, message in {"verdict": verdict(1), "status": status()}.items():
        assert leaves(json.loads(message.to_json()), schema) == set(definitions(schema))


def test_a_defect_says_what_its_verdict_does_not() -> None:
    assert set(definitions("defect")) >= {"defect/id", "defect/sequence", "defect/regions"}
    assert not set(definitions("defect")) & {"defect/score", "defect/ok", "defect/bundle/name"}


def test_the_types_are_those_of_the_contract() -> None:
    kinds = {name: kind for schema in MODELS for name, kind in definitions(schema).items()}
    expected = {
        "verdict/sequence": DataType.Int64,
        "verdict/contract": DataType.Int64,
        "verdict/part_id": DataType.String,
        "verdict/ok": DataType.Boolean,
        "verdict/score": DataType.Double,
        "verdict/decided_at": DataType.DateTime,
        "verdict/bundle/digest": DataType.String,
        "verdict/frame/width": DataType.Int64,
        "verdict/precision": DataType.String,
        "defect/regions": DataType.String,
        "health/latency_ms/p95": DataType.Double,
        "health/mqtt/connected": DataType.Boolean,
        "health/temperature_c": DataType.Double,
        "status/state": DataType.String,
        "reply/done": DataType.Boolean,
        "reply/threshold/after": DataType.Double,
        "reply/resend/first": DataType.Int64,
    }
    assert {name: kinds[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("verdict/score", 0.25),
        ("verdict/part_id", None),
        ("verdict/bundle/name", "flange"),
        ("verdict/captured_at", 1_700_000_000_123),
        ("verdict/frame/height", 48),
    ],
)
def test_values_are_found(name: str, value: object) -> None:
    message = json.loads(verdict(1).to_json())
    assert read(name, definitions("verdict")[name], message) == value


def test_what_is_null_or_a_list() -> None:
    message = json.loads(defect(1).to_json())
    regions = read("defect/regions", DataType.String, message)
    assert isinstance(regions, str) and json.loads(regions) == message["regions"]
    answer = json.loads(reply().to_json())
    assert read("reply/threshold/after", DataType.Double, answer) is None


def test_times_are_milliseconds_of_utc() -> None:
    assert milliseconds("1970-01-01T00:00:01.234567Z") == 1234
