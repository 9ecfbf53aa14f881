"""What supervision costs a frame, and how long a stop under load takes.

    python tests/benchmarks/supervision.py BUNDLE [--rounds 20]

The cost of looking at a 640x480 frame and at a score, in this process; then `edge-inspect run` on a folder of rendered
parts, as fast as the engine goes (`every`, 16 frames may wait), with a real mosquitto, ended by SIGTERM at a random
moment, `--rounds` times on one outbox: from the signal to the end of the process, and the parts whose verdict never
came. Writes results/supervision.csv.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from table import RESULTS, processor, write

from edge_inspect.edge.demo.broker import running_broker
from edge_inspect.edge.demo.line import render_part, write_stream
from edge_inspect.edge.demo.subscriber import Subscriber
from edge_inspect.edge.health.drift import ScoreDrift
from edge_inspect.edge.health.picture import PictureWatch, examine


def main() -> None:
    """Measures, and writes one row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        row = look_at_frames() | stop_under_load(Path(name), arguments.bundle.absolute(), arguments.rounds)
    row["processor"] = processor()
    write(RESULTS / "supervision.csv", [row])
    for key, value in row.items():
        print(f"{key:24} {value}")


def look_at_frames(count: int = 1000) -> dict[str, object]:
    """Milliseconds a frame of 640x480, and microseconds a score."""
    frames = [render_part(seed).frame for seed in range(8)]
    watch, drift, seconds = PictureWatch(None), ScoreDrift(0.3, 0.02, 100), []
    for i in range(count):
        started = time.perf_counter()
        watch.see(examine(frames[i % len(frames)]), live=True)
        seconds.append(time.perf_counter() - started)
    started = time.perf_counter()
    for _ in range(count):
        drift.add(0.31)
    p50, p95 = np.percentile(seconds, (50, 95)) * 1000
    return {
        "frame_ms_p50": round(float(p50), 3),
        "frame_ms_p95": round(float(p95), 3),
        "score_us": round((time.perf_counter() - started) / count * 1e6, 2),
    }


def stop_under_load(work: Path, bundle: Path, rounds: int) -> dict[str, object]:
    """Seconds from SIGTERM to the end, and what was lost."""
    write_stream(work / "stream", frames=50, defect_share=0.2, seed=1)
    station = {"name": "s", "camera": f"folder:{work / 'stream'}?loop=true", "bundle": str(bundle)}
    heard: list[int] = []
    seconds = []
    with running_broker() as (_, port), Subscriber(port, lambda verdict: heard.append(verdict["sequence"])):
        settings = {
            "site": "bench",
            "line": "line",
            "stations": [station | {"policy": "every", "queue": 16}],
            "mqtt": {"host": "127.0.0.1", "port": port},
            "outbox": {"path": str(work / "outbox.db")},
        }
        config = work / "config.yaml"
        config.write_text(yaml.safe_dump(settings))
        for _ in range(rounds):
            before = len(heard)
            service = subprocess.Popen([sys.executable, "-m", "edge_inspect.edge.cli", "run", "--config", str(config)])
            while len(heard) < before + 20:
                time.sleep(0.01)
            time.sleep(random.uniform(0, 1))
            service.send_signal(signal.SIGTERM)
            started = time.perf_counter()
            if service.wait(60) != 0:
                raise SystemExit(f"the service ended with status {service.returncode}")
            seconds.append(time.perf_counter() - started)
        time.sleep(1)
    return {
        "stops": rounds,
        "stop_s_p50": round(float(np.median(seconds)), 3),
        "stop_s_max": round(max(seconds), 3),
        "parts": max(heard),
        "lost": max(heard) - len(set(heard)),
    }


if __name__ == "__main__":
    main()
