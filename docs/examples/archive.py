"""Store the verdicts and defects of all stations in an SQLite file, and prove by their numbers that none is missing.

    pip install 'paho-mqtt>=2.1'
    python archive.py record FILE HOST [PORT] [--user NAME --password-file FILE] [--client-id NAME]
    python archive.py check FILE [--since TIME]

`record` runs until SIGTERM or Ctrl-C. It acknowledges a message to the broker only after the message is on the disk,
and the broker keeps its session. So a crash, a restart or an outage of the archive loses nothing that the broker has
room for. `check` prints a line for each station, and exits with 1 if a verdict or the defect of a rejected part is
missing. `--since 2026-11-30` checks the parts that were decided from then on.
"""

import argparse
import json
import operator
import queue
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any, NamedTuple

import paho.mqtt.client as mqtt

SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS verdicts (id TEXT PRIMARY KEY, station TEXT, sequence INTEGER, decided_at TEXT, ok INTEGER,
    score REAL, message TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_sequence ON verdicts (station, sequence);
CREATE TABLE IF NOT EXISTS defects (id TEXT PRIMARY KEY, message TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS announced (station TEXT PRIMARY KEY, sequence INTEGER) WITHOUT ROWID;
"""
MOST_AT_ONCE = 5000
NOT_AS_AGREED = (
    ValueError,
    KeyError,
    TypeError,
    OverflowError,
    RecursionError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
)


class Received(NamedTuple):
    """A message, and the connection over which it came: on the next connection, its packet id means another message."""

    connection: int
    message: mqtt.MQTTMessage


class Recorder:
    """Receives messages in paho's thread, and stores and acknowledges them in the caller's thread."""

    def __init__(self, database: sqlite3.Connection, client: mqtt.Client) -> None:
        self._database, self._client = database, client
        self._received: queue.SimpleQueue[Received] = queue.SimpleQueue()
        self._connection = 0
        self.ended = False
        client.on_connect, client.on_message = self._subscribe, self._keep
        client.on_connect_fail = lambda *_: print(
            "the broker cannot be reached; trying again", file=sys.stderr, flush=True
        )
        client.on_subscribe = lambda *_: print("recording", flush=True)

    def _subscribe(self, client: mqtt.Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._connection += 1
        if reason.is_failure:
            print(f"the broker refuses the connection: {reason}", file=sys.stderr, flush=True)
            return
        client.subscribe([(f"edge-inspect/v1/+/+/+/{kind}", 1) for kind in ("verdict", "defect", "status", "health")])

    def _keep(self, client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        self._received.put(Received(self._connection, message))

    def run(self) -> None:
        """Store messages until `ended`; all that came at once are one transaction."""
        while not self.ended:
            try:
                batch = [self._received.get(timeout=0.2)]
            except queue.Empty:
                continue
            while len(batch) < MOST_AT_ONCE and not self._received.empty():
                batch.append(self._received.get())
            with self._database:
                for received in batch:
                    self.store(received.message)
            for received in batch:
                if received.message.qos and received.connection == self._connection:
                    self._client.ack(received.message.mid, received.message.qos)

    def store(self, message: mqtt.MQTTMessage) -> None:
        """Store one message; the caller ends the transaction."""
        root, kind = message.topic.rsplit("/", 1)
        station = root.removeprefix("edge-inspect/v1/")
        try:
            text = message.payload.decode()
            part = json.loads(text)
            if kind == "verdict":
                number = operator.index(part["sequence"])
                row = (part["id"], station, number, part["decided_at"], part["ok"], part["score"], text)
                self._database.execute("INSERT OR IGNORE INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            elif kind == "defect":
                self._database.execute("INSERT OR IGNORE INTO defects VALUES (?, ?)", (part["id"], text))
            else:
                number = operator.index(part["sequence"])
                self._database.execute("INSERT OR REPLACE INTO announced VALUES (?, ?)", (station, number))
        except NOT_AS_AGREED as error:  # to fail would not help: the broker would send the message again and again
            print(f"{message.topic}: not stored, because it is not as the contract says: {error!r}", file=sys.stderr)


def record(options: argparse.Namespace) -> int:
    """Record until a signal comes."""
    database = sqlite3.connect(options.file)
    database.executescript(SCHEMA)
    # With a fixed client id and a session that is not clean, the broker keeps messages while this program is away.
    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2, client_id=options.client_id, clean_session=False, manual_ack=True
    )
    if options.user:
        client.username_pw_set(
            options.user, options.password_file.read_text().strip() if options.password_file else None
        )
    client.reconnect_delay_set(1, 5)
    recorder = Recorder(database, client)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(recorder, "ended", True))
    client.connect_async(options.host, options.port, keepalive=15)
    client.loop_start()
    recorder.run()
    client.disconnect()
    client.loop_stop()
    database.close()
    return 0


def check(options: argparse.Namespace) -> int:
    """Print a line for each station; return 1 if something is missing."""
    if not options.file.is_file():
        print(f"{options.file}: there is no such file; `record` makes it", file=sys.stderr)
        return 2
    database = sqlite3.connect(f"{options.file.absolute().as_uri()}?mode=ro", uri=True)
    announced = dict(database.execute("SELECT station, sequence FROM announced"))
    stations = database.execute("SELECT DISTINCT station FROM verdicts WHERE decided_at >= ?", (options.since,))
    complete = True
    for station in sorted({name for (name,) in stations} | set(announced)):
        complete &= check_station(database, station, announced.get(station, 0), options.since)
    return 0 if complete else 1


def check_station(database: sqlite3.Connection, station: str, announced: int, since: str) -> bool:
    """Print what is stored of a station and what is missing; return whether nothing is missing."""
    chosen = "FROM verdicts WHERE station = ? AND decided_at >= ?"
    first, last, numbers, parts = database.execute(
        f"SELECT MIN(sequence), MAX(sequence), COUNT(DISTINCT sequence), COUNT(*) {chosen}", (station, since)
    ).fetchone()
    gaps = database.execute(
        "SELECT before + 1, sequence - 1 FROM (SELECT sequence, LAG(sequence) OVER (ORDER BY sequence) AS before "
        f"{chosen}) WHERE sequence > before + 1",
        (station, since),
    ).fetchall()
    # With --since, the newest part may be older than that.
    (newest,) = database.execute("SELECT MAX(sequence) FROM verdicts WHERE station = ?", (station,)).fetchone()
    if announced > (newest or 0):
        gaps.append(((newest or 0) + 1, announced))
    (without_defect,) = database.execute(
        f"SELECT COUNT(*) {chosen} AND NOT ok AND id NOT IN (SELECT id FROM defects)", (station, since)
    ).fetchone()
    missing = sum(end - begin + 1 for begin, end in gaps)
    said = f"{station}  parts {first or 0} to {last or 0}: {numbers} verdicts, {missing} missing"
    print(said + (f", {without_defect} rejected parts without their defect" if without_defect else ""))
    for begin, end in gaps:
        print(f"    missing #{begin} to #{end}; ask for them with the command resend, from_sequence {begin}")
    if parts > numbers:
        print(f"    {parts - numbers} numbers were used twice: the station's outbox was replaced; use --since")
    return not missing and not without_defect


def main() -> int:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    recording = commands.add_parser("record", help="store messages until SIGTERM or Ctrl-C")
    recording.add_argument("file", type=Path, help="SQLite file; it is created if it does not exist")
    recording.add_argument("host", help="name or address of the broker")
    recording.add_argument("port", type=int, nargs="?", default=1883, help="port of the broker (default: 1883)")
    recording.add_argument("--user", help="user name at the broker")
    recording.add_argument("--password-file", type=Path, help="file with the password of the user")
    recording.add_argument("--client-id", default="archive", help="client id; each archive at a broker needs its own")
    recording.set_defaults(run=record)
    checking = commands.add_parser("check", help="print what is missing")
    checking.add_argument("file", type=Path, help="SQLite file that `record` has made")
    checking.add_argument("--since", default="", metavar="TIME", help="check parts decided from this time (UTC) on")
    checking.set_defaults(run=check)
    options = parser.parse_args()
    try:
        result: int = options.run(options)
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")
    except sqlite3.DatabaseError as error:
        sys.exit(f"{options.file}: {error}")
    return result


if __name__ == "__main__":
    sys.exit(main())
