"""The OPC UA server over many parts: what it costs, whether it grows, and whether a client hears of each part once.

    python tests/benchmarks/opcua.py [--parts 172800] [--kept 10000] [--seconds 7200] [--busy]

A station publishes parts to a real broker, every tenth rejected, as fast as the server shows them: no more than
`--ahead` parts are on their way. asyncua's client is subscribed to results and to the score. The history is bounded
to `--kept` parts, so that the bound is reached early. Writes a row of results/opcua.csv: resident memory of the
server in between and at the end, the parts a second, the longest time that a read took meanwhile, and the results that
the client has missed or heard twice. 24 hours at 2 parts a second are 172,800 parts.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil
from asyncua import Client, ua
from bridge_parts import defect, verdict
from mosquitto import Broker, wait_until
from opcua_parts import KEY, PREFIX, connected, make_keys, write_opcua
from page_parts import Publisher, Station
from table import RESULTS, Row, processor, store

TABLE = RESULTS / "opcua.csv"


class Heard:
    """The ids of the results that a client has heard of."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.values = 0
        self.ended = False

    def status_change_notification(self, status: Any) -> None:
        """Take the end of the subscription."""
        self.ended = True

    def event_notification(self, event: Any) -> None:
        """Take an event."""
        self.ids.append(event.ResultId.Id)

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        """Take a value."""
        self.values += 1


async def longest_read(client: Client, longest: list[float]) -> None:
    """Read the server's state four times a second, and note the longest time in seconds that it took."""
    while True:
        began = time.monotonic()
        await client.nodes.server_state.read_value()
        longest[0] = max(longest[0], time.monotonic() - began)
        await asyncio.sleep(0.25)


def publish(publisher: Publisher, station: Station, count: int) -> list[str]:
    """Publish parts; return their ids."""
    made = []
    for _ in range(count):
        station.sequence += 1
        part = verdict(station.sequence, ok=station.sequence % 10 != 0, part_id=f"SN-{station.sequence}")
        publisher.send_soon(station.topics.verdict, part.to_json())
        if not part.ok:
            publisher.send_soon(station.topics.defect, defect(part, 100).to_json())
        made.append(part.id)
    return made


async def soak(options: argparse.Namespace, settings: Any, server: psutil.Process, folder: Path, port: int) -> Row:
    """Publish all parts, and look at the server meanwhile."""
    publisher = Publisher(port)
    station = Station(publisher, KEY)
    heard = Heard()
    wanted: list[str] = []
    memory: list[float] = []
    longest = [0.0]
    async with connected(settings, make_keys(folder), "vera") as client:
        await client.load_data_type_definitions()
        subscription = await client.create_subscription(200, heard)
        await subscription.subscribe_data_change(client.get_node(f"{PREFIX}.Inspection.Score"))
        await subscription.subscribe_events(ua.ObjectIds.Server, client.get_node("ns=2;i=1024"), queuesize=2000)
        reading = asyncio.create_task(longest_read(client, longest))
        began, cpu = time.monotonic(), sum(server.cpu_times()[:2])
        for _ in range(options.parts // options.ahead):
            wanted += await asyncio.to_thread(publish, publisher, station, options.ahead)
            while len(heard.ids) < len(wanted):
                await asyncio.sleep(0.01)
                if heard.ended:
                    raise RuntimeError("the subscription has ended")
                if time.monotonic() - began > options.seconds:
                    break
            memory.append(server.memory_info().rss / 2**20)
            if time.monotonic() - began > options.seconds:
                break
        await asyncio.sleep(1)
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        took, cpu = time.monotonic() - began, sum(server.cpu_times()[:2]) - cpu
    publisher.close()
    twice = len(heard.ids) - len(set(heard.ids))
    return {
        "parts": len(wanted),
        "hours_at_2_a_second": round(len(wanted) / 7200, 1),
        "parts_a_second": round(len(wanted) / took, 1),
        "cpu_ms_a_part": round(1000 * cpu / len(wanted), 2),
        "first_mb": round(memory[0], 1),
        "quarter_mb": round(memory[len(memory) // 4], 1),
        "half_mb": round(memory[len(memory) // 2], 1),
        "end_mb": round(memory[-1], 1),
        "longest_read_ms": round(1000 * longest[0]),
        "missed": len(set(wanted) - set(heard.ids)),
        "twice": twice,
    }


def main() -> None:
    """Run the soak and store its row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=172_800)
    parser.add_argument("--ahead", type=int, default=200)
    parser.add_argument("--kept", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=7200, help="end after this time, with the parts until then")
    parser.add_argument("--busy", action="store_true", help="mark the row as measured on a busy machine")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker = Broker(folder)
        broker.start()
        publisher = Publisher(broker.port)
        Station(publisher, KEY).begin()
        config, settings = write_opcua(folder, broker.port, history={"parts": options.kept})
        command = [sys.executable, "-m", "edge_inspect.edge.cli", "opcua", "--config", str(config)]
        log = folder / "said"
        with log.open("wb") as said, subprocess.Popen(command, stderr=said, env=dict(os.environ)) as process:
            try:
                wait_until(lambda: f"{KEY} is shown" in log.read_text(), 120)
                row = asyncio.run(soak(options, settings, psutil.Process(process.pid), folder, broker.port))
            finally:
                process.terminate()
        publisher.close()
        broker.stop()
    state = "busy" if options.busy else "idle"
    store(TABLE, {"machine": state, "kept": options.kept, **row, "processor": processor()}, ["machine", "kept"])
    print(row, flush=True)


if __name__ == "__main__":
    main()
