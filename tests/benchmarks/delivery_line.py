"""A station without camera and engine, for delivery.py: puts verdicts into a real outbox at a rate and publishes them.

    python tests/benchmarks/delivery_line.py CONFIG.json

Every twentieth part is a defect. It prints one line when it is connected or starts putting, and at its end one JSON
object: parts put, seconds that took, memory before and at its highest. SIGTERM ends it in order.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.messages import BundleReference, Defect, FrameSize, Region, Status, Verdict
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.memory import peak_mb
from edge_inspect.edge.mqtt.publisher import Publisher
from edge_inspect.edge.outbox import Outgoing
from edge_inspect.edge.outbox.sqlite import SqliteOutbox

TOPICS = Topics("bench", "line", "station")
BUNDLE = BundleReference(name="bench", digest="0" * 64)
REGION = Region(bbox=(212, 96, 40, 31), area_px=806, peak=0.8125, centroid=(231.5, 110.25))


def messages(sequence: int, now: datetime) -> list[Outgoing]:
    """The messages of a part, as a station makes them."""
    verdict = Verdict(
        boot_id="b",
        id=uuid7(),
        sequence=sequence,
        part_id=f"{sequence:06d}",
        captured_at=now,
        decided_at=now,
        ok=sequence % 20 != 0,
        score=0.8125 if sequence % 20 == 0 else 0.31,
        threshold=0.51,
        bundle=BUNDLE,
        precision="int8",
        engine="none",
        latency_ms=0.0,
        frame=FrameSize(width=640, height=480),
    )
    found = [Outgoing(TOPICS.verdict, verdict.to_json(), "verdict")]
    if not verdict.ok:
        found.append(Outgoing(TOPICS.defect, Defect.of(verdict, (REGION,)).to_json(), "defect"))
    return found


def run(options: dict[str, Any]) -> dict[str, float]:
    """Puts at a rate until the count or SIGTERM; then waits until all is delivered, if that is asked for."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    status = Status(boot_id="b", sequence=0, state="online", at=utc_now(), version="0")
    settings = MqttSettings(**options["mqtt"])
    with SqliteOutbox(Path(options["outbox"]), durability=options["durability"]) as outbox:
        for _ in range(options.get("backlog", 0)):
            outbox.put(TOPICS.station, lambda sequence: messages(sequence, utc_now()))
        before = peak_mb()
        with Publisher(TOPICS, outbox, settings, status) as publisher:
            print("started", flush=True)
            while options.get("wait") and not publisher.connected and not stop.wait(0.01):
                pass
            started, put, drained = time.monotonic(), 0, 0.0
            while put < options["count"] and not stop.is_set():
                outbox.put(TOPICS.station, lambda sequence: messages(sequence, utc_now()))
                put += 1
                if not drained and outbox.depth().entries < 50:
                    drained = time.monotonic() - started
                stop.wait(max(0.0, started + put / options["rate"] - time.monotonic()))
            took, waiting = time.monotonic() - started, outbox.depth().entries
            while options.get("drain") and outbox.depth().entries and not stop.wait(0.005):
                pass
        return {
            "put": put,
            "put_s": took,
            "drained_s": drained,
            "waiting_at_end": waiting,
            "mb_before": before,
            "mb_peak": peak_mb(),
            "last": outbox.sequence(TOPICS.station),
        }


if __name__ == "__main__":
    print(json.dumps(run(json.loads(Path(sys.argv[1]).read_text()))))
