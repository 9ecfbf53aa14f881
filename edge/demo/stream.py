"""Inspects the demo's stream of parts: runs broker, subscriber and `edge-inspect run`, and collects the messages."""

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
"""Time limit in seconds for sending the verdicts that the service has left in its outbox."""
ARRIVE_S = 10.0
"""Time limit in seconds for verdicts from the broker to the subscriber."""
_POLL_S = 0.05


@dataclass(frozen=True)
class Delivery:
    """The messages of a stream that have arrived.

    Attributes:
        broker: Name and address of the broker.
        log: File with the output of the broker.
        published: Number of verdicts that the broker has acknowledged.
        verdicts: Verdicts that the subscriber received, in the order of their sequence numbers.
        defects: Defect messages that the subscriber received.
    """

    broker: str
    log: Path
    published: int
    verdicts: list[Message]
    defects: list[Message]


def inspect_stream(out: Path, truth: dict[str, StreamPart], run: Callable[[Path], None]) -> Delivery:
    """Run broker, subscriber and service on the stream, then send the verdicts that are still in the outbox.

    Args:
        out: Folder of the demo, with stream and bundle; messages, outbox and the broker's log are written there.
        truth: The parts of the stream, by file name.
        run: Runs the service with a configuration until its stream has ended.

    Raises:
        UsageError: No broker is installed.
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
    """Send the verdicts that are still in the outbox, for a limited time; return how many the broker has in all."""
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
                "queue": 1,  # so that each part is inspected before the next one comes, as on a line
            }
        ],
    }
