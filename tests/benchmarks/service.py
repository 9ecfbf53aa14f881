"""The box's own figures: end to end against the engine's floor, memory, start to first verdict.

    python tests/benchmarks/service.py [BUNDLE] [--frames 200]

Without BUNDLE one is made of ResNet-18 RD4AD at 256x256, which costs the same whatever it has learned: a few steps on a
few rendered parts, teacher weights random unless --teacher-weights names a file. Then `edge-inspect bench` on 640x480
frames, and `edge-inspect run` as a process of its own on a stream of 640x480 PNG files with a real mosquitto: peak
memory (VmHWM), and the time from its start to the first verdict at a subscriber. Writes results/service.csv.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from table import RESULTS, processor, program, write

from edge_inspect.edge.demo.broker import running_broker
from edge_inspect.edge.demo.line import CATEGORY, write_dataset, write_stream
from edge_inspect.edge.demo.subscriber import Subscriber
from edge_inspect.edge.memory import peak_mb

TABLE = RESULTS / "service.csv"


def main() -> None:
    """Runs both measurements and writes one row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--teacher-weights", type=Path)
    parser.add_argument("--frames", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        bundle = arguments.bundle or make_bundle(work, arguments.teacher_weights)
        bench = work / "bench.json"
        program("edge_inspect.edge.cli", "bench", str(bundle), "--frames", str(arguments.frames), "--json", str(bench))
        row = json.loads(bench.read_text()) | run_service(work, bundle, arguments.frames) | {"processor": processor()}
    write(TABLE, [row])
    for key, value in row.items():
        print(f"{key:24} {value}")


def make_bundle(work: Path, weights: Path | None) -> Path:
    """A bundle of ResNet-18 RD4AD at 256x256."""
    if weights is None:
        import torch

        from edge_inspect.models.teacher import Teacher

        weights = work / "random.pth"
        torch.manual_seed(0)
        torch.save(Teacher("resnet18").network.state_dict(), weights)
    write_dataset(work / "data", train_good=24, test_good=1, test_defects=1, seed=1)
    data = ["--data", str(work / "data"), "--category", CATEGORY, "--hold-out", "0.3", "--steps", "10"]
    program(
        "edge_inspect.train.cli",
        "fit",
        *data,
        "--model",
        "rd",
        "--memory",
        "off",
        "--teacher",
        "resnet18",
        "--teacher-weights",
        str(weights),
        "--out",
        str(work / "run"),
    )
    good = work / "data" / CATEGORY / "train" / "good"
    program(
        "edge_inspect.calibrate.cli", "bundle", str(work / "run"), "--good", str(good), "--out", str(work / "bundle")
    )
    return work / "bundle"


def run_service(work: Path, bundle: Path, frames: int) -> dict[str, float]:
    """Runs the service over a stream; gives its peak memory and its time to the first verdict."""
    write_stream(work / "stream", frames=frames, defect_share=0.2, seed=1)
    arrived: list[float] = []
    with running_broker() as (_, port), Subscriber(port, lambda _: arrived.append(time.perf_counter())):
        config = work / "config.yaml"
        station = {"name": "s", "camera": f"folder:{work / 'stream'}?loop=true", "bundle": str(bundle.absolute())}
        settings = {
            "site": "bench",
            "line": "line",
            "stations": [station | {"policy": "every"}],
            "mqtt": {"host": "127.0.0.1", "port": port},
            "outbox": {"path": str(work / "outbox.db")},
        }
        config.write_text(yaml.safe_dump(settings))
        started = time.perf_counter()
        service = subprocess.Popen([sys.executable, "-m", "edge_inspect.edge.cli", "run", "--config", str(config)])
        deadline = started + 300
        while len(arrived) < frames and time.perf_counter() < deadline:
            time.sleep(0.05)
        peak = peak_mb(service.pid)
        service.terminate()
        service.wait()
    return {
        "run_peak_mb": peak,
        "run_start_to_first_verdict_s": round(arrived[0] - started, 3),
        "run_verdicts": len(arrived),
    }


if __name__ == "__main__":
    main()
