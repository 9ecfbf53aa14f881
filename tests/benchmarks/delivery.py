"""Delivery under what a plant does to it: real mosquitto, real processes, loopback.

    python tests/benchmarks/delivery.py [NAME ...] [--rounds 100] [--backlog 100000] [--inputs 1000000]

Names: kill, restart, stall, cut, twin, password, certificate, backlog, full, normal, rate, fuzz; all without any. Each
writes its row of results/delivery.csv: what was put, what came, which numbers are missing, whether the order holds once
repeats (by id) are removed, and its own figure. Exit status 1 if a number is missing or out of order. mosquitto and
openssl must be there. `kill` takes about two minutes, the others less.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from delivery_line import TOPICS
from mosquitto import Between, Broker, Subscriber, wait_until
from table import RESULTS, Row, processor, store

from edge_inspect.edge.contract.commands import VERBS, Refused, parse_command, read_sender
from edge_inspect.edge.mqtt.encodings import client_id

TABLE = RESULTS / "delivery.csv"
LINE = Path(__file__).with_name("delivery_line.py")
RATE = 200


class Bench:
    """A broker, a subscriber, and one line at a time that publishes to them."""

    def __init__(self, work: Path, options: argparse.Namespace, settings: str = "allow_anonymous true") -> None:
        self.work, self.options = work, options
        self.broker = Broker(work, settings=settings)
        self.mqtt: dict[str, Any] = {"host": "127.0.0.1", "port": self.broker.port, "backoff_cap_s": 0.5}
        self._numbers = itertools.count()

    @contextlib.contextmanager
    def line(self, **more: Any) -> Iterator[subprocess.Popen[str]]:
        """A process that puts and publishes; its end is this block's."""
        config = self.work / f"line{next(self._numbers)}.json"
        options = {"mqtt": self.mqtt, "outbox": str(self.work / "outbox.db"), "durability": "normal"}
        config.write_text(json.dumps({**options, "rate": RATE, "count": 10**9, **more}))
        with subprocess.Popen([sys.executable, str(LINE), str(config)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                yield process
            finally:
                process.kill()

    def finish(self, subscriber: Subscriber, **more: Any) -> Row:
        """Let a last line deliver all that waits; give what the subscriber has of it."""
        with self.line(count=1, drain=True, **more) as process:
            last = told_at_end(process)["last"]
        wait_until(lambda: any(v["sequence"] == last for v in recent(subscriber)), 120)
        return verdict_of(subscriber, last)


def told_at_end(process: subprocess.Popen[str]) -> Any:
    """What a line says at its end. `communicate` would miss what came together with its first words."""
    process.wait(timeout=600)
    assert process.stdout is not None
    return json.loads(process.stdout.read())


def recent(subscriber: Subscriber) -> list[dict[str, Any]]:
    """The last verdicts that came."""
    messages = [message for message in subscriber.messages[-200:] if message.topic == TOPICS.verdict]
    return [json.loads(message.payload) for message in messages]


def verdict_of(subscriber: Subscriber, last: int) -> Row:
    """What came, against what must."""
    came = [(v["sequence"], v["id"]) for v in subscriber.payloads("verdict")]
    once = list(dict.fromkeys(came))
    numbers = [sequence for sequence, _ in once]
    defects = {d["sequence"] for d in subscriber.payloads("defect")}
    return {
        "put": last,
        "came": len(came),
        "repeats": len(came) - len(once),
        "missing": len(set(range(1, last + 1)) - set(numbers)),
        "missing_defects": len(set(range(20, last + 1, 20)) - defects),
        "in_order": numbers == sorted(set(numbers)),
    }


@contextlib.contextmanager
def subscribed(bench: Bench, **login: str) -> Iterator[Subscriber]:
    """The broker runs, and a subscriber with a session hears everything."""
    bench.broker.start()
    subscriber = Subscriber(bench.broker.port, **login)
    try:
        yield subscriber
    finally:
        subscriber.close()
        bench.broker.stop()


def kill(work: Path, options: argparse.Namespace) -> Row:
    """The process is killed at random moments."""
    bench = Bench(work, options)
    with subscribed(bench) as subscriber:
        for _ in range(options.rounds):
            with bench.line() as process:
                time.sleep(random.uniform(0.05, 1.0))
                process.send_signal(signal.SIGKILL)
        return {**bench.finish(subscriber), "figure": f"{options.rounds} kills"}


def restart(work: Path, options: argparse.Namespace) -> Row:
    """The broker restarts twenty times."""
    bench = Bench(work, options)
    with subscribed(bench) as subscriber:
        with bench.line() as process:
            for _ in range(20):
                time.sleep(random.uniform(0.3, 1.5))
                bench.broker.stop()
                time.sleep(random.uniform(0, 0.5))
                bench.broker.start()
            subscriber.wait_ready()
            process.terminate()
            process.wait()
        return {**bench.finish(subscriber), "figure": "20 restarts"}


def behind_a_door(work: Path, options: argparse.Namespace, disturb: Callable[[Between], None], what: str) -> Row:
    """Connections go through a door that is disturbed again and again."""
    bench = Bench(work, options)
    with subscribed(bench) as subscriber, contextlib.closing(Between(bench.broker.port)) as door:
        bench.mqtt |= {"port": door.port, "acknowledge_timeout_s": 1.0, "connect_timeout_s": 1.0}
        with bench.line() as process:
            for _ in range(20):
                time.sleep(random.uniform(0.2, 0.6))
                disturb(door)
            process.terminate()
            process.wait()
        return {**bench.finish(subscriber), "figure": what}


def stall(work: Path, options: argparse.Namespace) -> Row:
    """The broker takes packets and answers nothing for two seconds."""

    def disturb(door: Between) -> None:
        door.silent = True
        time.sleep(2.0)
        door.silent = False

    return behind_a_door(work, options, disturb, "20 stalls of 2 s")


def cut(work: Path, options: argparse.Namespace) -> Row:
    """The connection is cut in the middle of a packet."""

    def disturb(door: Between) -> None:
        door.cut_after = random.randrange(1, 4000)

    return behind_a_door(work, options, disturb, "20 cuts")


def twin(work: Path, options: argparse.Namespace) -> Row:
    """Another client takes the client id, again and again."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    bench = Bench(work, options)
    with subscribed(bench) as subscriber:
        with bench.line() as process:
            for _ in range(20):
                time.sleep(random.uniform(0.2, 0.6))
                other = Client(CallbackAPIVersion.VERSION2, client_id=client_id(TOPICS))
                other.connect("127.0.0.1", bench.broker.port)
                other.loop_start()
                time.sleep(0.2)
                other.disconnect()
                other.loop_stop()
            process.terminate()
            process.wait()
        return {**bench.finish(subscriber), "figure": "20 take-overs"}


def password(work: Path, options: argparse.Namespace) -> Row:
    """The password is wrong for three seconds, then right."""
    users, secret = work / "users", work / "password"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(users), "box", "right"], check=True, capture_output=True)
    bench = Bench(work, options, f"allow_anonymous false\npassword_file {users}")
    bench.mqtt |= {"username": "box", "password_file": str(secret)}
    return put_right(
        bench, lambda right: secret.write_text("right" if right else "wrong"), username="box", password="right"
    )


def put_right(bench: Bench, set_right: Callable[[bool], object], **login: str) -> Row:
    """The line starts with a credential that is wrong, which is then put right while it runs."""
    set_right(False)
    with subscribed(bench, **login) as subscriber:
        with bench.line() as process:
            time.sleep(3.0)
            early = len(subscriber.messages)
            set_right(True)
            wait_until(lambda: len(subscriber.messages) > 400, 60)
            process.terminate()
            process.wait()
        row = {**bench.finish(subscriber), "figure": f"{early} came while it was wrong"}
        return row | ({} if early == 0 else {"missing": -1})


def certificate(work: Path, options: argparse.Namespace) -> Row:
    """The station's certificate has expired, then a valid one takes its place. Mutual TLS, a CA made here."""
    make_authority(work)
    plain = "allow_anonymous true"
    bench = Bench(work, options, plain)
    tls = bench.broker.port + 1
    files = f"cafile {work}/ca.pem\ncertfile {work}/broker.pem\nkeyfile {work}/broker.key"
    # The subscriber comes in by the plain door: it is not what is tried here.
    config = work / "mosquitto.conf"
    config.write_text(config.read_text() + f"listener {tls} 127.0.0.1\nrequire_certificate true\n{files}\n")
    names = {"ca_file": "ca.pem", "certificate": "box.pem", "key": "box.key"}
    bench.mqtt |= {"port": tls, "tls": {key: str(work / name) for key, name in names.items()}}

    def set_right(right: bool) -> None:
        (work / "box.pem").write_bytes((work / ("valid.pem" if right else "expired.pem")).read_bytes())

    return put_right(bench, set_right)


def make_authority(folder: Path) -> None:
    """A CA, a certificate for the broker, and two for the box: one that has expired."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA", "-days", "2")
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1")
    # `x509 -not_after` came with OpenSSL 3.4; `ca` has always had dates.
    (folder / "ca.conf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n"
        "unique_subject=no\n[p]\ncommonName=supplied\n"
    )
    (folder / "index.txt").touch()
    past, soon = ("20200101000000Z", "20200102000000Z"), ("20200101000000Z", "20490101000000Z")
    for name, key, dates in (("broker", "broker", soon), ("valid", "box", soon), ("expired", "box", past)):
        if not (folder / f"{key}.key").exists():
            openssl("req", *new_key, "-keyout", f"{key}.key", "-out", f"{key}.csr", "-subj", f"/CN={key}")
        sign = ("-config", "ca.conf", "-batch", "-cert", "ca.pem", "-keyfile", "ca.key", "-extfile", "san", "-notext")
        openssl("ca", *sign, "-in", f"{key}.csr", "-out", f"{name}.pem", "-startdate", dates[0], "-enddate", dates[1])


def backlog(work: Path, options: argparse.Namespace) -> Row:
    """What an outage has left drains while live verdicts go on at 100 a second."""
    bench = Bench(work, options)
    with subscribed(bench) as subscriber:
        with bench.line(backlog=options.backlog, rate=100, count=100 * 60, wait=True) as process:
            wait_until(lambda: len(subscriber.messages) > 10, 60)
            began = subscriber.messages[0].timestamp
            wait_until(lambda: any(v["sequence"] > options.backlog for v in recent(subscriber)), 600)
            took = time.monotonic() - began
            process.terminate()
            ended = told_at_end(process)
        row = bench.finish(subscriber)
        grown = ended["mb_peak"] - ended["mb_before"]
        return {**row, "figure": f"{options.backlog / took:.0f} a second; {grown:.1f} MB more"}


def latency(work: Path, options: argparse.Namespace, durability: str) -> Row:
    """From the verdict decided to a subscriber, at 100 a second."""
    bench = Bench(work, options)
    with subscribed(bench) as subscriber:
        with bench.line(durability=durability, rate=100, count=3000, wait=True, drain=True) as process:
            told_at_end(process)
        since = time.time() - time.monotonic()
        found = sorted(
            since
            + message.timestamp
            - datetime.fromisoformat(json.loads(message.payload)["decided_at"][:-1] + "+00:00").timestamp()
            for message in subscriber.messages
            if message.topic == TOPICS.verdict
        )
        p50, p99 = (1000 * found[len(found) * share // 100] for share in (50, 99))
        row = bench.finish(subscriber)
        return {**row, "figure": f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, worst {1000 * found[-1]:.1f} ms"}


def full(work: Path, options: argparse.Namespace) -> Row:
    """Latency with durability full."""
    return latency(work, options, "full")


def normal(work: Path, options: argparse.Namespace) -> Row:
    """Latency with durability normal."""
    return latency(work, options, "normal")


def rate(work: Path, options: argparse.Namespace) -> Row:
    """Durability full at 500 a second for 20 seconds."""
    bench = Bench(work, options)
    with subscribed(bench) as subscriber:
        with bench.line(durability="full", rate=500, count=10_000, wait=True, drain=True) as process:
            ended = told_at_end(process)
        row = bench.finish(subscriber)
        put = f"{ended['put'] / ended['put_s']:.0f} a second put, {ended['waiting_at_end']} waiting at the end"
        return {**row, "figure": put}


def fuzz(work: Path, options: argparse.Namespace) -> Row:
    """Commands with bytes changed, cut, doubled and made up: the parser reads or refuses, and never fails otherwise."""
    chance = random.Random(0)
    seeds = [
        json.dumps({"command": verb, "id": "019f2b1c-7e40-7000-8000-000000000001", "by": "x", **fields}).encode()
        for verb, fields in zip(
            VERBS,
            ({"part_id": "é"}, {}, {}, {"value": 0.5}, {}, {"from_sequence": 1, "to_sequence": 2}, {"name": "v2"}),
            strict=True,
        )
    ]
    tokens = [
        b'"',
        b"{",
        b"}",
        b"[",
        b":",
        b",",
        b"null",
        b"NaN",
        b"1e999",
        b"-0",
        b"\\ud800",
        b"\xff",
        b"\0",
        b"9" * 400,
    ]
    read = 0
    for _ in range(options.inputs):
        text = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(5)):
            at = chance.randrange(len(text) + 1)
            end = at + chance.randrange(8)
            text[at:end] = chance.choice((chance.randbytes(chance.randrange(4)), chance.choice(tokens), text[:end]))
        read_sender(bytes(text))
        try:
            parse_command(bytes(text))
            read += 1
        except Refused:
            pass
    return {
        "put": options.inputs, "came": read, "repeats": 0, "missing": 0, "missing_defects": 0, "in_order": True,
        "figure": f"{read} inputs were commands",
    }  # fmt: skip


SCENARIOS = (kill, restart, stall, cut, twin, password, certificate, backlog, full, normal, rate, fuzz)


def main() -> int:
    """Runs the scenarios and stores their rows; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--backlog", type=int, default=100_000)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the outbox lies; default: the temporary folder")
    options = parser.parse_args()
    known = {scenario.__name__: scenario for scenario in SCENARIOS}
    if unknown := set(options.names) - set(known):
        parser.error(f"{', '.join(sorted(unknown))}: there are {', '.join(known)}")
    good = True
    for name in options.names or known:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            row = known[name](Path(folder), options)
        good = good and row["missing"] == row["missing_defects"] == 0 and bool(row["in_order"])
        store(TABLE, {"scenario": name, **row, "processor": processor()}, ["scenario"])
        print(name, row, flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
