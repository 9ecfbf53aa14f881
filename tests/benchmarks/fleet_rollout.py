"""A roll-out to a fleet: a bad bundle is stopped and rolled back, a good one arrives although all is interrupted.

    python tests/benchmarks/fleet_rollout.py [--stations 20] [--processes 5] [--fps 5]

Runs `edge-inspect run` as several processes with several stations each, with bundles of two convolutions a side, and a
real mosquitto. Then runs `edge-inspect fleet rollout` as a process of its own, three times:

1. `bad`: a bundle that rejects 30 % of the parts. It has to be stopped in the first wave, and every station has to have
   its former bundle again within 60 s of the first change.
2. `interrupted`: a good bundle. The command is killed with SIGKILL while the second wave changes, the broker is
   restarted, and the command is resumed. Every station has to have the bundle, and has to have loaded it once.
3. `good`: another good bundle, without an interruption.

Writes results/fleet_rollout.csv: one row a roll-out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from table import RESULTS, Row, processor, store

sys.path.append(str(Path(__file__).parents[1]))
from fleet_parts import digest_of, write_bundles, write_service
from mosquitto import Broker

PATIENCE_S = 600.0
WITHIN_S = 60.0
PROGRAM = [sys.executable, "-m", "edge_inspect.edge.cli"]


def main() -> None:
    """Runs all three and writes their rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stations", type=int, default=20)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--fps", type=float, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, fleet(Path(name), arguments) as plant:
        for run in (plant.bad, plant.interrupted, plant.good):
            row = {"stations": arguments.stations, "processes": arguments.processes, "fps": arguments.fps, **run()}
            store(RESULTS / "fleet_rollout.csv", {**row, "processor": processor()}, ("stations", "fps", "rollout"))
            print(row)


