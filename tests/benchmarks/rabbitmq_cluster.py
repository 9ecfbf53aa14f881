"""Three nodes of RabbitMQ with the shipped configuration; one is killed under load, and later started again.

    python tests/benchmarks/rabbitmq_cluster.py [NAME ...] [--rate 30] [--seconds 60]

Three stations publish --rate verdicts a second each. docs/examples/archive.py records, as a session in a quorum queue.
Everyone connects over a TCP proxy to the first node that answers. That node is killed (SIGKILL) after a third of
--seconds, and started after two thirds. Names, each a row of results/rabbitmq_cluster.csv; all without any:

connected   the stations publish over a bridged mosquitto (docs/examples/brokers/station.conf)
away        the same, and the archive is stopped before the kill, and comes back before the node does: what waited for
            it survived
direct      the stations publish straight to the cluster; one whose node is lost must wait until that node is back

A sender forgets a verdict when the cluster has acknowledged it, so a verdict that is missing at the end would have been
lost after the acknowledgement. Exit status 1 if one is missing. Needs rabbitmq-server and mosquitto.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from broker_files import Archive, StationBroker, secret
from mosquitto import wait_until
from rabbitmq_nodes import Epmd, Node
from real_line import RealLine
from table import RESULTS, Row, processor, store
from uplink import Uplink

from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.outbox.sqlite import SqliteOutbox

TABLE = RESULTS / "rabbitmq_cluster.csv"
NAMES = ("connected", "away", "direct")
PATIENCE = 180
MAY_WRITE = "verdict|defect|status|health|reply|image\\..*|map\\..*"


def add_users(node: Node) -> None:
    """Create users whose passwords are their names, with the rights that docs/fleet.md prints."""
    rights = {
        "bridge-berlin": (rf"^(edge-inspect\.v1\.berlin\.[^.]+\.[^.]+\.({MAY_WRITE})|edge-inspect-bridge\..*)$",
            r"^edge-inspect\.v1\.berlin\.[^.]+\.[^.]+\.command$"),
        "munich": (rf"^edge-inspect\.v1\.munich\.[^.]+\.[^.]+\.({MAY_WRITE})$",
            r"^edge-inspect\.v1\.munich\.[^.]+\.[^.]+\.command$"),
        "archive": ("^$", r"^edge-inspect\.v1\..*"),
    }  # fmt: skip
    queues, exchange = "^mqtt-subscription-.*", r"^(mqtt-subscription-.*|amq\.topic)$"
    for user, (write, read) in rights.items():
        node.control("add_user", user, user)
        node.control("set_permissions", user, queues, exchange, exchange)
        node.control("set_topic_permissions", user, "amq.topic", write, read)


class Plant:
    """The cluster, the proxy in front of it, the stations and the archive.

    Args:
        work: Folder for all files.
        stack: Ends everything.
        bridged: Whether the stations publish over a mosquitto of theirs, whose bridge names their plant berlin.
    """

    def __init__(self, work: Path, stack: contextlib.ExitStack, *, bridged: bool) -> None:
        epmd = Epmd()
        stack.callback(epmd.close)
        self.nodes = [Node(work / f"node{number}", number, epmd) for number in (1, 2, 3)]
        for node in self.nodes:
            node.start()
            stack.callback(node.kill)
        for node in self.nodes:
            node.wait_started()
        add_users(self.nodes[0])
        proxy = stack.enter_context(Uplink(*(node.mqtt_port for node in self.nodes)))
        self.archive = stack.enter_context(Archive(work, proxy.port))
        self.outbox = stack.enter_context(SqliteOutbox(work / "outbox.db"))
        connection = {"port": proxy.port, "username": "munich", "password_file": secret(work, "munich")}
        if bridged:
            local = StationBroker(work / "station", proxy.port)
            local.start()
            stack.callback(local.stop)
            connection = {"port": local.port}
        self.lines = []
        for name in "abc":
            topics = Topics("plant1" if bridged else "munich", "line1", name)
            self.lines.append(RealLine(**connection, outbox=self.outbox, topics=topics, window=64))
            stack.enter_context(self.lines[-1].publisher)

    @contextlib.contextmanager
    def producing(self, rate: float) -> Iterator[None]:
        """Put parts of all stations evenly in time, in the background."""
        ended = threading.Event()

        def put() -> None:
            while not ended.wait(1 / rate):
                for line in self.lines:
                    line.put(1)

        thread = threading.Thread(target=put)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    @property
    def parts(self) -> int:
        """Number of parts of all stations."""
        return sum(self.outbox.sequence(name) for name in "abc")

    def stored(self) -> int:
        """Return the number of verdicts in the archive."""
        with contextlib.closing(sqlite3.connect(self.archive.file)) as database:
            return int(database.execute("SELECT COUNT(*) FROM verdicts").fetchone()[0])

    def missing(self) -> int:
        """Return how many of the verdicts and defects that were put are not in the archive."""
        said = self.archive.check().stdout
        found = re.findall(r"(\d+) verdicts, (\d+) missing(?:, (\d+) rejected)?", said)
        return self.parts - sum(int(verdicts) - int(defects or 0) for verdicts, _, defects in found)

    def longest_stop(self, seconds: float) -> float:
        """Watch the archive for some seconds; return the longest time in which it lacked more than 1 % of all parts."""
        ends = time.monotonic() + seconds
        longest, since = 0.0, time.monotonic()
        while time.monotonic() < ends:
            time.sleep(0.25)
            if self.parts - self.stored() < self.parts / 100:
                since = time.monotonic()
            longest = max(longest, time.monotonic() - since)
        return longest


def measure(name: str, work: Path, rate: float, seconds: float) -> Row:
    """Run one scenario; return its row."""
    with contextlib.ExitStack() as stack:
        plant = Plant(work, stack, bridged=name != "direct")
        with plant.producing(rate):
            time.sleep(seconds / 3)
            if name == "away":
                plant.archive.stop()
                time.sleep(5)
            waiting = plant.parts - plant.stored()
            plant.nodes[0].kill()
            killed_at = time.monotonic()
            if name == "away":
                time.sleep(5)
                plant.archive.start()
            stopped_s = plant.longest_stop(seconds / 3)
            plant.nodes[0].start()
            plant.nodes[0].wait_started()
            back_s = time.monotonic() - killed_at
            time.sleep(seconds / 3)
        with contextlib.suppress(BaseException):
            wait_until(lambda: plant.missing() == 0, PATIENCE)
        queues = plant.nodes[1].control("list_queues", "name", "type", "messages").split()
        return {
            "scenario": name,
            "parts": plant.parts,
            "missing": plant.missing(),
            "rate": f"{3 * rate:g}",
            "not_stored_at_kill": waiting,
            "longest_stop_s": f"{stopped_s:.1f}",
            "node_back_after_s": f"{back_s:.0f}",
            "quorum_queues": queues.count("quorum"),
            "processor": processor(),
        }


def main() -> int:
    """Run the scenarios and store their rows; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--rate", type=float, default=30, help="verdicts a second of each station (default: 30)")
    parser.add_argument("--seconds", type=float, default=60, help="length of the load (default: 60)")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"{', '.join(sorted(unknown))}: there are {', '.join(NAMES)}")
    good = True
    for name in options.names or NAMES:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
            row = measure(name, Path(work), options.rate, options.seconds)
        print(row, flush=True)
        store(TABLE, row, ["scenario"])
        good = good and row["missing"] == 0
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
