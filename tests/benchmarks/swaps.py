"""Bundle changes under load: no part without a verdict, and each verdict by the bundle that it names.

    python tests/benchmarks/swaps.py [BUNDLE BUNDLE] [--swaps 1000] [--fps 100]

Runs `edge-inspect run` as a process of its own with a real broker and a station in `every` mode, and sends it the
command `bundle` as fast as it answers: one bundle, the other, every tenth time rolled back instead of loaded, and every
fiftieth a damaged one. Without bundles, two of two convolutions a side are made. Checked at the end: every part of the
source has one verdict, in order; the score of each is that which the bundle it names gives for the part; every damaged
bundle was refused, and the one in use stayed. Writes results/swaps.csv: how long a change takes from command to reply,
the latency of parts without changes and during them, the longest time between two verdicts, and memory.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from table import RESULTS, processor, store

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.demo.broker import running_broker
from edge_inspect.edge.engines.opening import open_checked_engine
from edge_inspect.edge.frame.images import list_images, read_image, write_image

CALM_S = 20.0
TOPICS = Topics("bench", "line", "s")
Message = dict[str, Any]


class Line:
    """The subscriber's and commander's side of the station."""

    def __init__(self, port: int) -> None:
        self.verdicts: dict[str, Message] = {}
        self._replies: dict[str, Message] = {}
        self._came = threading.Condition()
        self._client = Client(CallbackAPIVersion.VERSION2, "swaps", clean_session=False)
        self._client.on_message = self._receive
        self._client.on_connect = lambda client, *_: client.subscribe([(TOPICS.verdict, 1), (TOPICS.reply, 1)])
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def command(self, name: str | None) -> Message:
        """Sends the command `bundle` and waits for its reply."""
        identity = uuid7()
        payload = json.dumps({"command": "bundle", "id": identity, "name": name})
        with self._came:
            self._client.publish(TOPICS.command, payload, qos=1)
            assert self._came.wait_for(lambda: identity in self._replies, 120), "no reply"
            return self._replies.pop(identity)

    def wait_for(self, verdicts: int) -> None:
        """Waits until so many have come."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.verdicts) >= verdicts, 120), "no verdicts"

    def _receive(self, client: Client, data: object, message: MQTTMessage) -> None:
        payload = json.loads(message.payload)
        with self._came:
            if message.topic == TOPICS.verdict:
                self.verdicts.setdefault(payload["id"], payload)
            else:
                self._replies[payload["command_id"]] = payload
            self._came.notify_all()


