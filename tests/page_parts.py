"""What tests and benchmarks of the page share: its configuration, stations that publish, and browsers that listen."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import yaml
from bridge_parts import defect, verdict
from mosquitto import Broker, Subscriber, end, free_port, wait_until
from page_client import Browser
from page_server import write_everybody
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from service_process import Process
from station_parts import health, status

from edge_inspect.edge.contract.commands import parse_command
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.messages import Message, Verdict
from edge_inspect.edge.contract.replies import Reply
from edge_inspect.edge.contract.topics import Topics

PATIENCE = 30.0


def write_page(folder: Path, broker_port: int, **more: Any) -> tuple[Path, int]:
    """Writes a configuration with three users, which may be looked at without login; returns it and the page's port."""
    (folder / "data").mkdir(exist_ok=True)
    users = folder / "users.yaml"
    if not users.exists():
        write_everybody(users)
    port = free_port()
    settings = {
        "mqtt": {"host": "127.0.0.1", "port": broker_port, "backoff_cap_s": 0.5},
        "listen": {"port": port},
        "users": str(users),
        "data": str(folder / "data"),
        "display_without_login": True,
        **more,
    }
    path = folder / "page.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path, port


def jpeg(width: int = 640, height: int = 480, level: int = 128) -> bytes:
    """A small picture."""
    return bytes(cv2.imencode(".jpg", np.full((height, width, 3), level, np.uint8))[1])


def png(width: int = 32, height: int = 24, level: int = 200) -> bytes:
    """A small map."""
    return bytes(cv2.imencode(".png", np.full((height, width), level, np.uint8))[1])


class Publisher:
    """Publishes what stations would, and whatever else."""

    def __init__(self, port: int) -> None:
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.max_inflight_messages_set(1000)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def send(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Publishes, and waits for the acknowledgement."""
        self._client.publish(topic, payload, qos, retain).wait_for_publish(PATIENCE)

    def send_soon(self, topic: str, payload: bytes) -> None:
        """Publishes with QoS 1, and does not wait."""
        self._client.publish(topic, payload, 1)

    def close(self) -> None:
        end(self._client)


class Station:
    """A station without camera, engine and outbox: it counts its parts and publishes."""

    def __init__(self, publisher: Publisher, key: str = "plant/line1/a") -> None:
        self.key = key
        self.topics = Topics(*key.split("/"))
        self._publisher = publisher
        self.sequence = 0

    def say(self, message: Message, level: str, *, retain: bool = False) -> None:
        self._publisher.send(f"{self.topics.prefix}/{level}", message.to_json(), retain=retain)

    def begin(self, state: str = "online", **changes: Any) -> None:
        """Publishes status and health, retained."""
        self.say(status(state), "status", retain=True)
        self.say(health().model_copy(update=changes), "health", retain=True)

    def inspect(self, count: int = 1, *, ok: bool = True, **changes: Any) -> Verdict:
        """Publishes parts, and returns the last one's verdict."""
        for _ in range(count):
            self.sequence += 1
            made = verdict(self.sequence, ok=ok).model_copy(update=changes)
            self.say(made, "verdict")
            if not ok:
                self.say(defect(made, 100), "defect")
        return made

    def show(self, identity: str, picture: bytes | None = None, map: bytes | None = None) -> None:
        """Publishes a picture and a map of a part."""
        self._publisher.send(self.topics.image(identity), picture or jpeg(), qos=0)
        self._publisher.send(self.topics.map(identity), map or png(), qos=0)


class Answering:
    """Answers each command of a station: refuses `threshold`, says nothing to `resume`, and does all others."""

    def __init__(self, broker: Broker, publisher: Publisher, station: Station) -> None:
        self.commands: list[Any] = []
        self._publisher, self._station = publisher, station
        self._subscriber = Subscriber(broker.port, station.topics.command)
        self._subscriber._client.on_message = lambda client, userdata, message: self._answer(message.payload)  # noqa: SLF001

    def _answer(self, payload: bytes) -> None:
        command = parse_command(payload)
        self.commands.append(command)
        if command.command == "resume":
            return
        refused = command.command == "threshold"
        reply = Reply(
            boot_id="b",
            sequence=0,
            command_id=command.id,
            command=command.command,
            at=utc_now(),
            done=not refused,
            refusal="impossible" if refused else None,
            reason="9 is above the limit" if refused else None,
        )
        self._publisher.send_soon(self._station.topics.reply, reply.to_json())

    def close(self) -> None:
        self._subscriber.close()


class Listener:
    """A browser that listens to the events, and knows what the page has told it."""

    def __init__(self, port: int, headers: dict[str, str] | None = None) -> None:
        self.stations: dict[str, dict[str, Any]] = {}
        self.connected: bool | None = None
        self.events: list[tuple[str, Any]] = []
        self.ended = threading.Event()
        self.on_event: Callable[[str, Any], None] = lambda name, data: None
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self._connection.request("GET", "/api/events", headers=headers or {})
        self.response = self._connection.getresponse()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def parts(self, key: str = "plant/line1/a") -> list[dict[str, Any]]:
        """The parts of a station, newest first."""
        found = self.stations.get(key, {}).get("parts", {})
        return sorted(found.values(), key=lambda part: str(part["id"]), reverse=True)

    def shift(self, key: str = "plant/line1/a") -> dict[str, Any]:
        """The counters of a station."""
        shown: dict[str, Any] = self.stations.get(key, {}).get("shift", {})
        return shown

    def wait(self, condition: Callable[[], Any], what: str = "") -> None:
        wait_until(condition, PATIENCE, what)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.sock.shutdown(2)  # type: ignore[union-attr]
        self._thread.join(PATIENCE)
        self._connection.close()

    def _run(self) -> None:
        name = ""
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError, AttributeError):
            for line in self.response:
                if line.startswith(b"event: "):
                    name = line[7:].strip().decode()
                elif line.startswith(b"data: "):
                    self._take(name, json.loads(line[6:]))
        self.ended.set()

    def _take(self, name: str, data: Any) -> None:
        if name == "snapshot":
            self.stations.clear()
        if name in ("snapshot", "change"):
            self.connected = data["connected"]
            for view in data["stations"]:
                known = self.stations.get(view["key"], {})
                parts = {**known.get("parts", {}), **{part["id"]: part for part in view["parts"]}}
                self.stations[view["key"]] = {**known, **view, "parts": parts}
        self.events.append((name, data))
        self.on_event(name, data)


@contextlib.contextmanager
def listening(port: int) -> Iterator[Listener]:
    """Yields a browser that listens."""
    listener = Listener(port)
    try:
        yield listener
    finally:
        listener.close()


class RunningPage(NamedTuple):
    """A page that runs, and where it can be reached."""

    process: Process
    port: int
    config: Path

    def listen(self) -> Listener:
        return Listener(self.port)

    def browser(self, user: str | None = None) -> Browser:
        browser = Browser(self.port)
        if user is not None:
            assert browser.log_in(user).status == 200
        return browser


StartPage = Callable[..., RunningPage]


def said_connected(port: int) -> bool | None:
    """What the page says of its connection to the broker; `None` if it does not answer."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", "/api/stations")
            return b'"connected":true' in connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return None
