"""One connection of a station that uses Sparkplug B.

Sparkplug sends births and data with QoS 0, which brokers do not acknowledge. But a verdict must not leave the outbox
before the broker has it. So each message is confirmed in the same way as `Session` does for a broker with QoS 0 only.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

from paho.mqtt.client import Client, ConnectFlags
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import BaseModel, ValidationError

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.contract.commands import ReturnAddress
from edge_inspect.edge.mqtt.broker import Terms
from edge_inspect.edge.mqtt.in_flight import Token
from edge_inspect.edge.mqtt.problem import ConnectionProblem
from edge_inspect.edge.mqtt.session import LastWill, OnMessage, Session
from edge_inspect.edge.mqtt.sparkplug.node import COMMAND, NAMESPACE, REBIRTH, EdgeNode
from edge_inspect.edge.mqtt.sparkplug.payload import PayloadError, decode

log = logging.getLogger(__name__)

# A metric has a longer name than a JSON field, and its own timestamp. So a payload may be larger than JSON by this.
_LARGER_THAN_JSON = 1024
_WITH_WILL = 0x04
# Messages that the contract sends with QoS 0 need no confirmation.
_UNCONFIRMED = ("health", "image")


class _HostState(BaseModel):
    online: bool
    timestamp: int


class SparkplugSession(Session):
    """One connection. It sends its birth when the broker is connected and the primary host, if configured, is online.

    Args:
        client_id: MQTT client id of the station.
        terms: Terms of the connection.
        settings: Settings of the connection.
        node: Edge node of the station.
        newest: Returns the sequence number of the station's newest part.
        on_command: Called with each command, inside `turn`; `None`: the station receives no commands.

    Raises:
        ConnectionProblem: The connection cannot be made, or has ended; every method raises it.
    """

    def __init__(
        self,
        client_id: str,
        terms: Terms,
        settings: MqttSettings,
        node: EdgeNode,
        newest: Callable[[], int],
        on_command: OnMessage | None = None,
    ) -> None:
        self._node, self._newest, self._on_command = node, newest, on_command
        self._host = settings.primary_host
        subscriptions = {node.topic("NCMD"): self._take_command}
        if self._host is not None:
            subscriptions[f"{NAMESPACE}/STATE/{self._host}"] = self._take_host_state
        will = LastWill(node.topic("NDEATH"), node.will(), of_contract=False)
        super().__init__(client_id, terms, settings, will, subscriptions)
        node.connect()

    def limit(self, size: int, schema: str | None = "verdict") -> int | None:
        """Return the broker's packet limit if a message of this size in JSON may be above it in Sparkplug."""
        return super().limit(size + _LARGER_THAN_JSON, schema)

    def send(self, schema: str, topic: str, payload: bytes, token: Token, back: ReturnAddress | None = None) -> None:
        """Send a message of the contract as NDATA, or an offline status as NDEATH. `back` is ignored."""
        if schema == "status" and json.loads(payload)["state"] == "offline":
            self._send_death(token)
            return
        if schema == "image":
            data = self._node.picture(topic.rsplit("/", 1)[-1], payload)
        else:
            data = self._node.data(schema, payload)
        # Without data, no metric has changed since the birth.
        if data is not None:
            self._publish(self._node.topic("NDATA"), data, 0)
        if schema in _UNCONFIRMED:
            self.in_flight.let_settle(token)
        else:
            self._confirmations.expect(token, self._node.topic("NDATA"), self._window)

    def _on_connect(
        self, client: Client, userdata: object, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        super()._on_connect(client, userdata, flags, reason, properties)
        if not self.connected:
            return
        # Nothing may be sent before the birth. The broker's receive maximum applies only to QoS 1, so it is ignored.
        self.connected, self._window = False, self._settings.window
        if self._host is None:
            self._send_birth(self._newest())
        else:
            log.info("%s: the birth waits until the primary host %s is online", self._node.topic("NBIRTH"), self._host)

    def _on_confirmed(
        self, client: Client, userdata: object, mid: int, reasons: list[ReasonCode], properties: Properties | None
    ) -> None:
        super()._on_confirmed(client, userdata, mid, reasons, properties)
        self._node.confirm_birth()

    def _take_command(self, payload: bytes, retained: bool, back: ReturnAddress | None) -> None:
        try:
            metrics = decode(payload)
        except PayloadError as error:
            log.warning("%s: ignoring %s", self._node.topic("NCMD"), error)
            return
        for name, value in metrics:
            if name == REBIRTH and value is True:
                if self.connected:
                    self._send_birth()
            elif name == COMMAND and isinstance(value, str) and self._on_command is not None:
                self._on_command(value.encode(), retained, None)
            else:
                log.warning(
                    "%s: ignoring %r written to %r; only %s (true) and %s (a text) can be written",
                    self._node.topic("NCMD"),
                    value,
                    name,
                    REBIRTH,
                    COMMAND,
                )

    def _take_host_state(self, payload: bytes, retained: bool, back: ReturnAddress | None) -> None:
        """Take a STATE message of the primary host; one that is older than an earlier one is ignored."""
        try:
            state = _HostState.model_validate_json(payload)
        except ValidationError:
            log.warning(
                "%s/STATE/%s: ignoring %r, which is not a STATE message of Sparkplug 3",
                NAMESPACE,
                self._host,
                payload[:80],
            )
            return
        if state.timestamp < self._node.host_heard_at:
            return
        self._node.host_heard_at = state.timestamp
        if state.online and not self.connected:
            self._send_birth(self._newest())
        elif not state.online and self.connected:
            self._send_death()
            self._disconnect()
            self._problem = ConnectionProblem(f"the primary host {self._host} is offline")

    def _send_birth(self, newest: int | None = None) -> None:
        payload = self._node.birth(newest)
        limit = super().limit(len(self._node.topic("NBIRTH").encode()) + len(payload))
        if limit is not None:
            self._problem = ConnectionProblem(
                f"the birth has {len(payload)} bytes, but the broker's packet limit is {limit} bytes; raise its limit",
                slow=True,
            )
            return
        self._publish(self._node.topic("NBIRTH"), payload, 0)
        self.connected = True

    def _send_death(self, token: Token = ("death", 0)) -> None:
        topic = self._node.topic("NDEATH")
        number = self._publish(topic, self._node.death(), 1)
        if number is not None:
            self._await(1, number, token, topic)

    def _disconnect(self) -> None:
        # tck-id-payloads-ndeath-will-message-publisher-disconnect-mqtt50
        self._client.disconnect(ReasonCode(PacketTypes.DISCONNECT, identifier=_WITH_WILL) if self._is_5 else None)
