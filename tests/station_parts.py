"""What tests of the connection to the broker share: a station's topics, status, settings and messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mosquitto import Subscriber

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.health import FrameCounts, Health, MqttHealth, OutboxHealth
from edge_inspect.edge.contract.messages import BundleReference, Status
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.outbox import Outbox, Outgoing

TOPICS = Topics("plant", "line1", "a")
BUNDLE = BundleReference(name="flange", digest="d")
Subscribe = Callable[..., Subscriber]


def status(state: Any = "online") -> Status:
    return Status(boot_id="b", sequence=0, state=state, at=utc_now(), version="0")


def health() -> Health:
    return Health(
        boot_id="b",
        sequence=0,
        at=utc_now(),
        uptime_s=1,
        frames=FrameCounts(inspected=3, accepted=2, rejected=1, dropped=0),
        fps=2.5,
        outbox=OutboxHealth(entries=0, bytes=0, dropped_verdicts=0, dropped_defects=0),
        mqtt=MqttHealth(connected=True, reconnects=0),
        engine="openvino",
        precision="fp32",
        bundle=BUNDLE,
        threshold=0.5,
    )


def mqtt(port: int, **more: Any) -> MqttSettings:
    return MqttSettings(**{"host": "127.0.0.1", "port": port, "backoff_cap_s": 0.2, "window": 16, **more})


def put(outbox: Outbox, count: int, topics: Topics = TOPICS, pad: int = 0) -> None:
    for _ in range(count):
        outbox.put(
            topics.station,
            lambda sequence: [
                Outgoing(topics.verdict, f'{{"sequence":{sequence},"pad":"{"x" * pad}"}}'.encode(), "verdict")
            ],
        )
