"""Two bridged mosquittos with the shipped configurations, and an uplink between them that is cut under load.

    python tests/benchmarks/bridged_brokers.py [NAME ...] [--seconds 600] [--rate 50]

A station publishes to its own broker (docs/examples/brokers/station.conf), whose bridge forwards over a TCP proxy to
the central broker (central.conf). There docs/examples/archive.py records, and its check compares the sequence numbers
with the last one that the station announced. Names, each a row of results/bridged_brokers.csv; all without any:

killed    the proxy is killed: connections are closed, and new ones are refused
silent    the proxy is stopped: connections stay open, and no byte passes (half-open)
restart   killed, and the station's broker is stopped and started in the middle
power     killed, and the station's broker is ended by SIGKILL in the middle; what it had not yet written to disk is
          asked for with `resend` over the uplink
full      killed, and the bridge's queue, here limited to 5000 messages, overflows; what was dropped is asked for

Exit status 1 if a verdict or a defect is missing at the centre at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from broker_files import Archive, Central, StationBroker, secret
from real_line import RealLine
from station_parts import mqtt
from table import RESULTS, Row, processor, store
from uplink import Uplink

from edge_inspect.edge.contract.commands import Resend
from edge_inspect.edge.contract.ids import uuid7_of_now
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.outbox.sqlite import SqliteOutbox
from edge_inspect.edge.requester import Requester

TABLE = RESULTS / "bridged_brokers.csv"
HERE, THERE = Topics("plant1", "line1", "a"), Topics("berlin", "line1", "a")
"""The station's topics at its own broker, and at the central one."""


class Plant:
    """Both brokers, the uplink, the station and the archive."""

    def __init__(self, work: Path, stack: contextlib.ExitStack, queue: int | None) -> None:
        self.work = work
        self.central = Central(work / "central")
        self.central.start()
        stack.callback(self.central.stop)
        self.uplink = stack.enter_context(Uplink(self.central.port))
        self.local = StationBroker(work / "station", self.uplink.port, restart_timeout="1 30", queue=queue)
        self.local.start()
        stack.callback(self.local.stop)
        self.archive = stack.enter_context(Archive(work, self.central.port))
        self.outbox = stack.enter_context(SqliteOutbox(work / "outbox.db", max_bytes=2**30))
        self.line = RealLine(self.local.port, self.outbox, HERE, window=256)
        stack.enter_context(self.line.publisher)
        self.before_mb = self.memory_mb()

    @property
    def last(self) -> int:
        """The number of the newest part."""
        return self.outbox.sequence(HERE.station)

    def memory_mb(self) -> float:
        """Memory of the station's broker."""
        assert self.local.process is not None
        return float(psutil.Process(self.local.process.pid).memory_info().rss) / 1e6

    def produce(self, seconds: float, rate: float) -> None:
        """Put parts evenly in time."""
        begun, first = time.monotonic(), self.last
        while (done := self.last - first) < seconds * rate:
            time.sleep(max(0.0, begun + done / rate - time.monotonic()))
            self.line.put(1)

    def missing(self) -> tuple[int, int]:
        """Return how many verdicts and defects are missing at the centre, by the archive's check."""
        self.line.health()
        time.sleep(1)
        said = self.archive.check().stdout
        found = re.search(r": \d+ verdicts, (\d+) missing(?:, (\d+) rejected)?", said)
        return (int(found[1]), int(found[2] or 0)) if found else (self.last, 0)

    def settle(self) -> float:
        """Wait until nothing more arrives at the centre; return the seconds until the last message."""
        begun = last_change = time.monotonic()
        before = (-1, -1)
        while time.monotonic() < last_change + 20:
            if (now := self.missing()) != before:
                before, last_change = now, time.monotonic()
            if now == (0, 0):
                break
        return last_change - begun

    def ask_again(self) -> None:
        """Ask the station for the gaps that the archive's check prints, from the centre, as a person would."""
        settings = mqtt(self.central.port, username="page", password_file=secret(self.work, "page"))
        for first, last in re.findall(r"missing #(\d+) to #(\d+)", self.archive.check().stdout):
            command = Resend(id=uuid7_of_now(), command="resend", from_sequence=int(first), to_sequence=int(last))
            assert Requester(settings, THERE, command).ask(30).done


def outage(
    plant: Plant, cut: Callable[[], None], seconds: float, rate: float, middle: Callable[[], None] | None
) -> Row:
    """Produce before, during and after an outage; return what came of it."""
    plant.produce(5, rate)
    cut()
    plant.produce(seconds / 2, rate)
    if middle is not None:
        middle()
    plant.produce(seconds / 2, rate)
    waiting_mb = plant.memory_mb()
    plant.uplink.cut()
    plant.uplink.start()
    plant.produce(5, rate)
    row = {"outage_s": f"{seconds:g}", "rate": f"{rate:g}", "broker_mb_before": f"{plant.before_mb:.1f}"}
    return {**row, "broker_mb_at_end_of_outage": f"{waiting_mb:.1f}", "drained_s": f"{plant.settle():.0f}"}


def killed(plant: Plant, seconds: float, rate: float) -> Row:
    """The uplink is killed."""
    return outage(plant, plant.uplink.cut, seconds, rate, None)


def silent(plant: Plant, seconds: float, rate: float) -> Row:
    """The uplink is half-open."""
    return outage(plant, plant.uplink.go_silent, seconds, rate, None)


def restart(plant: Plant, seconds: float, rate: float) -> Row:
    """The station's broker is restarted in the middle of the outage."""

    def middle() -> None:
        plant.local.stop()
        plant.local.start()

    return outage(plant, plant.uplink.cut, seconds, rate, middle)


def power(plant: Plant, seconds: float, rate: float) -> Row:
    """The station's broker is killed in the middle of the outage."""

    def middle() -> None:
        plant.local.kill()
        plant.local.start()

    row = outage(plant, plant.uplink.cut, seconds, rate, middle)
    asked = sum(plant.missing())
    plant.ask_again()
    plant.settle()
    return {**row, "asked_again": asked}


def full(plant: Plant, seconds: float, rate: float) -> Row:
    """The queue of the bridge, here of 5000 messages, overflows."""
    row = outage(plant, plant.uplink.cut, seconds, rate, None)
    asked = sum(plant.missing())
    plant.ask_again()
    plant.settle()
    return {**row, "asked_again": asked, "said_dropped": plant.local.log.read_text().count("being dropped for client")}


SCENARIOS = (killed, silent, restart, power, full)


def main() -> int:
    """Run the scenarios and store their rows; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = {scenario.__name__: scenario for scenario in SCENARIOS}
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--seconds", type=float, default=600, help="length of the outage (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=50, help="verdicts a second (default: %(default)s)")
    options = parser.parse_args()
    if unknown := set(options.names) - set(known):
        parser.error(f"{', '.join(sorted(unknown))}: there are {', '.join(known)}")
    good = True
    for name in options.names or known:
        with tempfile.TemporaryDirectory() as work, contextlib.ExitStack() as stack:
            plant = Plant(Path(work), stack, 5000 if name == "full" else None)
            result = known[name](plant, options.seconds, options.rate)
            verdicts, defects = plant.missing()
            row = {"scenario": name, "parts": plant.last, "missing": verdicts, "missing_defects": defects, **result}
            print(row, flush=True)
        store(TABLE, {**row, "processor": processor()}, ["scenario"])
        good = good and verdicts == defects == 0
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
