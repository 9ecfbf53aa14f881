"""What tests of Sparkplug share: messages of the contract, and a host that keeps and decodes what it hears."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, NamedTuple

from mosquitto import Subscriber
from station_parts import BUNDLE, TOPICS

from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.messages import Defect, FrameSize, Region, Verdict
from edge_inspect.edge.contract.replies import Reply
from edge_inspect.edge.mqtt.sparkplug.payload import Payload
from edge_inspect.edge.outbox import Outbox, Outgoing

NODE = "line1:a"


def verdict(sequence: int, **more: Any) -> Verdict:
    fields = {
        "boot_id": "b",
        "sequence": sequence,
        "captured_at": datetime.fromtimestamp(1_700_000_000.123, timezone.utc),
        "decided_at": utc_now(),
        "ok": True,
        "score": 0.25,
        "threshold": 0.5,
        "bundle": BUNDLE,
        "precision": "fp32",
        "engine": "openvino",
        "latency_ms": 12.5,
        "frame": FrameSize(width=64, height=48),
    }
    return Verdict(**{**fields, **more})


def defect(sequence: int, **more: Any) -> Defect:
    region = Region(bbox=(1, 2, 3, 4), area_px=12, peak=0.9, centroid=(2.0, 3.5))
    return Defect.of(verdict(sequence, ok=False, score=0.75, **more), (region,))


def reply(**more: Any) -> Reply:
    fields = {"boot_id": "b", "sequence": 0, "command_id": uuid7(), "command": "pause", "at": utc_now(), "done": True}
    return Reply(**{**fields, **more})


def put_parts(outbox: Outbox, count: int, *, rejected: int = 0) -> None:
    """Put parts into the outbox; of every `rejected` the last is a reject."""

    def messages(sequence: int) -> list[Outgoing]:
        if not rejected or sequence % rejected:
            return [Outgoing(TOPICS.verdict, verdict(sequence).to_json(), "verdict")]
        both = defect(sequence)
        fields = {name: value for name, value in dict(both).items() if name in Verdict.model_fields}
        return [
            Outgoing(TOPICS.verdict, Verdict(**fields).to_json(), "verdict"),
            Outgoing(TOPICS.defect, both.to_json(), "defect"),
        ]

    for _ in range(count):
        outbox.put(TOPICS.station, messages)


class Heard(NamedTuple):
    """A decoded message; `metrics` are the protobuf metrics by name."""

    verb: str
    topic: str
    payload: Any
    metrics: dict[str, Any]
    qos: int


def value(metric: Any) -> Any:
    return None if metric.is_null else getattr(metric, metric.WhichOneof("value"))


class Host(Subscriber):
    """A Sparkplug host application, as far as tests need one."""

    def __init__(self, port: int) -> None:
        super().__init__(port, "spBv1.0/#")

    def heard(self, *verbs: str) -> list[Heard]:
        found = []
        for message in list(self.messages):
            verb = message.topic.split("/")[2]
            if verb not in (verbs or ("NBIRTH", "NDATA", "NDEATH")):
                continue
            payload = Payload.FromString(message.payload)
            metrics = {metric.name: metric for metric in payload.metrics}
            found.append(Heard(verb, message.topic, payload, metrics, message.qos))
        return found

    def parts(self) -> list[int]:
        """The numbers of the parts, in the order in which their verdicts came: in births too, but not twice."""
        found = [one.metrics["verdict/sequence"] for one in self.heard() if "verdict/sequence" in one.metrics]
        return list(dict.fromkeys(metric.long_value for metric in found if not metric.is_null))

    def last(self, name: str) -> Any:
        """A metric's current value, as a host has it: of the last birth or live data that says it."""
        found = [one.metrics[name] for one in self.heard() if name in one.metrics]
        live = [metric for metric in found if not metric.is_historical]
        return value(live[-1]) if live else None

    def write(self, name: str, value: bool | str, node: str = NODE) -> None:
        payload = Payload(timestamp=1, seq=0)
        metric = payload.metrics.add(name=name, timestamp=1)
        if isinstance(value, bool):
            metric.boolean_value = value
        else:
            metric.string_value = value
        self.publish(f"spBv1.0/plant/NCMD/{node}", payload.SerializeToString())
