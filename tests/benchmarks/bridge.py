"""The bridge as its process, between a real mosquitto and a real Modbus client, on loopback.

    python tests/benchmarks/bridge.py [NAME ...] [--parts 500] [--behind 5000] [--reads 2000]

Names: latency, catch_up, read; all without any. Each writes its row of results/bridge.csv.

latency     from the verdict's put into the outbox, at 20 a second, every fifth rejected, to the end of the Modbus
            request that shows it; the client reads every 10 ms; counters and newest part must then be right
catch_up    parts a second that were missed while the bridge was stopped, on mosquitto's defaults, until all are there
read        Modbus requests a second of a station's first 72 registers, with nothing else to do
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bridge_parts import Line, Plc, settings
from mosquitto import Broker, wait_until
from table import RESULTS, Row, processor, store

from edge_inspect.edge.bridge import registers
from edge_inspect.edge.outbox.sqlite import SqliteOutbox

TABLE = RESULTS / "bridge.csv"
# Without a new part for so long there will be none.
PATIENCE_S = 30.0


class Bench:
    """A broker, a line, and where the bridge keeps its state."""

    def __init__(self, work: Path) -> None:
        self.broker = Broker(work, settings="allow_anonymous true\nmax_queued_messages 1000")
        self.broker.start()
        self.outbox = SqliteOutbox(work / "outbox.db")
        self.line = Line(self.broker.port, self.outbox, window=64)
        self._config = work / "bridge.yaml"
        self._chosen = settings(self.broker.port, work, defect_classes=[{"name": "any"}])

    @contextlib.contextmanager
    def bridge(self) -> Iterator[Plc]:
        """The bridge runs; gives a client of it."""
        # JSON is YAML.
        self._config.write_text(self._chosen.model_dump_json(exclude_unset=True))
        command = [sys.executable, "-m", "edge_inspect.edge.cli", "bridge", "--config", str(self._config)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            plc = Plc(self._chosen.modbus.port)
            try:
                wait_until(lambda: plc.client.connect() and "broker_lost" not in plc.flags(), 120)
                yield plc
            finally:
                plc.client.close()
                process.terminate()

    def close(self) -> None:
        """End all of it."""
        self.line.publisher.close()
        self.outbox.close()
        self.broker.stop()


def check(found: dict[str, Any], parts: int, bad: int) -> None:
    """Ends the program where the registers are not those of so many parts, every `bad`-th of them rejected."""
    rejected, newest_is_good = parts // bad, parts % bad != 0
    expected = {
        "flags": 0,
        "parts": parts,
        "accepted": parts - rejected,
        "rejected": rejected,
        **dict.fromkeys(("missing", "lost", "resets", "overruns"), 0),
        **{f"class_{number}": rejected if number == 1 else 0 for number in range(registers.CLASSES)},
        "number": parts,
        "sequence": parts,
        "result": registers.RESULTS["accept" if newest_is_good else "reject"],
        "class": 0 if newest_is_good else 1,
    }
    if wrong := [f"{name} is {found[name]}, not {value}" for name, value in expected.items() if found[name] != value]:
        sys.exit(f"the registers are not what was put: {'; '.join(wrong)}")


def latency(bench: Bench, options: argparse.Namespace) -> Row:
    """From the put to the register."""
    with bench.bridge() as plc:
        put_at: list[float] = []

        def put() -> None:
            for _ in range(options.parts):
                time.sleep(0.05)
                put_at.append(time.monotonic())
                bench.line.put(1, bad=5)

        writer = threading.Thread(target=put)
        writer.start()
        seen_at: list[float] = []
        last = time.monotonic()
        while len(seen_at) < options.parts and time.monotonic() < last + PATIENCE_S:
            if (new := plc.read()["parts"] - len(seen_at)) > 0:
                last = time.monotonic()
                seen_at += [last] * new
            time.sleep(0.01)
        writer.join()
        check(plc.read(), options.parts, bad=5)
    took = sorted(1000 * (seen - put) for put, seen in zip(put_at, seen_at, strict=True))
    p50, p99 = (took[len(took) * share // 100] for share in (50, 99))
    within = sum(one <= 100 for one in took)
    return {
        "count": options.parts,
        "figure": f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, worst {took[-1]:.1f} ms; {within} within 100 ms",
    }


def catch_up(bench: Bench, options: argparse.Namespace) -> Row:
    """What was missed while the bridge was away."""
    with bench.bridge() as plc:
        bench.line.put(1)
        wait_until(lambda: plc.read()["parts"] == 1, 120)
    bench.line.put(options.behind, bad=20)
    wait_until(lambda: bench.outbox.depth().entries == 0, 600)
    with bench.bridge() as plc:
        began = time.monotonic()
        bench.line.put(1)
        while plc.read()["parts"] < options.behind + 2:
            time.sleep(0.1)
        took, found = time.monotonic() - began, plc.read()
    return {
        "count": options.behind,
        "figure": f"{options.behind / took:.0f} a second; {found['lost']} lost, {found['missing']} missing",
    }


def read(bench: Bench, options: argparse.Namespace) -> Row:
    """Requests of a full station."""
    with bench.bridge() as plc:
        bench.line.put(16, bad=4, part_id="SN-000123")
        wait_until(lambda: plc.read()["parts"] == 16, 120)
        began = time.monotonic()
        for _ in range(options.reads):
            plc.client.read_holding_registers(0, count=72)
        took = time.monotonic() - began
    return {"count": options.reads, "figure": f"{options.reads / took:.0f} a second"}


SCENARIOS: tuple[Callable[[Bench, argparse.Namespace], Row], ...] = (latency, catch_up, read)


def main() -> None:
    """Runs the scenarios and stores their rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--parts", type=int, default=500)
    parser.add_argument("--behind", type=int, default=5000)
    parser.add_argument("--reads", type=int, default=2000)
    options = parser.parse_args()
    known = {scenario.__name__: scenario for scenario in SCENARIOS}
    if unknown := set(options.names) - set(known):
        parser.error(f"{', '.join(sorted(unknown))}: there are {', '.join(known)}")
    for name in options.names or known:
        with tempfile.TemporaryDirectory() as folder, contextlib.closing(Bench(Path(folder))) as bench:
            row = known[name](bench, options)
        store(TABLE, {"scenario": name, **row, "processor": processor()}, ["scenario"])
        print(name, row, flush=True)


if __name__ == "__main__":
    main()
