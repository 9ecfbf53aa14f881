"""The joiner of views as its process, between a real mosquitto and stations that see the same parts, on loopback.

    python tests/benchmarks/views.py [--parts 2000] [--rate 20] [--disturb-every 200] [--seed 1]

Each run has a number of views, a way to match them, and a rule. Verdicts come with random delays of up to 0.3 s; before
0.5 % of them their station stalls for 2.2 to 2.8 s, so that views are later than the time-out of 2 s. 2 % of triggers
are missed, and 2 % of the verdicts are followed by a repeat of the last ten. Every `--disturb-every` verdicts, in turn,
the joiner is killed (kill -9) and started again, or a station or the broker is restarted. Every joint verdict that a
subscriber has received is compared with what the stations have said. Each run writes its row of results/views.csv.

rule      votes: a third of the views, and one, must reject a part; all: all of them; first: only the first view decides
late      parts rejected for a view that did come, but after the time-out of 2 s; few where the joiner is often away,
          because all waiting parts then wait anew
catch_up  parts a second that were seen while the joiner was away, once it is connected again
latency   from the arrival of a part's first view to the joint verdict, in a run of its own without disturbances, stalls
          and missed triggers; it includes the random delays
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from mosquitto import Broker, Subscriber, wait_until
from table import RESULTS, Row, processor, store
from views_line import Findings, SeenLine, check
from views_parts import settings

TABLE = RESULTS / "views.csv"
PATIENCE_S = 600.0


class Case(NamedTuple):
    """How views are matched, and the rule: votes, all or first."""

    by_time: bool
    rule: str


RUNS = [
    *((views, Case(by_time, "votes")) for views in (2, 4) for by_time in (False, True)),
    (2, Case(by_time=True, rule="all")),
    (4, Case(by_time=False, rule="first")),
]


class Bench:
    """A broker, a joiner and a subscriber."""

    def __init__(self, work: Path, views: int, case: Case) -> None:
        self.broker = Broker(work)
        self.broker.start()
        self.subscriber = Subscriber(self.broker.port, "edge-inspect/v1/plant/line1/joint/#")
        matched: dict[str, Any] = {"match": "position", "window_s": 0.01} if case.by_time else {}
        votes = 1 + views // 3
        rules: dict[str, dict[str, Any]] = {
            "votes": {"reject": "votes", "votes": votes},
            "all": {"reject": "all"},
            "first": {"views": ["v0"]},
        }
        chosen = settings(self.broker.port, work, views, timeout_s=2.0, rule=rules[case.rule], **matched)
        self._votes = {"votes": votes, "all": views, "first": 1}[case.rule]
        self._deciding = ["v0"] if case.rule == "first" else None
        self._config, self._log = work / "views.yaml", work / "views.log"
        # JSON is YAML.
        self._config.write_text(chosen.model_dump_json(exclude_unset=True))
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start the joiner, and wait until it hears the views."""
        connected = self._said().count("subscriber: connected")
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "edge_inspect.edge.cli", "views", "--config", str(self._config)]
            self._process = subprocess.Popen(command, stderr=log)
        wait_until(lambda: self._said().count("subscriber: connected") > connected, 120)

    def kill(self) -> None:
        """Kill the joiner."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def verdicts(self) -> list[dict[str, Any]]:
        """The joint verdicts that the subscriber has received, with repeats."""
        return self.subscriber.payloads("verdict")

    def check(self, line: SeenLine) -> Findings:
        """Compare the joint verdicts with what the stations have said."""
        return check(self.verdicts(), line, self._votes, self._deciding)

    def wait_for(self, parts: int) -> None:
        """Wait until so many different verdicts have come."""
        wait_until(lambda: len({each["id"] for each in self.verdicts()}) >= parts, PATIENCE_S, f"{parts} verdicts")

    def close(self) -> None:
        """End all of it."""
        self.kill()
        self.subscriber.close()
        self.broker.stop()

    def _said(self) -> str:
        return self._log.read_text() if self._log.exists() else ""


@contextlib.contextmanager
def opened(views: int, case: Case) -> Iterator[Bench]:
    """A bench in a folder of its own."""
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(Path(work), views, case)
        try:
            yield bench
        finally:
            bench.close()


def disturbed(views: int, options: argparse.Namespace, case: Case) -> Row:
    """A line that is disturbed all the time."""
    with opened(views, case) as bench:
        line = SeenLine(bench.broker.port, views, options.seed, stalls=0.005)
        kills = restarts = 0

        def disturb(count: int) -> None:
            nonlocal kills, restarts
            if count % options.disturb_every != options.disturb_every // 2:
                return
            turn = count // options.disturb_every % 4
            if turn in (0, 2):
                kills += 1
                bench.kill()
                bench.start()
                return
            restarts += 1
            if turn == 1:
                line.restart(count % views)
            else:
                bench.broker.stop()
                bench.broker.start()

        try:
            line.run(options.parts, options.rate, 0.3, by_time=case.by_time, every=disturb)
            parts = len({sight.part for sight in line.sights.values()})
            bench.wait_for(parts)
        finally:
            line.close()
        found = bench.check(line)
    if found.mistakes:
        sys.exit("\n".join(found.mistakes))
    return {
        "parts": found.parts,
        "kills": kills,
        "restarts": restarts,
        "lost": 0,
        "twice": 0,
        "wrong": 0,
        "missed_triggers": found.missing,
        "late": found.late,
    }


def catch_up(views: int, options: argparse.Namespace, case: Case) -> Row:
    """Parts that were seen while the joiner was away, and wait at the broker."""
    with opened(views, case) as bench:
        bench.kill()
        line = SeenLine(bench.broker.port, views, options.seed, missed=0.0)
        try:
            line.run(options.parts, 1000.0, 0.0, by_time=case.by_time, pitch_s=1 / options.rate)
            wait_until(lambda: not any(station.outbox.depth().entries for station in line.stations), PATIENCE_S)
            bench.start()
            began = time.monotonic()
            bench.wait_for(options.parts)
            took = time.monotonic() - began
        finally:
            line.close()
        found = bench.check(line)
        if found.mistakes or found.late or found.missing:
            sys.exit(f"{found}")
    return {"catch_up_parts_s": round(options.parts / took)}


def calm(views: int, options: argparse.Namespace, case: Case) -> Row:
    """A line that nothing disturbs."""
    with opened(views, case) as bench:
        line = SeenLine(bench.broker.port, views, options.seed, missed=0.0)
        try:
            line.run(options.parts // 4, options.rate, 0.3, by_time=case.by_time)
            bench.wait_for(options.parts // 4)
        finally:
            line.close()
        found = bench.check(line)
        if found.mistakes or found.late or found.missing:
            sys.exit(f"{found}")
        took = sorted(each["latency_ms"] for each in bench.verdicts())
    return {f"latency_p{share}_ms": round(took[len(took) * share // 100], 1) for share in (50, 99)}


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=2000, help="parts of each disturbed run (default 2000)")
    parser.add_argument("--rate", type=float, default=20.0, help="parts a second (default 20)")
    parser.add_argument("--disturb-every", type=int, default=200, help="verdicts between disturbances (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="random seed (default 1)")
    parser.add_argument("--note", default="", help="what else ran on the machine, for the table")
    options = parser.parse_args()
    logging.getLogger("edge_inspect").setLevel(logging.ERROR)  # the stations would tell each disturbance
    for views, case in RUNS:
        row: Row = {"views": views, "match": "position" if case.by_time else "part_id", "rule": case.rule}
        row |= disturbed(views, options, case)
        row |= calm(views, options, case)
        row |= catch_up(views, options, case)
        row |= {"rate": options.rate, "processor": processor(), "note": options.note}
        print(row, flush=True)
        store(TABLE, row, ("views", "match", "rule"))


if __name__ == "__main__":
    main()