def main() -> None:
    """Runs it and writes one row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="*")
    parser.add_argument("--swaps", type=int, default=1000)
    parser.add_argument("--fps", type=float, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        prepare(work, arguments.bundles)
        row = run(work, arguments.swaps, arguments.fps)
    row = {
        "bundle": "/".join(path.name for path in arguments.bundles) or "tiny",
        "fps": arguments.fps,
        **row,
        "processor": processor(),
    }
    store(RESULTS / "swaps.csv", row, ("bundle", "fps"))
    for key, value in row.items():
        print(f"{key:24} {value}")


def prepare(work: Path, bundles: list[Path]) -> None:
    """Two bundles, a damaged one, and the frames."""
    folder = work / "bundles"
    folder.mkdir()
    if bundles:
        for target, bundle in zip("ab", bundles, strict=True):
            shutil.copytree(bundle, folder / target)
    else:
        sys.path.append(str(Path(__file__).parents[1]))
        from tiny_bundle import write

        write(folder / "a", seed=23)
        write(folder / "b", seed=26)
    shutil.copytree(folder / "b", folder / "damaged")
    model = max((folder / "damaged").glob("*.onnx"))
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    rng = np.random.default_rng(3)
    for i in range(20):
        write_image(work / "frames" / f"{i:02}.png", rng.integers(0, 256, (480, 640, 3), np.uint8))


def run(work: Path, swaps: int, fps: float) -> Message:
    """Runs the service and changes its bundle; gives the figures."""
    with running_broker() as (_, port):
        line = Line(port)
        config = work / "config.yaml"
        camera = f"folder:{work / 'frames'}?loop=true&fps={fps:g}"
        station = {"name": "s", "camera": camera, "bundle": str(work / "bundles" / "a"), "policy": "every"}
        settings = {
            "site": "bench",
            "line": "line",
            "stations": [station],
            "mqtt": {"host": "127.0.0.1", "port": port},
            "outbox": {"path": str(work / "outbox.db")},
            "bundles": {"folder": str(work / "bundles")},
            "commands": {"allow": ["bundle"]},
        }
        config.write_text(yaml.safe_dump(settings))
        service = subprocess.Popen([sys.executable, "-m", "edge_inspect.edge.cli", "run", "--config", str(config)])
        try:
            line.wait_for(1)
            time.sleep(CALM_S)
            calm = len(line.verdicts)
            memory = [resident_mb(service.pid)]
            times, damaged = change(line, swaps // 10)
            memory.append(resident_mb(service.pid))
            more = change(line, swaps - swaps // 10)
            memory.append(resident_mb(service.pid))
            line.wait_for(len(line.verdicts) + 20)
        finally:
            service.terminate()
            service.wait()
        times, damaged = [*times, *more[0]], damaged + more[1]
        verdicts = list(line.verdicts.values())
    check(work, verdicts)
    changed = sum(a["bundle"] != b["bundle"] for a, b in zip(verdicts, verdicts[1:], strict=False))
    latencies = [[v["latency_ms"] for v in part] for part in (verdicts[:calm], verdicts[calm:])]
    decided = [datetime.fromisoformat(v["decided_at"].replace("Z", "+00:00")).timestamp() for v in verdicts]
    return {
        "swaps": len(times),
        "seen_in_verdicts": changed,
        "damaged_refused": damaged,
        "parts": len(verdicts),
        "reply_ms_p50": round(1000 * float(np.percentile(times, 50)), 1),
        "reply_ms_p99": round(1000 * float(np.percentile(times, 99)), 1),
        "calm_ms_p50": round(float(np.percentile(latencies[0], 50)), 2),
        "calm_ms_p99": round(float(np.percentile(latencies[0], 99)), 2),
        "changing_ms_p50": round(float(np.percentile(latencies[1], 50)), 2),
        "changing_ms_p99": round(float(np.percentile(latencies[1], 99)), 2),
        "longest_gap_ms": round(1000 * float(np.diff(decided).max()), 1),
        "resident_mb": "/".join(map(str, memory)),
    }


def change(line: Line, swaps: int) -> tuple[list[float], int]:
    """Changes the bundle so often; gives the seconds that each took, and how many damaged ones were refused."""
    times, refused = [], 0
    now = "a"
    for i in range(1, swaps + 1):
        if i % 50 == 0:
            reply = line.command("damaged")
            assert reply["refusal"] == "impossible" and "was changed after" in reply["reason"], reply
            refused += 1
        following = "b" if now == "a" else "a"
        started = time.perf_counter()
        # A roll back after a load is the other bundle again.
        reply = line.command(None if i % 10 == 0 else following)
        times.append(time.perf_counter() - started)
        assert reply["done"] and reply["bundle"]["before"] != reply["bundle"]["after"], reply
        now = following
    if now != "a":
        assert line.command("a")["done"]
    return times, refused


def check(work: Path, verdicts: list[Message]) -> None:
    """One verdict a part, in order, each with the score that the bundle it names gives.

    Raises:
        AssertionError: Not so.
    """
    assert [v["sequence"] for v in verdicts] == list(range(1, len(verdicts) + 1))
    names = [path.stem for path in list_images(work / "frames")]
    assert all(v["part_id"] == names[i % len(names)] for i, v in enumerate(verdicts))
    scores: dict[tuple[str, str], float] = {}
    for folder in "ab":
        bundle = open_bundle(work / "bundles" / folder)
        engine = open_checked_engine(bundle)
        for path in list_images(work / "frames"):
            scores[bundle.digest, path.stem] = engine.infer(read_image(path)).score
    digests = sorted({digest for digest, _ in scores})
    apart = min(abs(scores[digests[0], name] - scores[digests[1], name]) for name in names)
    worst = max(abs(v["score"] - scores[v["bundle"]["digest"], v["part_id"]]) for v in verdicts)
    assert worst < apart / 10, f"scores differ by {worst:.3g}, the bundles by {apart:.3g}"


def resident_mb(process: int) -> int:
    """Memory that a process has now, in MB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1000 for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    main()
