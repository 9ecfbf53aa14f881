from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge_inspect.edge.contract.topics import TOPIC_ROOT
from edge_inspect.edge.errors import CheckFailed

Message = dict[str, Any]


class Subscriber:
    """A subscriber that collects every verdict and defect, as a PLC bridge would; repeats are dropped by their id.

    Args:
        port: Port of the broker on loopback.
        on_verdict: Called with each new verdict as it arrives.

    Raises:
        CheckFailed: The broker refuses the connection, or does not answer the subscription.
    """

    def __init__(self, port: int, on_verdict: Callable[[Message], None]) -> None:
        self.verdicts: dict[str, Message] = {}
        self.defects: dict[str, Message] = {}
        self._on_verdict = on_verdict
        self._ready = threading.Event()
        # A persistent session, so that the broker keeps messages while the connection is lost.
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "demo-subscriber", clean_session=False)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{TOPIC_ROOT}/#", qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._receive
        try:
            self._client.connect("127.0.0.1", port)
        except OSError as error:
            raise CheckFailed(f"the broker on port {port} refuses a subscriber: {error}") from error
        self._client.loop_start()
        if not self._ready.wait(10):
            self._client.loop_stop()
            raise CheckFailed(f"the broker on port {port} does not answer a subscription")

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def wait_for(self, verdicts: int, seconds: float) -> None:
        """Wait until this number of verdicts has arrived, at most `seconds`."""
        deadline = time.monotonic() + seconds
        while len(self.verdicts) < verdicts and time.monotonic() < deadline:
            time.sleep(0.05)

    def _receive(self, client: mqtt.Client, data: object, message: mqtt.MQTTMessage) -> None:
        kind = message.topic.rsplit("/", 1)[-1]
        if kind == "verdict":
            verdict = json.loads(message.payload)
            if verdict["id"] not in self.verdicts:
                self.verdicts[verdict["id"]] = verdict
                self._on_verdict(verdict)
        elif kind == "defect":
            defect = json.loads(message.payload)
            self.defects[defect["id"]] = defect
