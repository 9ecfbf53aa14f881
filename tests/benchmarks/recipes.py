"""Change-overs under load, by each way: every part is judged by the recipe asked for, and how long the reply takes.

    python tests/benchmarks/recipes.py [--changes 200] [--rate 20] [--ways mqtt modbus part_id opcua] [--nodelay]

Runs `edge-inspect run` and `edge-inspect bridge` as processes of their own with a real broker, and a triggered station
with two recipes, of which one accepts the picture and the other rejects it. Triggers come at `--rate` a second and are
not waited for, so parts are under way during every change-over. By `mqtt` the command `recipe` is sent, and the time
until its reply is measured. By `modbus` a PLC writes the register and reads it until the change-over is done. By
`opcua` asyncua's client, logged in as an operator, calls SelectRecipe of `edge-inspect opcua`, a process too. By
`part_id` every part's id chooses its recipe, and the time from the trigger to the verdict is measured where the recipe
changes. Before, both bundles are opened. Checked at the end: every part has one verdict, in order, by the recipe that
was asked for.
With `--nodelay`, mosquitto sends every message at once (`set_tcp_nodelay true`). By default it holds a reply
back until the sender of the command has confirmed, on the level of TCP, what it got before. Writes results/recipes.csv.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from pymodbus.client import ModbusTcpClient
from table import RESULTS, processor, store

from edge_inspect.edge.bridge.registers import RECIPE_REQUESTED, RECIPE_STATES
from edge_inspect.edge.contract.ids import uuid7_of_now
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.demo.broker import free_port

sys.path.append(str(Path(__file__).parents[1]))
from mosquitto import Broker, wait_until
from opcua_parts import connected, make_keys, write_opcua
from recipe_line import ACCEPTS, REJECTS, is_right, station, write_bundles, write_frames

TOPICS = Topics("bench", "line", "a")
BOTH = (ACCEPTS, REJECTS)
WAYS = ("mqtt", "modbus", "part_id", "opcua")
PATIENCE = 120
Message = dict[str, Any]


class Line:
    """The sender of triggers and commands, who also hears verdicts and replies."""

    def __init__(self, port: int, rate: float) -> None:
        self.asked: dict[str, str] = {}
        self.sent: dict[str, float] = {}
        self.verdicts: dict[str, tuple[Message, float]] = {}
        self._period, self._due = 1 / rate, time.perf_counter()
        self._replies: dict[str, Message] = {}
        self._came = threading.Condition()
        self._client = Client(CallbackAPIVersion.VERSION2, "recipes", clean_session=False)
        self._client.on_message = self._receive
        self._client.on_connect = lambda client, *_: client.subscribe([(TOPICS.verdict, 1), (TOPICS.reply, 1)])
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def trigger(self, recipe: str, part: str) -> None:
        """Waits for the next beat, and has a part inspected that this recipe must judge."""
        time.sleep(max(0.0, self._due - time.perf_counter()))
        self._due = max(self._due, time.perf_counter()) + self._period
        self.asked[part], self.sent[part] = recipe, time.perf_counter()
        self._publish("trigger", part_id=part).wait_for_publish(PATIENCE)

    def change(self, recipe: str) -> float:
        """Changes over by command; returns the seconds until the reply."""
        began, identity = time.perf_counter(), uuid7_of_now()
        self._publish("recipe", identity, name=recipe)
        with self._came:
            assert self._came.wait_for(lambda: identity in self._replies, PATIENCE), "no reply"
            reply = self._replies.pop(identity)
        assert reply["done"] and reply["recipe"]["after"] == recipe, reply
        return time.perf_counter() - began

    def wait(self) -> None:
        """Waits for all verdicts."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.verdicts) >= len(self.asked), PATIENCE), "verdicts are missing"

    def check(self) -> int:
        """Returns how many parts were judged by another recipe than the one asked for; the order must be right."""
        found = {part: verdict for part, (verdict, _) in self.verdicts.items()}
        assert list(found) == list(self.asked), "parts are missing or out of order"
        sequences = [verdict["sequence"] for verdict in found.values()]
        assert sequences == list(range(sequences[0], sequences[0] + len(sequences))), "sequence numbers are missing"
        return sum(not is_right(found[part], recipe) for part, recipe in self.asked.items())

    def _publish(self, verb: str, identity: str | None = None, **fields: Any) -> Any:
        payload = json.dumps({"command": verb, "id": identity or uuid7_of_now(), **fields})
        return self._client.publish(TOPICS.command, payload, qos=1)

    def _receive(self, client: Client, data: object, message: MQTTMessage) -> None:
        payload, now = json.loads(message.payload), time.perf_counter()
        with self._came:
            if message.topic == TOPICS.verdict:
                self.verdicts.setdefault(payload["part_id"], (payload, now))
            else:
                if payload["command"] == "trigger":
                    assert payload["done"], payload
                self._replies[payload["command_id"]] = payload
            self._came.notify_all()


