"""`edge-inspect run` with one to eight stations that share a bundle, as fast as it goes; a part of runtime.py.

Each station's camera is a folder of uncompressed pictures that wait in memory; policy `every`; a real broker, whose
subscriber counts the verdicts. Frames always wait, so the service opens its engine for several frames at a time, which
needs memory; `paced_mb` is the peak where the cameras leave it enough time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.demo.broker import running_broker
from edge_inspect.edge.demo.subscriber import Subscriber
from edge_inspect.edge.memory import peak_mb

LIMIT_S = 60.0
SETTLE_S = 2.0
"""Until the engine for several frames at a time is open."""
PACE = 10
"""Frames a second of a camera that leaves enough time."""
TICKS = os.sysconf("SC_CLK_TCK")

Turn = dict[str, Any]


def measure(bundle: Path, pictures: Path, stations: Sequence[int], rounds: int, seconds: float) -> Iterator[Turn]:
    """Yields a turn for each round and number of stations.

    Args:
        bundle: The bundle of all stations.
        pictures: Folder of the pictures.
        stations: Numbers of stations.
        rounds: How often each is measured, in turn.
        seconds: How long verdicts are counted.
    """
    size = open_bundle(bundle).fit.width
    for number in range(rounds):
        for count in stations:
            about: Turn = {"size": size, "round": number, "system": "service", "task": "stations", "stations": count}
            yield about | run(bundle, pictures, count, seconds)
            print(f"{count} station(s): round {number + 1}", file=sys.stderr, flush=True)


def run(bundle: Path, pictures: Path, count: int, seconds: float) -> Turn:
    """Starts the service twice: first with slow cameras, when it also times the precisions; then as fast as it goes."""
    with tempfile.TemporaryDirectory() as name:
        with serving(Path(name), bundle, pictures, count, f"&fps={PACE}") as (service, _, with_trial):
            time.sleep(seconds)
            paced = peak_mb(service.pid)
        for stored in Path(name).glob("outbox.db*"):
            stored.unlink()  # what the first start has not delivered is no verdict of the second one
        with serving(Path(name), bundle, pictures, count) as (service, arrived, first):
            time.sleep(SETTLE_S)
            begun, before, cpu = time.perf_counter(), len(arrived), cpu_s(service.pid)
            time.sleep(seconds)
            elapsed, judged, cpu = time.perf_counter() - begun, len(arrived) - before, cpu_s(service.pid) - cpu
            peak = peak_mb(service.pid)
    return {
        "fps": judged / elapsed,
        "cpu_s_per_1000": 1000 * cpu / judged,
        "peak_mb": peak,
        "paced_mb": paced,
        "first_s": first,
        "with_trial_s": with_trial,
        "precision": arrived[0],
    }


@contextmanager
def serving(
    work: Path, bundle: Path, pictures: Path, count: int, pace: str = ""
) -> Iterator[tuple[subprocess.Popen[bytes], list[str], float]]:
    """Runs the service from its first verdict on; gives the verdicts' precisions and the seconds to the first one."""
    arrived: list[str] = []
    with running_broker() as (_, port), Subscriber(port, lambda verdict: arrived.append(verdict["precision"])):
        config = write_config(work, bundle, f"{pictures}?loop=true{pace}", count, port)
        command = [sys.executable, "-m", "edge_inspect.edge.cli", "run", "--config", str(config)]
        started = time.perf_counter()
        service = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            while not arrived:
                if service.poll() is not None or time.perf_counter() > started + LIMIT_S:
                    sys.exit(f"the service gives no verdict: {' '.join(command)}")
                time.sleep(0.001)
            yield service, arrived, time.perf_counter() - started
        finally:
            service.terminate()
            service.wait()


def write_config(work: Path, bundle: Path, camera: str, count: int, port: int) -> Path:
    """Writes the configuration of a service; its outbox is beside it."""
    station = {"camera": f"folder:{camera}", "bundle": str(bundle), "policy": "every"}
    settings = {
        "site": "bench",
        "line": "line",
        "stations": [{"name": f"s{i}", **station} for i in range(count)],
        "mqtt": {"host": "127.0.0.1", "port": port},
        "outbox": {"path": str(work / "outbox.db")},
        "engine": {"name": "openvino"},
    }
    path = work / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def cpu_s(pid: int) -> float:
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