class Plant:
    """The broker, the services and their stations."""

    def __init__(self, work: Path, broker: Broker, services: list[Path], stations: int) -> None:
        self._work, self._broker, self._services, self._stations = work, broker, services, stations

    def digests(self) -> Counter[str]:
        """How many stations that are online have which digest."""
        where = ["--host", "127.0.0.1", "--port", str(self._broker.port)]
        done = subprocess.run([*PROGRAM, "fleet", "list", *where, "--json"], capture_output=True, check=False)
        rows = json.loads(done.stdout)["stations"] if done.returncode == 0 else []
        return Counter(row["digest"] for row in rows if row["state"] in ("online", "degraded"))

    def wait_for(self, bundle: str) -> None:
        """Waits until every station says that it has a bundle."""
        wanted = {digest_of(self._work, bundle): self._stations}
        wait(lambda: dict(self.digests()) == wanted, f"all stations have {bundle}")

    def loads(self) -> Counter[str]:
        """How often each station has loaded a bundle by a command."""
        found: Counter[str] = Counter()
        for service in self._services:
            path = service.parent / "outbox.bundles.jsonl"
            for line in path.read_text().splitlines() if path.exists() else []:
                if line and (entry := json.loads(line))["change"] == "load" and entry["command_id"]:
                    found[entry["station"]] += 1
        return found

    def start(self, *what: str) -> subprocess.Popen[bytes]:
        """Starts a roll-out, or goes on with one."""
        where = ["--host", "127.0.0.1", "--port", str(self._broker.port)]
        return subprocess.Popen([*PROGRAM, "fleet", "rollout", *where, *what])

    def new(self, bundle: str, record: Path) -> list[str]:
        """The options of a new roll-out."""
        return [str(self._work / "bundles" / bundle), "--to", "plant/*/*", "--record", str(record)]

    def bad(self) -> Row:
        """The bundle that rejects 30 %."""
        record = self._work / "bad.jsonl"
        command = self.start(*self.new("bad", record))
        assert command.wait(PATIENCE_S) == 1
        self.wait_for("old")
        lines = read(record)
        stopped = next(line for line in lines if line.get("state") == "stopped")
        changed = {line["station"] for line in lines if line.get("state") == "watched"}
        began = min(moment(line) for line in lines if line.get("state") == "watched")
        back = max(moment(line) for line in lines if line.get("state") == "back")
        assert changed <= set(lines[0]["waves"][0]["stations"]), "only the first wave was changed"
        assert (back - began).total_seconds() < WITHIN_S
        return {
            "rollout": "bad",
            "changed": len(changed),
            "stopped_after_s": round((moment(stopped) - began).total_seconds(), 1),
            "rolled_back_after_s": round((back - began).total_seconds(), 1),
            "loads_a_station": "",
            "seconds": round((moment(lines[-1]) - moment(lines[0])).total_seconds(), 1),
            "why": stopped["reason"],
        }

    def interrupted(self) -> Row:
        """A good bundle; the command is killed, and the broker is restarted."""
        record, before = self._work / "interrupted.jsonl", self.loads()
        command = self.start(*self.new("new", record))
        second = lambda: record.exists() and record.read_text().count('"state":"sent"') > 1  # noqa: E731
        wait(second, "the second wave changes")
        command.kill()
        command.wait()
        self._broker.stop()
        self._broker.start()
        assert self.start("--resume", str(record)).wait(PATIENCE_S) == 0
        self.wait_for("new")
        return {"rollout": "interrupted", **self._result(record, before)}

    def good(self) -> Row:
        """Another good bundle."""
        record, before = self._work / "good.jsonl", self.loads()
        assert self.start(*self.new("old", record)).wait(PATIENCE_S) == 0
        self.wait_for("old")
        return {"rollout": "good", **self._result(record, before)}

    def _result(self, record: Path, before: Counter[str]) -> Row:
        lines, loads = read(record), self.loads() - before
        assert len(loads) == self._stations and set(loads.values()) == {1}, loads
        return {
            "changed": len(loads),
            "stopped_after_s": "",
            "rolled_back_after_s": "",
            "loads_a_station": 1,
            "seconds": round((moment(lines[-1]) - moment(lines[0])).total_seconds(), 1),
            "why": "",
        }


@contextlib.contextmanager
def fleet(work: Path, arguments: argparse.Namespace) -> Iterator[Plant]:
    """Yields the stations, all online."""
    write_bundles(work)
    broker = Broker(work)
    broker.start()
    names = [f"s{i:02}" for i in range(1, arguments.stations + 1)]
    services, running = [], []
    try:
        for i in range(arguments.processes):
            some, folder = names[i :: arguments.processes], work / f"service{i}"
            # Health comes every ten seconds, as it does by default.
            more: dict[str, Any] = {
                "line": f"line{i}",
                "health_every_s": 10,
                "mqtt": {"host": "127.0.0.1", "port": broker.port},
            }
            services.append(write_service(folder, work, broker.port, some, fps=arguments.fps, **more))
            log = (folder / "log").open("wb")
            options = {"stdout": log, "stderr": log, "env": {**os.environ, "OMP_NUM_THREADS": "1"}}
            running.append(subprocess.Popen([*PROGRAM, "run", "--config", str(services[-1])], **options))
        plant = Plant(work, broker, services, arguments.stations)
        plant.wait_for("old")
        yield plant
    finally:
        for service in running:
            service.terminate()
        for service in running:
            service.wait()
        broker.stop()


def read(record: Path) -> list[dict[str, Any]]:
    """The lines of a record."""
    return [json.loads(line) for line in record.read_text().splitlines() if line]


def moment(line: dict[str, Any]) -> datetime:
    """Time of a line of a record."""
    return datetime.fromisoformat(line["at"].replace("Z", "+00:00"))


def wait(condition: Callable[[], bool], what: str) -> None:
    """Waits for a condition.

    Raises:
        AssertionError: It is not met in time.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.1)


if __name__ == "__main__":
    main()