class Plc:
    """Asks for recipes by register, and waits as a PLC does."""

    def __init__(self, port: int) -> None:
        self._client = ModbusTcpClient("127.0.0.1", port=port, timeout=PATIENCE)
        deadline = time.perf_counter() + PATIENCE
        while not self._client.connect() or self._read()[1] == 0:
            assert time.perf_counter() < deadline, "the bridge does not show the recipe"
            time.sleep(0.05)

    def change(self, number: int) -> float:
        """Changes over; returns the seconds until the registers say that it is done."""
        began = time.perf_counter()
        assert not self._client.write_register(RECIPE_REQUESTED, number).isError()
        while RECIPE_STATES[(found := self._read())[2]] == "changing":
            time.sleep(0.001)
        assert found == [number, number, RECIPE_STATES.index("active"), 0], found
        return time.perf_counter() - began

    def _read(self) -> list[int]:
        answer = self._client.read_holding_registers(RECIPE_REQUESTED, count=4)
        assert not answer.isError(), answer
        return list(answer.registers)


@contextlib.contextmanager
def program(work: Path, name: str, config: Path) -> Iterator[Path]:
    """One of the programs as a process; gives the file of its log."""
    log = work / f"{name}.log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "edge_inspect.edge.cli", name, "--config", config], stderr=said
        )
    try:
        yield log
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def opcua_client(work: Path, port: int) -> Iterator[Callable[[str], float]]:
    """The OPC UA server as a process, and its client; gives what changes over and returns the seconds that it took."""
    config, settings = write_opcua(work, port)
    key, loop = f"{TOPICS.site}/{TOPICS.line}/{TOPICS.station}", asyncio.new_event_loop()
    with program(work, "opcua", config) as log, contextlib.closing(loop):
        wait_until(lambda: f"{key} is shown" in log.read_text(), PATIENCE)
        login = contextlib.AsyncExitStack()
        client = loop.run_until_complete(login.enter_async_context(connected(settings, make_keys(work))))
        owner, method = (client.get_node(f"ns=1;s={key}.Inspection{name}") for name in ("", ".SelectRecipe"))

        def change(recipe: str) -> float:
            began = time.perf_counter()
            error, reason = loop.run_until_complete(owner.call_method(method.nodeid, recipe))
            assert error == 0, reason
            return time.perf_counter() - began

        yield change
        loop.run_until_complete(login.aclose())


@contextlib.contextmanager
def running(work: Path, *, pattern: bool, nodelay: bool) -> Iterator[tuple[int, int]]:
    """Service and bridge as processes; gives the ports of broker and bridge."""
    broker = Broker(work, settings=f"allow_anonymous true\nset_tcp_nodelay {str(nodelay).lower()}")
    with contextlib.ExitStack() as ends:
        ends.callback(broker.stop)
        broker.start()
        mqtt, modbus = {"host": "127.0.0.1", "port": broker.port}, free_port()
        settings = {
            "site": "bench",
            "line": "line",
            "stations": [station(work, pattern=pattern)],
            "mqtt": mqtt,
            "outbox": {"path": str(work / "outbox.db")},
            "commands": {"allow": ["recipe", "trigger", "resend"]},
        }
        bridge = {
            "stations": [{"site": "bench", "line": "line", "station": "a", "recipes": list(BOTH)}],
            "mqtt": mqtt,
            "modbus": {"port": modbus},
            "state": str(work / "state.json"),
        }
        for name, content in (("run", settings), ("bridge", bridge)):
            config = work / f"{name}.yaml"
            config.write_text(yaml.safe_dump(content))
            ends.enter_context(program(work, name, config))
        yield broker.port, modbus


def run(way: str, changes: int, rate: float, *, nodelay: bool) -> Message:
    """Runs one way; gives its row."""
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        write_bundles(work / "bundles")
        write_frames(work / "frames", size=(480, 640))
        with contextlib.ExitStack() as ends:
            port, modbus = ends.enter_context(running(work, pattern=way == "part_id", nodelay=nodelay))
            line, plc = Line(port, rate), Plc(modbus)
            changing: dict[str, Callable[[str], float]] = {
                "mqtt": line.change,
                "modbus": lambda recipe: plc.change(BOTH.index(recipe) + 1),
            }
            if way == "opcua":
                changing[way] = ends.enter_context(opcua_client(work, port))
            for recipe in (REJECTS, ACCEPTS):  # from now on both are open
                line.change(recipe)
            in_force, times, part, done = ACCEPTS, [], 0, 0
            while done < changes:
                following = next(each for each in BOTH if each != in_force)
                if way in changing:
                    times.append(changing[way](following))
                in_force, done = following, done + 1
                for _ in range(rng.randint(1, 3)):
                    part += 1
                    line.trigger(in_force, f"{in_force}-{part}")
            line.wait()
            wrong = line.check()
    if way == "part_id":
        recipes = list(line.asked.values())
        turns = [
            part for (part, now), before in zip(line.asked.items(), [None, *recipes], strict=False) if now != before
        ]
        times = [line.verdicts[part][1] - line.sent[part] for part in turns]
    row = {"way": way, "nodelay": nodelay, "changes": done, "rate": rate, "parts": part, "wrong": wrong}
    for quantile in (50, 99, 100):
        row[f"ms_p{quantile}"] = round(1000 * float(np.percentile(times, quantile)), 1)
    return row | {"within_100_ms": sum(each <= 0.1 for each in times), "processor": processor()}


def main() -> None:
    """Runs every way, and writes a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--nodelay", action="store_true")
    arguments = parser.parse_args()
    for way in arguments.ways:
        row = run(way, arguments.changes, arguments.rate, nodelay=arguments.nodelay)
        store(RESULTS / "recipes.csv", row, ("way", "rate", "nodelay"))
        for key, value in row.items():
            print(f"{key:16} {value}")
        assert not row["wrong"], "parts were judged by the wrong recipe"


if __name__ == "__main__":
    main()
