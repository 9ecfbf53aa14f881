"""A thousand stations at one central mosquitto: rates, latency, memory and processor, until it falls behind.

    python tests/benchmarks/fleet.py [--with NOBODY ARCHIVE PAGE] [--loads 250x2 ...] [--seconds 20] [--tries 3]

Each station has a connection of its own, and publishes the messages of the contract in their real sizes: status once, a
verdict for each part, a defect for 2 % of the parts, and health every 10 s. The broker has the shipped configuration
(docs/examples/brokers/central.conf). A subscriber measures the time from the sending of a verdict to its arrival.
Beside it subscribe, by --with: nobody; docs/examples/archive.py, which writes each message into SQLite; or the archive
and the page's process, with one browser. --loads are stations x parts a second of each. A row of results/fleet.csv for
each.

The generator and the subscriber run on the same cores as the broker, so the figures are lower limits. `machine_load` is
the load average: how many processes of the whole machine wanted a core. `kept_up` says that the generator sent what it
should, that the subscriber had all of it, 99 % within a second, and that the archive had 97 % of it at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from broker_files import Archive, Central, secret
from fleet_load import Load, run_stations, run_subscriber
from mosquitto import wait_until
from page_parts import Listener, said_connected, write_page
from table import RESULTS, Row, processor, store

TABLE = RESULTS / "fleet.csv"
OTHERS = ("nobody", "archive", "page")
LOADS = ("250x2", "500x2", "1000x2", "1000x3", "1000x4", "1000x6", "1000x8")
WARM_S = 5.0


class Watched:
    """A process whose processor time and memory are measured."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._before, self._at = self._used(), time.monotonic()

    def _used(self) -> float:
        used = self._process.cpu_times()
        return float(used.user + used.system)

    def begin(self) -> None:
        """Begin to count processor time."""
        self._before, self._at = self._used(), time.monotonic()

    def figures(self, name: str) -> Row:
        """Return the share of one core since `begin`, and the memory now."""
        share = (self._used() - self._before) / (time.monotonic() - self._at)
        return {
            f"{name}_core_share": f"{share:.2f}",
            f"{name}_mb": f"{self._process.memory_info().rss / 1e6:.0f}",
        }


def start_page(work: Path, central: Central, stack: contextlib.ExitStack) -> int:
    """Start the page and one browser; return the page's process id."""
    mqtt = {"host": "127.0.0.1", "port": central.port, "username": "page", "password_file": str(secret(work, "page"))}
    config, port = write_page(work, central.port, mqtt=mqtt)
    command = [sys.executable, "-m", "edge_inspect.edge.cli", "page", "--config", str(config)]
    process = stack.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
    stack.callback(process.terminate)
    wait_until(lambda: said_connected(port), 60, "the page starts")
    stack.callback(Listener(port).close)
    return process.pid


def measure(others: str, stations: int, rate: float, seconds: float) -> Row:
    """Run one load; return its row."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        work = Path(folder)
        central = Central(work / "central")
        central.start()
        stack.callback(central.stop)
        assert central.process is not None
        watched = {"broker": Watched(central.process.pid)}
        archive = None
        if others != "nobody":
            archive = stack.enter_context(Archive(work, central.port))
            assert archive.process is not None
            watched["archive"] = Watched(archive.process.pid)
        if others == "page":
            watched["page"] = Watched(start_page(work, central, stack))
        load = Load(central.port, stations, rate, WARM_S, seconds)
        context = multiprocessing.get_context("spawn")
        sent, heard, ended = context.Queue(), context.Queue(), context.Event()
        subscriber = context.Process(target=run_subscriber, args=(load, ended, heard))
        subscriber.start()
        heard.get(timeout=60)
        generator = context.Process(target=run_stations, args=(load, sent))
        generator.start()
        sent.get(timeout=120)
        time.sleep(WARM_S)
        watched["generator"] = Watched(generator.pid or 0)
        for each in watched.values():
            each.begin()
        time.sleep(seconds)
        figures: Row = {}
        for name, each in watched.items():
            figures |= each.figures(name)
        done: dict[str, Any] = sent.get(timeout=120)
        stored = count(archive)
        ended.set()
        received: dict[str, Any] = heard.get(timeout=300)
        late = np.array(received["latencies"])
        late = late[int(len(late) * WARM_S / (WARM_S + seconds)) :]
        kept_up = (
            done["parts_a_s"] > 0.97 * stations * rate
            and received["received"] == done["parts"]
            and done["generator_behind_s"] < 1
            and np.percentile(late, 99) < 1000
            and (archive is None or stored > 0.97 * done["parts"])
        )
        generator.join()
        subscriber.join()
        dropped = central.log.read_text().count("being dropped")
        return {
            "with": others,
            "stations": stations,
            "rate": f"{rate:g}",
            "kept_up": "yes" if kept_up else "no",
            "parts_a_s": f"{done['parts_a_s']:.0f}",
            "messages_in_a_s": f"{done['messages_a_s']:.0f}",
            "kb_in_a_s": f"{done['bytes_a_s'] / 1000:.0f}",
            "p50_ms": f"{np.percentile(late, 50):.1f}",
            "p99_ms": f"{np.percentile(late, 99):.1f}",
            "not_received": done["parts"] - received["received"],
            "not_archived_at_end": "" if archive is None else done["parts"] - stored,
            "clients_with_dropped_messages": dropped,
            "archive_bytes_a_part": "" if archive is None else f"{archive.size() / max(1, stored):.0f}",
            **figures,
            "machine_load": f"{os.getloadavg()[0]:.1f}",
            "processor": processor(),
        }


def count(archive: Archive | None) -> int:
    """Return the number of verdicts in the archive."""
    if archive is None:
        return 0
    with contextlib.closing(sqlite3.connect(archive.file)) as database:
        return int(database.execute("SELECT COUNT(*) FROM verdicts").fetchone()[0])


def main() -> None:
    """Run the loads and store their rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--with", dest="others", nargs="+", choices=OTHERS, default=OTHERS, help="who subscribes")
    parser.add_argument("--loads", nargs="+", default=LOADS, metavar="STATIONSxRATE", help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=20, help="measured seconds of each load (default: 20)")
    # Other work on the machine may have disturbed a load that was not kept up with.
    parser.add_argument("--tries", type=int, default=3, help="runs of a load that is not kept up with (default: 3)")
    options = parser.parse_args()
    # One connection for each station, in the generator and in the broker.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65_536, hard), hard))
    for others in options.others:
        for each in options.loads:
            stations, rate = each.split("x")
            for _ in range(options.tries):
                row = measure(others, int(stations), float(rate), options.seconds)
                print(row, flush=True)
                if row["kept_up"] == "yes":
                    break
            store(TABLE, row, ("with", "stations", "rate"))
            if row["kept_up"] == "no":
                break  # a higher load falls further behind


if __name__ == "__main__":
    main()
