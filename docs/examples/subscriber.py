"""Print every verdict of all stations at a broker once, with a warning if some were missed.

    pip install 'paho-mqtt>=2.1'
    python subscriber.py [HOST [PORT]]

Messages are delivered at least once. A repeat has the same `id` as the first message. A gap in `sequence` means that
messages were lost; the command `resend` asks for them again (send_command.sh).
"""

import json
import sys
from collections import deque
from typing import Any

import paho.mqtt.client as mqtt

host = sys.argv[1] if len(sys.argv) > 1 else "localhost"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 1883
newest: dict[str, int] = {}  # the highest sequence number of each station, by the station's topic
seen: deque[str] = deque(maxlen=10_000)  # the last ids, to recognise repeats


def on_connect(client: mqtt.Client, *_: Any) -> None:
    """Subscribe after every connection."""
    client.subscribe([("edge-inspect/v1/+/+/+/verdict", 1), ("edge-inspect/v1/+/+/+/defect", 1)])


def on_message(client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
    """Print a verdict, or the regions of a rejected part."""
    station, kind = message.topic.rsplit("/", 1)
    part = json.loads(message.payload)
    if kind == "defect":  # the same part as its verdict, with regions
        for region in part["regions"]:
            print(f"{station}  #{part['sequence']}  region {region['bbox']}, peak {region['peak']:.4f}", flush=True)
        return
    if part["id"] in seen:
        return
    seen.append(part["id"])
    before = newest.get(station, part["sequence"] - 1)
    if part["sequence"] > before + 1:
        print(f"{station}  missed #{before + 1} to #{part['sequence'] - 1}", flush=True)
    newest[station] = max(before, part["sequence"])  # a part that was sent again has a lower number
    said = "accept" if part["ok"] else "REJECT"
    print(f"{station}  #{part['sequence']}  {said}  {part['score']:.4f} of {part['threshold']:.4f}", flush=True)


# With a fixed client id and a session that is not clean, the broker keeps messages while this program is disconnected.
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="verdict-printer", clean_session=False)
client.on_connect = on_connect
client.on_message = on_message
client.connect(host, port)
client.loop_forever()  # reconnects automatically
