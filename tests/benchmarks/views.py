"""The joiner of views as its process, between a real mosquitto and stations that see the same parts, on loopback.

    python tests/benchmarks/views.py [--parts 2000] [--rate 20] [--disturb-every 200] [--seed 1]

Each run has a number of views and a way to match them. Verdicts come with random delays of up to 0.3 s; 2 % of the
triggers are missed, 2 % of the verdicts are followed by a repeat of the last ten, and every `--disturb-every` verdicts
the joiner is killed (kill -9) and started again, or a station or the broker is restarted, in turn. Every joint verdict
that a subscriber has received is compared with what the stations have said. Each run writes its row of
results/views.csv.

late      parts rejected for a view that did come, but after the time-out of 2 s, because its station was restarted
catch_up  parts a second that were seen while the joiner was away, once it is connected again
latency   from the arrival of a part's first view to the joint verdict, in a run of its own without disturbances and
          missed triggers; it includes the random delays
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
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from mosquitto import Broker, Subscriber, wait_until
from table import RESULTS, Row, processor, store
from views_line import SeenLine, check
from views_parts import settings

TABLE = RESULTS / "views.csv"
PATIENCE_S = 600.0


class Bench:
    """A broker, a joiner and a subscriber."""

    def __init__(self, work: Path, views: int, *, by_time: bool) -> None:
        self.broker = Broker(work)
        self.broker.start()
        self.subscriber = Subscriber(self.broker.port, "edge-inspect/v1/plant/line1/joint/#")
        matched: dict[str, Any] = {"match": "position", "window_s": 0.01} if by_time else {}
        rule = {"rule": {"reject": "votes", "votes": 1 + views // 3}}
        chosen = settings(self.broker.port, work, views, timeout_s=2.0, **matched, **rule)
        self.votes = 1 + views // 3
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
def opened(views: int, *, by_time: bool) -> Iterator[Bench]:
    """A bench in a folder of its own."""
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(Path(work), views, by_time=by_time)
        try:
            yield bench
        finally:
            bench.close()


def disturbed(views: int, options: argparse.Namespace, *, by_time: bool) -> Row:
    """A line that is disturbed all the time."""
    with opened(views, by_time=by_time) as bench:
        line = SeenLine(bench.broker.port, views, options.seed)
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
            line.run(options.parts, options.rate, 0.3, by_time=by_time, every=disturb)
            parts = len({sight.part for sight in line.sights.values()})
            bench.wait_for(parts)
        finally:
            line.close()
        found = check(bench.verdicts(), line, bench.votes)
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


def catch_up(views: int, options: argparse.Namespace, *, by_time: bool) -> Row:
    """Parts that were seen while the joiner was away, and wait at the broker."""
    with opened(views, by_time=by_time) as bench:
        bench.kill()
        line = SeenLine(bench.broker.port, views, options.seed, missed=0.0)
        try:
            line.run(options.parts, 1000.0, 0.0, by_time=by_time, pitch_s=1 / options.rate)
            wait_until(lambda: not any(station.outbox.depth().entries for station in line.stations), PATIENCE_S)
            bench.start()
            began = time.monotonic()
            bench.wait_for(options.parts)
            took = time.monotonic() - began
        finally:
            line.close()
        found = check(bench.verdicts(), line, bench.votes)
        if found.mistakes or found.late or found.missing:
            sys.exit(f"{found}")
    return {"catch_up_parts_s": round(options.parts / took)}


def calm(views: int, options: argparse.Namespace, *, by_time: bool) -> Row:
    """A line that nothing disturbs."""
    with opened(views, by_time=by_time) as bench:
        line = SeenLine(bench.broker.port, views, options.seed, missed=0.0)
        try:
            line.run(options.parts // 4, options.rate, 0.3, by_time=by_time)
            bench.wait_for(options.parts // 4)
        finally:
            line.close()
        found = check(bench.verdicts(), line, bench.votes)
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
    for views in (2, 4):
        for by_time in (False, True):
            row: Row = {"views": views, "match": "position" if by_time else "part_id"}
            row |= disturbed(views, options, by_time=by_time)
            row |= calm(views, options, by_time=by_time)
            row |= catch_up(views, options, by_time=by_time)
            row |= {"rate": options.rate, "processor": processor(), "note": options.note}
            print(row, flush=True)
            store(TABLE, row, ("views", "match"))


if __name__ == "__main__":
    main()
