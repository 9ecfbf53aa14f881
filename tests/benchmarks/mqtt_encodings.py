"""What an encoding costs: a backlog drained to a real mosquitto on loopback, JSON against Sparkplug B.

    python tests/benchmarks/mqtt_encodings.py [--parts 20000] [--rounds 3]

Every tenth part is a reject. All parts but the newest are late, which is Sparkplug's longer form. Writes
results/mqtt_encodings.csv: parts a second until the outbox is empty (the best round), processor time of this process a
part (publisher alone: the subscriber is a process of its own), and bytes a part on the wire's payload.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from mosquitto import Broker, wait_until
from sparkplug_parts import put_parts
from station_parts import TOPICS, mqtt, status
from table import RESULTS, Row, processor, store

from edge_inspect.edge.mqtt.publisher import Publisher
from edge_inspect.edge.outbox.memory import MemoryOutbox

TABLE = RESULTS / "mqtt_encodings.csv"


def drained(port: int, encoding: str, parts: int) -> tuple[float, float]:
    """Seconds, and seconds of the processor, until `parts` parts have left the outbox."""
    with MemoryOutbox(max_bytes=2**31) as outbox:
        put_parts(outbox, parts, rejected=10)
        started, worked = time.perf_counter(), time.process_time()
        with Publisher(TOPICS, outbox, mqtt(port, encoding=encoding, window=64), status()):
            wait_until(lambda: not outbox.depth().entries, 600)
            return time.perf_counter() - started, time.process_time() - worked


def payload_bytes(port: int, encoding: str, parts: int) -> float:
    """Bytes of payload a part, as mosquitto_sub hears them."""
    topic = "edge-inspect/#" if encoding == "json" else "spBv1.0/#"
    command = ["mosquitto_sub", "-p", str(port), "-t", topic, "-F", "%t %l"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as heard:
        time.sleep(1)
        drained(port, encoding, parts)
        time.sleep(1)
        heard.terminate()
        lines = [line.split() for line in heard.communicate()[0].splitlines()]
    wanted = ("verdict", "defect") if encoding == "json" else ("NDATA",)
    return sum(int(size) for topic, size in lines if set(wanted) & set(topic.split("/"))) / parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(Path(folder), settings="allow_anonymous true")
        broker.start()
        try:
            for encoding in ("json", "sparkplug_b"):
                rounds = [drained(broker.port, encoding, options.parts) for _ in range(options.rounds)]
                row: Row = {
                    "encoding": encoding,
                    "parts": options.parts,
                    "parts_a_second": round(options.parts / min(wall for wall, _ in rounds)),
                    "processor_us_a_part": round(min(work for _, work in rounds) / options.parts * 1e6),
                    "payload_bytes_a_part": round(payload_bytes(broker.port, encoding, 1000)),
                    "processor": processor(),
                }
                print(row)
                store(TABLE, row, ("encoding",))
        finally:
            broker.stop()


if __name__ == "__main__":
    main()
