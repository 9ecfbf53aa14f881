"""The demo's stream of parts through the service: broker, subscriber, `edge-inspect run`, and what came of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from edge_inspect.edge import __version__
from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.messages import Status
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.demo.broker import running_broker
from edge_inspect.edge.demo.line import StreamPart
from edge_inspect.edge.demo.progress import Progress
from edge_inspect.edge.demo.subscriber import Message, Subscriber
from edge_inspect.edge.errors import CheckFailed
from edge_inspect.edge.mqtt.publisher import Publisher
from edge_inspect.edge.outbox.sqlite import SqliteOutbox
from edge_inspect.edge.program import say

SITE, LINE, STATION = "demo", "line1", "station1"
BUNDLE = "flange-v1"
DRAIN_S = 30.0
"""How long verdicts that the service has left in its outbox may take to the broker."""
ARRIVE_S = 10.0
"""How long verdicts that the broker has taken may take to the subscriber."""
_POLL_S = 0.05


@dataclass(frozen=True)
class Delivery:
    """What came of the stream.

    Attributes:
        broker: Name of the broker, and where it listened.
        log: What the broker said.
        published: Verdicts that the broker has acknowledged.
        verdicts: Those that the subscriber received, by sequence number.
        defects: Messages about rejected parts that the subscriber received.
    """

    broker: str
    log: Path
    published: int
    verdicts: list[Message]
    defects: list[Message]


def inspect_stream(out: Path, truth: dict[str, StreamPart], run: Callable[[Path], None]) -> Delivery:
    """Run broker, subscriber and service over the stream, and send what the service leaves in its outbox.

    Args:
        out: The demo's folder, with stream and bundle; the messages, the outbox and the broker's log go there.
        truth: The parts of the stream by file name.
        run: Runs the service with a configuration until its stream has ended.

    Raises:
        UsageError: There is no broker.
        CheckFailed: The broker does not start or answer, or the service failed.
    """
    log = out / "broker.log"
    right = received = 0

    def show(verdict: Message) -> None:
        nonlocal right, received
        part = truth[f"{verdict['part_id']}.png"]
        received += 1
        right += verdict["ok"] == part.ok
        word = "accept" if verdict["ok"] else "REJECT"
        known = "good" if part.ok else str(part.defect)
        score, latency = verdict["score"], verdict["latency_ms"]
        say(f"  {received:4d}/{len(truth)}  {word}  score {score:.3f}  {latency:6.1f} ms  is: {known}")

    with running_broker(log) as (name, port):
        broker = f"{name} on 127.0.0.1:{port}"
        say(broker)
        config = out / "config.yaml"
        config.write_text(yaml.safe_dump(_configuration(out, port), sort_keys=False))
        with _subscribe(port, show, broker, log) as subscriber:
            run(config)
            published = drain_outbox(out, port)
            subscriber.wait_for(published, ARRIVE_S)
            verdicts = sorted(subscriber.verdicts.values(), key=lambda v: v["sequence"])
            defects = list(subscriber.defects.values())
    with (out / "verdicts.jsonl").open("w") as file:
        file.writelines(json.dumps(verdict) + "\n" for verdict in verdicts)
    say(f"{right} of {len(verdicts)} verdicts agree with the truth")
    return Delivery(broker, log, published, verdicts, defects)


def _subscribe(port: int, show: Callable[[Message], None], broker: str, log: Path) -> Subscriber:
    try:
        return Subscriber(port, show)
    except CheckFailed as error:
        raise CheckFailed(f"{broker}: {error}; the broker's log is {log}") from error


def drain_outbox(out: Path, port: int) -> int:
    """Send what the service has left in its outbox, for a bounded time; return how many verdicts the broker has."""
    with SqliteOutbox(out / "outbox.db") as outbox:
        decided = outbox.sequence(STATION)

        def waiting() -> int:
            return sum(entry.kind == "verdict" for entry in outbox.pending(STATION, 0, 2 * decided))

        if left := waiting():
            say(f"{left} of {decided} verdicts are still in the outbox; sending them takes {DRAIN_S:.0f} s at most")
            progress = Progress(decided, "verdicts sent")
            status = Status(boot_id=uuid7(), sequence=decided, state="stopping", at=utc_now(), version=__version__)
            topics, settings = Topics(SITE, LINE, STATION), MqttSettings(host="127.0.0.1", port=port)
            deadline = time.monotonic() + DRAIN_S
            with Publisher(topics, outbox, settings, status):
                while (left := waiting()) and time.monotonic() < deadline:
                    progress.show(decided - left)
                    time.sleep(_POLL_S)
            progress.show(decided - left)
        return decided - left


def _configuration(out: Path, port: int) -> dict[str, Any]:
    return {
        "site": SITE,
        "line": LINE,
        "mqtt": {"host": "127.0.0.1", "port": port},
        "outbox": {"path": str(out / "outbox.db")},
        "stations": [
            {
                "name": STATION,
                "camera": f"folder:{os.path.abspath(out / 'stream')}",
                "bundle": str(out / BUNDLE),
                "policy": "every",
                "queue": 1,  # as on a line: a part is judged before the next one comes
            }
        ],
    }
