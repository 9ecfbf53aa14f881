"""The page as its process, between a real mosquitto and browsers that listen to its events, on loopback.

    python tests/benchmarks/page.py [--stations 1 8] [--rate 10 30] [--browsers 20] [--seconds 30] [--quiet]

For each number of stations and each rate a second of each station, one row of results/page.csv: the time from the
verdict's publishing to the event at a browser, the share of one core that the page's process uses, and its peak memory.
One browser reads the events as JSON; the others only receive them. Every tenth part is rejected, with its defect, a
picture of 640x480 and a map. `--quiet` says that nothing else runs on the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import selectors
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from bridge_parts import defect, verdict
from mosquitto import Broker, wait_until
from page_parts import Listener, Publisher, Station, jpeg, png, said_connected, write_page
from table import RESULTS, processor, store

TABLE = RESULTS / "page.csv"
_BAD = 10


class Drain:
    """Browsers that receive events and do not read them, in one thread."""

    def __init__(self, port: int, count: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=30) for _ in range(count)]
        self.bytes = 0
        for connection in self._connections:
            connection.request("GET", "/api/events")
            assert connection.sock is not None
            self._selector.register(connection.sock, selectors.EVENT_READ)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            for key, _ in self._selector.select(0.1):
                self.bytes += len(key.fileobj.recv(1 << 16))  # type: ignore[union-attr]

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        for connection in self._connections:
            connection.close()


def publish(stations: list[Station], publisher: Publisher, rate: float, seconds: float, sent: dict[str, float]) -> None:
    """Publishes parts of all stations, evenly in time."""
    picture, picture_map = jpeg(640, 480), png(320, 240)
    step, begun = 1 / (rate * len(stations)), time.perf_counter()
    for number in range(int(seconds * rate * len(stations))):
        time.sleep(max(0.0, begun + number * step - time.perf_counter()))
        station = stations[number % len(stations)]
        station.sequence += 1
        made = verdict(station.sequence, ok=station.sequence % _BAD != 0)
        payload = made.to_json()
        sent[made.id] = time.perf_counter()
        publisher.send_soon(station.topics.verdict, payload)
        if not made.ok:
            publisher.send_soon(station.topics.defect, defect(made, 100, 50, 25).to_json())
            publisher.send_soon(station.topics.image(made.id), picture)
            publisher.send_soon(station.topics.map(made.id), picture_map)
        if station.sequence % int(10 * rate) == 0:
            station.begin()


def measure(count: int, rate: float, browsers: int, seconds: float, quiet: bool) -> None:
    """Measures one combination and stores its row."""
    with tempfile.TemporaryDirectory() as work, contextlib.ExitStack() as stack:
        broker = Broker(Path(work))
        broker.start()
        stack.callback(broker.stop)
        config, port = write_page(Path(work), broker.port)
        command = [sys.executable, "-m", "edge_inspect.edge.cli", "page", "--config", str(config)]
        process = stack.enter_context(subprocess.Popen(command))
        stack.callback(process.terminate)
        page = psutil.Process(process.pid)
        publisher = Publisher(broker.port)
        stack.callback(publisher.close)
        stations = [Station(publisher, f"plant/line1/s{number}") for number in range(count)]
        for station in stations:
            station.begin()
        wait_until(lambda: said_connected(port), 60, "the page starts")
        sent: dict[str, float] = {}
        came: dict[str, float] = {}

        def note(name: str, data: Any) -> None:
            now = time.perf_counter()
            for station in data["stations"]:
                for part in station["parts"]:
                    came.setdefault(part["id"], now)

        reader = Listener(port)
        reader.on_event = note
        stack.callback(reader.close)
        drain = Drain(port, browsers - 1)
        stack.callback(drain.close)
        time.sleep(1)
        before, at = page.cpu_times(), time.perf_counter()
        publish(stations, publisher, rate, seconds, sent)
        time.sleep(1)
        after, wall = page.cpu_times(), time.perf_counter() - at
        late = np.array([came[identity] - moment for identity, moment in sent.items() if identity in came]) * 1000
        peak = next(line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "VmHWM" in line)
        row = {
            "stations": count,
            "rate": f"{rate:g}",
            "browsers": browsers,
            "seconds": f"{seconds:g}",
            "parts": len(sent),
            "not_seen": len(sent) - len(late),
            **{f"p{each}_ms": f"{np.percentile(late, each):.1f}" for each in (50, 95, 99)},
            "core_share": f"{(after.user + after.system - before.user - before.system) / wall:.3f}",
            "peak_mb": f"{int(peak.split()[1]) / 1024:.0f}",
            "kb_a_second_a_browser": f"{drain.bytes / wall / 1024 / max(1, browsers - 1):.0f}",
            "machine": "quiet" if quiet else "shared with other work",
            "processor": processor(),
        }
        print(row, flush=True)
        store(TABLE, row, ("stations", "rate", "browsers"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--stations", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rate", type=float, nargs="+", default=[10, 30])
    parser.add_argument("--browsers", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--quiet", action="store_true")
    arguments = parser.parse_args()
    for count in arguments.stations:
        for rate in arguments.rate:
            measure(count, rate, arguments.browsers, arguments.seconds, arguments.quiet)


if __name__ == "__main__":
    main()
