"""The archive: a database that is killed under load, and how fast rows go in and dashboards come out.

    python tests/benchmarks/archive.py [NAME ...] [--rows 5000000] [--kills 20] [--rate 200] [--days 30] [--stations 10]

Names: kills, insert, queries; all without any. Each writes its row of results/archive.csv. The PostgreSQL is that of
Debian in a folder below /tmp, with its own settings but for the socket, so fsync is on.

kills    the archive as its process between a real mosquitto and PostgreSQL: a station publishes `--rate` verdicts a
         second while PostgreSQL is killed and started again `--kills` times; then every id must be there once
insert   `--rows` parts of `--days` days, 2 % of them rejected, in batches of 5,000, through reading, gaps, rows, counts
         and commit in one thread: without the broker and the hand-over between threads
queries  the slowest answer of each query of the dashboard over all those days, of five, in the database that `insert`
         has filled; the first answer of each is left out, as it fills the caches
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from archive_parts import Fed, Load, check_all, opened, running, settings
from bridge_parts import Line, defect, verdict
from grafana import queries
from mosquitto import Broker
from postgresql import PostgreSQL
from sqlalchemy import text
from table import RESULTS, Row, processor, store

from edge_inspect.edge.archive.database import open_database
from edge_inspect.edge.contract.fields import format_time
from edge_inspect.edge.contract.ids import format_uuid7
from edge_inspect.edge.outbox.sqlite import SqliteOutbox

TABLE = RESULTS / "archive.csv"
BEGIN = datetime(2026, 11, 1, tzinfo=timezone.utc)
_AT_ONCE = 5000
Message = tuple[str, str, bytes]
"""Key of the station, last level of the topic, payload."""


def kills(work: Path, server: PostgreSQL, options: argparse.Namespace) -> Row:
    """PostgreSQL is killed under load."""
    broker = Broker(work)
    broker.start()
    outbox = SqliteOutbox(work / "outbox.db")
    line = Line(broker.port, outbox, window=64)
    chosen = settings(server.create("kills"), work, broker.port)
    reader = open_database(chosen)
    began = time.monotonic()
    with running(chosen, work) as archive:
        load = Load(line, options.rate)
        for _ in range(options.kills):
            time.sleep(random.uniform(0.5, 3))
            server.kill()
            time.sleep(random.uniform(0, 2))
            server.start()
        parts = load.close()
        lasted = time.monotonic() - began
        check_all(reader, archive, parts)
        archive.stop()
    reader.dispose()
    line.publisher.close()
    outbox.close()
    broker.stop()
    return {
        "count": parts,
        "figure": f"{options.kills} kills of PostgreSQL in {lasted:.0f} s at {parts / lasted:.0f} verdicts a second; "
        "every id once, 0 missing",
    }


def batches(options: argparse.Namespace) -> Iterator[list[Message]]:
    """Yield the messages of all days, 5,000 parts at a time; each part at its time, the stations in turn."""
    step = timedelta(days=options.days) / options.rows
    generator = random.Random(1)
    good, bad = verdict(1), defect(verdict(1, ok=False), 100)
    shapes = {True: json.loads(good.to_json()), False: json.loads(bad.to_json())}
    messages: list[Message] = []
    for at in range(options.rows):
        station, ok, moment = at % options.stations, generator.random() > 0.02, BEGIN + at * step
        fields = shapes[ok] | {
            "id": format_uuid7(round(moment.timestamp() * 1000), generator.getrandbits(74)),
            "sequence": at // options.stations + 1,
            "part_id": f"SN-{at}",
            "captured_at": format_time(moment),
            "decided_at": format_time(moment),
            "score": generator.uniform(0, 0.5) if ok else generator.uniform(0.5, 1),
        }
        key = f"plant1/line1/station{station + 1}"
        if not ok:
            place = [generator.uniform(0, 640), generator.uniform(0, 480)]
            fields["regions"] = [shapes[ok]["regions"][0] | {"centroid": place}]
            messages.append((key, "defect", json.dumps(fields).encode()))
            fields = {name: value for name, value in fields.items() if name in shapes[True]}
        messages.append((key, "verdict", json.dumps(fields).encode()))
        if (at + 1) % _AT_ONCE == 0 or at + 1 == options.rows:
            yield messages
            messages = []


def insert(work: Path, server: PostgreSQL, options: argparse.Namespace) -> Row:
    """Messages become rows."""
    engine = opened(server.create("month"), work)
    fed, took = Fed(engine), 0.0
    # The messages are made outside the measured time: stations do that.
    for messages in batches(options):
        began = time.monotonic()
        fed.give_all(messages)
        took += time.monotonic() - began
    stored = fed.writer.inserted
    if stored["verdicts"] != options.rows:
        sys.exit(f"{options.rows} parts were given, {stored['verdicts']} are stored")
    engine.dispose()
    return {
        "count": options.rows,
        "figure": f"{options.rows / took:.0f} parts a second; {sum(stored.values())} rows of {len(stored)} tables",
    }


def query(work: Path, server: PostgreSQL, options: argparse.Namespace) -> Row:
    """Answer the dashboard's queries over all days."""
    engine = open_database(settings(server.url("month"), work))
    stations = ",".join(str(number + 1) for number in range(options.stations))
    until = BEGIN + timedelta(days=options.days)
    slowest: dict[str, float] = {}
    gc.disable()  # it stops this client for 0.2 s now and then, which is no time of the database
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("VACUUM ANALYZE"))  # as autovacuum does within minutes
        # An hour is the interval that Grafana takes for a month.
        for each in queries(BEGIN, until, stations, f"SN-{options.rows // 2}", interval_s=3600):
            took = []
            for _ in range(6):
                began = time.monotonic()
                connection.execute(text(each.sql.replace(":", "\\:"))).all()
                took.append(1000 * (time.monotonic() - began))
            slowest[each.title] = max(took[1:])
            print(f"{slowest[each.title]:8.1f} ms  {each.title}", flush=True)
    engine.dispose()
    worst = max(slowest, key=slowest.__getitem__)
    over = sum(ms > 200 for ms in slowest.values())
    return {
        "count": options.rows,
        "figure": f"{len(slowest)} queries, {over} over 200 ms; the slowest took {slowest[worst]:.0f} ms ({worst})",
    }


BENCHES = {"kills": kills, "insert": insert, "queries": query}


def main() -> None:
    """Run the benches that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHES)} (default: all)")
    parser.add_argument("--rows", type=int, default=5_000_000, help="parts to insert (default 5000000)")
    parser.add_argument("--days", type=int, default=30, help="days on which they were inspected (default 30)")
    parser.add_argument("--stations", type=int, default=10, help="stations that inspected them (default 10)")
    parser.add_argument("--kills", type=int, default=20, help="times that PostgreSQL is killed (default 20)")
    parser.add_argument("--rate", type=float, default=200, help="verdicts a second meanwhile (default 200)")
    options = parser.parse_args()
    names = options.names or list(BENCHES)
    if unknown := set(names) - BENCHES.keys():
        parser.error(f"{', '.join(sorted(unknown))}: the names are {', '.join(BENCHES)}")
    if "queries" in names and "insert" not in names:
        parser.error("queries needs insert before it, which fills the database")
    server = PostgreSQL()
    try:
        server.start()
        for name in names:
            with tempfile.TemporaryDirectory() as work:
                row = BENCHES[name](Path(work), server, options)
            row = {"scenario": name, **row, "processor": processor()}
            print(f"{name}: {row['figure']}", flush=True)
            store(TABLE, row, ["scenario"])
    finally:
        server.remove()


if __name__ == "__main__":
    main()
