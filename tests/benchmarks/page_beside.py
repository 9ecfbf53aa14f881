"""What the page costs a station that inspects on the same box: its latency with the page and without, in pairs.

    python tests/benchmarks/page_beside.py BUNDLE FRAMES [--pairs 5] [--seconds 30] [--rate 10] [--quiet]

A real station inspects the pictures in FRAMES, `--rate` a second, while 8 stations publish 30 parts a second each. In
one half of each pair the page runs with 20 browsers, in the other half it does not; the halves change places from pair
to pair. One row a pair goes to results/page_beside.csv: p50 and p99 of the station's latency, from the frame's arrival
to the decision, as its verdicts say. The page gets the processor as its unit says. The other stations and the browsers
would be other machines, so they only get the processor that is left (SCHED_IDLE), in both halves. `--quiet` says that
nothing else runs on the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))

from mosquitto import Broker, wait_until
from page import Drain, publish
from page_parts import Publisher, Station, said_connected, write_page
from table import RESULTS, processor, store

from edge_inspect.edge.demo.subscriber import Message, Subscriber

TABLE = RESULTS / "page_beside.csv"
STATIONS, RATE, BROWSERS = 8, 30.0, 20
AS_ITS_UNIT = ("chrt", "--idle", "0")
"""What `CPUWeight=idle` in the page's unit does: the page gets the processor when the inspection leaves it."""


def write_service(work: Path, broker: int, bundle: Path, frames: Path, rate: float) -> Path:
    """Writes the configuration of the station and returns its path."""
    station = {
        "name": "inspecting",
        "camera": f"folder:{frames.absolute()}?fps={rate:g}&loop=true",
        "bundle": str(bundle.absolute()),
    }
    config = work / "config.yaml"
    content = {"site": "plant", "line": "line2", "mqtt": {"host": "127.0.0.1", "port": broker}, "stations": [station]}
    config.write_text(yaml.safe_dump({**content, "outbox": {"path": str(work / "outbox.db")}}))
    return config


def half(work: Path, broker: int, seconds: float, latencies: list[float], *, with_page: bool) -> tuple[float, float]:
    """Returns p50 and p99 of the station's latency while other stations publish."""
    with contextlib.ExitStack() as stack:
        publisher = Publisher(broker)
        stack.callback(publisher.close)
        stations = [Station(publisher, f"plant/line1/s{number}") for number in range(STATIONS)]
        for station in stations:
            station.begin()
        if with_page:
            folder = work / f"page-{time.time_ns()}"
            folder.mkdir()
            config, port = write_page(folder, broker)
            command = [*AS_ITS_UNIT, sys.executable, "-m", "edge_inspect.edge.cli", "page", "--config", str(config)]
            process = stack.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            stack.callback(process.terminate)
            wait_until(lambda: said_connected(port), 60, "the page starts")
            drain = Drain(port, BROWSERS)
            stack.callback(drain.close)
        time.sleep(2)
        latencies.clear()
        publish(stations, publisher, RATE, seconds, {})
        seen = np.array(latencies)
        return float(np.percentile(seen, 50)), float(np.percentile(seen, 99))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("frames", type=Path)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rate", type=float, default=10)
    parser.add_argument("--quiet", action="store_true")
    arguments = parser.parse_args()
    latencies: list[float] = []
    lock = threading.Lock()

    def note(verdict: Message) -> None:
        if "latency_ms" in verdict and verdict["bundle"]["name"] == arguments.bundle.name:
            with lock:
                latencies.append(verdict["latency_ms"])

    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        work = Path(name)
        broker = Broker(work)
        broker.start()
        stack.callback(broker.stop)
        config = write_service(work, broker.port, arguments.bundle, arguments.frames, arguments.rate)
        command = [sys.executable, "-m", "edge_inspect.edge.cli", "run", "--config", str(config)]
        service = stack.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        stack.callback(service.terminate)
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        stack.enter_context(Subscriber(broker.port, note))
        wait_until(lambda: len(latencies) > 20, 120, "the station inspects")
        for pair in range(1, arguments.pairs + 1):
            found = {}
            for with_page in (False, True) if pair % 2 else (True, False):
                found[with_page] = half(work, broker.port, arguments.seconds, latencies, with_page=with_page)
            row = {
                "pair": pair,
                "rate": f"{arguments.rate:g}",
                "seconds": f"{arguments.seconds:g}",
                **{f"{what}_without": f"{found[False][at]:.2f}" for at, what in enumerate(("p50_ms", "p99_ms"))},
                **{f"{what}_with": f"{found[True][at]:.2f}" for at, what in enumerate(("p50_ms", "p99_ms"))},
                "p50_ratio": f"{found[True][0] / found[False][0]:.3f}",
                "p99_ratio": f"{found[True][1] / found[False][1]:.3f}",
                "machine": "quiet" if arguments.quiet else "shared with other work",
                "processor": processor(),
            }
            print(row, flush=True)
            store(TABLE, row, ("pair",))


if __name__ == "__main__":
    main()
