"""A real broker on a free loopback port, and a subscriber that keeps what it hears."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE_S = 30.0
"""How long a test waits for what takes a tenth of a second on an idle machine."""
NO_MOSQUITTO = "no mosquitto, so nothing is delivered to a real broker: apt-get install mosquitto"


def mosquitto_program() -> str | None:
    """Where the broker's program is, which Debian puts where only root looks."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def wait_until(condition: Callable[[], Any], timeout: float = PATIENCE_S, what: str = "") -> None:
    """Wait for a condition, or fail."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout} s: {what or condition}")
        time.sleep(0.01)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """A mosquitto that can be stopped and started again on the same port."""

    def __init__(self, folder: Path, *, settings: str = "allow_anonymous true") -> None:
        found = mosquitto_program()
        if found is None:
            pytest.skip(NO_MOSQUITTO)
        self.port = free_port()
        self._log = folder / "mosquitto.log"
        config = folder / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", "max_queued_messages 100000", "user root"]
        # A subscriber's session, and what waits for it, is there again after a restart.
        lines += ["persistence true", f"persistence_location {folder}/", settings]
        config.write_text("\n".join(lines) + "\n")
        self._command = [found, "-c", str(config)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_until(self._answers, what=f"mosquitto starts; see {self._log}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)
            self._process = None

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Subscriber:
    """Collects every message under a topic; connects again by itself, and the broker keeps its session meanwhile."""

    def __init__(self, port: int, topic: str = "edge-inspect/#", **login: str) -> None:
        self.messages: list[MQTTMessage] = []
        self._ready = threading.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id=f"subscriber-{id(self)}", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.reconnect_delay_set(1, 1)
        if login:
            self._client.username_pw_set(**login)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_disconnect = lambda *_: self._ready.clear()
        self._client.on_message = lambda client, userdata, message: self.messages.append(message)
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = 600
        self._client.connect("127.0.0.1", port, clean_start=False, properties=session)
        self._client.loop_start()
        self.wait_ready()

    def wait_ready(self) -> None:
        assert self._ready.wait(PATIENCE_S), "the subscriber did not connect"

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, **properties: Any) -> None:
        """Publishes and waits for the acknowledgement; `properties` are those of MQTT 5, as ResponseTopic="a"."""
        described = Properties(PacketTypes.PUBLISH)
        for name, value in properties.items():
            setattr(described, name, value)
        self._client.publish(topic, payload, qos=1, retain=retain, properties=described).wait_for_publish(PATIENCE_S)

    def payloads(self, last_level: str) -> list[dict[str, Any]]:
        found = [message for message in list(self.messages) if message.topic.endswith("/" + last_level)]
        return [json.loads(message.payload) for message in found]

    def sequences(self, last_level: str = "verdict") -> list[int]:
        return [payload["sequence"] for payload in self.payloads(last_level)]

    def states(self) -> list[str]:
        return [payload["state"] for payload in self.payloads("status")]

    def close(self) -> None:
        end(self._client)


def end(client: Client) -> None:
    """Disconnect a client whose loop has a thread, and wait for the thread."""
    client.disconnect()
    with contextlib.suppress(AttributeError):  # paho 2.1, if the thread ends between its check and its join
        client.loop_stop()


class Between:
    """A broker's front door: hands connections on, or refuses MQTT 5, or takes packets and stays silent."""

    def __init__(self, target: int, *, refuse_5: bool = False) -> None:
        self.versions: list[int] = []
        self.silent = False
        self.cut_after: int | None = None
        """Bytes that still pass from the client; then the connection is cut, wherever in a packet that is."""
        self.slow_s = 0.0
        """How long what the client sends is on its way."""
        self._target = target
        self._refuse_5 = refuse_5
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                self._sockets.append(client)
                first = client.recv(4096)
                # Fixed header (2 bytes here), "MQTT" with its length (6), protocol level.
                level = first[first.index(b"MQTT") + 4]
                self.versions.append(level)
                if self._refuse_5 and level == 5:
                    client.sendall(b"\x20\x02\x00\x01")
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets.append(server)
                server.sendall(first)
                for source, sink, is_answer in ((client, server, False), (server, client, True)):
                    self._threads.append(threading.Thread(target=self._pump, args=(source, sink, is_answer)))
                    self._threads[-1].start()

    def _pump(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                if is_answer:
                    if not self.silent:
                        sink.sendall(data)
                    continue
                time.sleep(self.slow_s)
                if self.cut_after is not None:
                    data, self.cut_after = data[: self.cut_after], self.cut_after - len(data)
                sink.sendall(data)
                if self.cut_after is not None and self.cut_after <= 0:
                    self.cut_after = None
                    break
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_S)
        for one in self._sockets:
            one.close()
