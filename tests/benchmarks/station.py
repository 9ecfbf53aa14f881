"""The service from camera to subscriber, by an engine; and whether another engine gave the same verdicts.

    python tests/benchmarks/station.py BUNDLE FRAMES --engine openvino --write verdicts.json
    python tests/benchmarks/station.py BUNDLE FRAMES --engine tensorrt --against verdicts.json

For each of the bundle's precisions `edge-inspect run` takes the folder FRAMES as its camera, every frame once, and
publishes to a real broker; verdicts are read from a subscription. Beside the file that --write wrote they are compared
frame by frame: verdicts that differ, and the largest difference of a score. Writes results/station.csv: p50 and p99 of
`latency_ms`, from frame to verdict, as the verdicts say it. Exit status 1 where a score differs by more than the
bundle's golden tolerance, or a verdict is missing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from table import RESULTS, Row, processor, store

from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.demo.broker import running_broker
from edge_inspect.edge.demo.subscriber import Subscriber
from edge_inspect.edge.frame.images import list_images

LIMIT_S = 300

Verdicts = dict[str, dict[str, Any]]
"""By the part's id."""


def main() -> int:
    """Runs the service once a precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("frames", type=Path)
    parser.add_argument("--engine", choices=("openvino", "tensorrt"), required=True)
    parser.add_argument("--fps", type=float, default=10, help="frames a second; more than the engine makes would queue")
    parser.add_argument("--cache", type=Path, help="folder of the engines TensorRT builds")
    parser.add_argument("--write", type=Path, help="where the verdicts are written")
    parser.add_argument("--against", type=Path, help="verdicts of another engine")
    arguments = parser.parse_args()
    bundle, names = open_bundle(arguments.bundle), [path.stem for path in list_images(arguments.frames)]
    others = json.loads(arguments.against.read_text()) if arguments.against else {}
    found: dict[str, Verdicts] = {}
    right = True
    for precision in bundle.manifest.precisions:
        verdicts = found[precision] = inspect(arguments, precision, len(names))
        row = summary(bundle, precision, arguments.engine, verdicts, others.get(precision, {}))
        store(RESULTS / "station.csv", row, ("machine", "bundle", "engine", "precision"))
        print(*(f"{key} {value}" for key, value in row.items()), sep="  ", flush=True)
        right &= sorted(verdicts) == sorted(names)
        if others:  # written so that NaN is wrong
            same = row["compared"] == len(names) and row["score_difference"] <= row["tolerance"]
            right &= bool(same)
    if arguments.write:
        arguments.write.write_text(json.dumps(found))
    return 0 if right else 1


def inspect(arguments: argparse.Namespace, precision: Precision, count: int) -> Verdicts:
    """The verdicts of one run of the service."""
    with tempfile.TemporaryDirectory() as name, running_broker() as (_, port), Subscriber(port, lambda _: None) as plc:
        work = Path(name)
        station = {
            "name": "s",
            "camera": f"folder:{arguments.frames.absolute()}?fps={arguments.fps}",
            "policy": "every",
        }
        engine = {"name": arguments.engine} | ({"cache": str(arguments.cache.absolute())} if arguments.cache else {})
        settings = {
            "site": "bench",
            "line": "line",
            "stations": [station | {"bundle": str(arguments.bundle.absolute()), "precision": precision}],
            "engine": engine,
            "mqtt": {"host": "127.0.0.1", "port": port},
            "outbox": {"path": str(work / "outbox.db")},
        }
        config = work / "config.yaml"
        config.write_text(yaml.safe_dump(settings))
        service = subprocess.Popen([sys.executable, "-m", "edge_inspect.edge.cli", "run", "--config", str(config)])
        try:
            plc.wait_for(count, LIMIT_S)
        finally:
            service.terminate()
            service.wait()
        return {verdict["part_id"]: verdict for verdict in plc.verdicts.values()}


def summary(bundle: Bundle, precision: Precision, engine: str, verdicts: Verdicts, others: Verdicts) -> Row:
    """A row of the table."""
    latency = [verdict["latency_ms"] for verdict in verdicts.values()]
    both = [(verdict, others[part]) for part, verdict in verdicts.items() if part in others]
    differences = [abs(one["score"] - two["score"]) for one, two in both]
    return {
        "machine": machine(engine),
        "bundle": bundle.manifest.name,
        "engine": engine,
        "precision": precision,
        "verdicts": len(verdicts),
        "rejects": sum(not verdict["ok"] for verdict in verdicts.values()),
        "p50_ms": round(float(np.percentile(latency, 50)), 2),
        "p99_ms": round(float(np.percentile(latency, 99)), 2),
        "compared": len(both),
        "other_verdicts": sum(one["ok"] != two["ok"] for one, two in both),
        "score_difference": round(float(np.max(differences)), 6) if both else "",
        "tolerance": bundle.manifest.golden.tolerance[precision],
    }


def machine(engine: str) -> str:
    """What computes."""
    if engine == "openvino":
        return processor()
    from edge_inspect.edge.engines.tensorrt.cached import find_device

    return find_device().cuda.gpu.name


if __name__ == "__main__":
    sys.exit(main())
