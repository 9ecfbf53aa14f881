"""Our Sparkplug payloads, read by the library of Eclipse Tahu; and its payloads, read by us."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import Any

import pytest
from node_modules import node_program
from sparkplug_parts import defect, reply, verdict
from station_parts import TOPICS, health, status

from edge_inspect.edge.contract.messages import Message
from edge_inspect.edge.mqtt.sparkplug.node import REBIRTH, EdgeNode
from edge_inspect.edge.mqtt.sparkplug.payload import DataType, Metric, Payload, Value, Written, decode, encode

AT = 1_700_000_000_123


def tahu(**asked: list[Any]) -> dict[str, list[Any]]:
    done = subprocess.run(node_program("tahu.mjs"), input=json.dumps(asked), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told: dict[str, list[Any]] = json.loads(done.stdout)
    return told


def read(*payloads: bytes) -> list[dict[str, Any]]:
    return tahu(decode=[base64.b64encode(payload).decode() for payload in payloads])["decode"]


def plain(value: Value | None) -> Any:
    """A value as tahu.mjs prints it: 64 bits as text, bytes in base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        (DataType.Int64, 0),
        (DataType.Int64, -5),
        (DataType.Int64, 2**53),
        (DataType.Int64, -(2**63)),
        (DataType.Double, -0.25),
        (DataType.Boolean, True),
        (DataType.Boolean, False),
        (DataType.String, "Prüfung 日本"),
        (DataType.String, ""),
        (DataType.String, None),
        (DataType.DateTime, AT),
        (DataType.Bytes, b"\x00\xff\xd8"),
    ],
)
def test_every_type_is_read(datatype: DataType, value: Value | None) -> None:
    metric = Metric("a/b", datatype, value, AT, historical=True, transient=True)
    found = read(encode([metric], timestamp=AT + 1, seq=255, datatypes=True))[0]
    assert (found["timestamp"], found["seq"]) == (str(AT + 1), "255")
    assert found["metrics"] == [
        {"name": "a/b", "type": datatype.name, "value": plain(value), "timestamp": str(AT)}
        | {"isHistorical": True, "isTransient": True}
    ]


def node_after(*messages: tuple[str, Message]) -> tuple[EdgeNode, list[bytes]]:
    """A node that was born and has said these messages, and the payloads of its data."""
    node = EdgeNode(TOPICS)
    node.connect()
    node.birth(0)
    payloads = [node.data(schema, message.to_json()) for schema, message in messages]
    return node, [payload for payload in payloads if payload is not None]


def test_a_birth_and_a_death_are_read() -> None:
    said = (("status", status("paused")), ("health", health()), ("verdict", verdict(7)), ("defect", defect(7)))
    node, _ = node_after(*said, ("reply", reply(command_id="019f2b1c-7e40-7000-8000-000000000001")))
    birth, death = read(node.birth(), node.death())
    metrics = {metric["name"]: metric for metric in birth["metrics"]}
    assert birth["seq"] == "0" and len(metrics) == len(birth["metrics"]) > 60
    assert all(metric.get("type") and metric["timestamp"] for metric in metrics.values())
    values = {name: metric["value"] for name, metric in metrics.items()}
    assert values["status/state"] == "paused" and values["verdict/sequence"] == "7" and values["verdict/score"] == 0.25
    assert values["health/frames/inspected"] == "3" and values["health/temperature_c"] is None
    assert json.loads(values["defect/regions"])[0]["area_px"] == 12
    assert values["reply/command_id"].endswith("1") and values[REBIRTH] is False
    assert [(metric["name"], metric["value"]) for metric in death["metrics"]] == [("bdSeq", "0")]


def test_data_are_read_with_the_types_of_the_birth() -> None:
    """Sparkplug leaves the types out of data; this decoder gives no value without, so its users put them back in."""
    node, payloads = node_after(("status", status("degraded")), ("verdict", verdict(7)))
    types = {metric["name"]: DataType[metric["type"]] for metric in read(node.birth())[0]["metrics"]}
    completed = [Payload.FromString(payload) for payload in payloads]
    for payload in completed:
        for metric in payload.metrics:
            metric.datatype = types[metric.name]
    found = read(*(payload.SerializeToString() for payload in completed))
    assert [payload["seq"] for payload in found] == ["1", "2"]
    values = {metric["name"]: metric["value"] for payload in found for metric in payload["metrics"]}
    assert values["status/state"] == "degraded" and values["verdict/ok"] is True and values["verdict/sequence"] == "7"


def test_its_commands_are_read() -> None:
    text = '{"command":"pause","id":"019f2b1c-7e40-7000-8000-000000000001"}'
    metrics = [
        {"name": REBIRTH, "type": "Boolean", "value": True},
        {"name": "Node Control/Command", "type": "String", "value": text},
        {"name": "other", "type": "Double", "value": 1.5},
    ]
    payload = tahu(encode=[{"timestamp": AT, "metrics": metrics}])["encode"][0]
    assert decode(base64.b64decode(payload)) == [
        Written(REBIRTH, True), Written("Node Control/Command", text), Written("other", 1.5)
    ]  # fmt: skip
