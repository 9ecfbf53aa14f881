"""Home Assistant's MQTT discovery: a station as one device with its sensors, read from the topics of the contract.

One retained message per station (device discovery, Home Assistant 2024.11 or newer) describes the sensors and how to
read them from the contract's JSON. Home Assistant needs nothing else: status and health are retained, so their sensors
have a value at once. See https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from typing import Any, get_args

from paho.mqtt.client import Client, ConnectFlags
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_inspect.edge import __version__
from edge_inspect.edge.configuration.mqtt_settings import HomeAssistantSettings, MqttSettings
from edge_inspect.edge.contract.commands import ReturnAddress, Verb
from edge_inspect.edge.contract.messages import State
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.mqtt.broker import Terms
from edge_inspect.edge.mqtt.session import LastWill, OnMessage, Session

Component = dict[str, Any]

BUTTONS: dict[Verb, tuple[str, str]] = {
    "trigger": ("Trigger", "mdi:camera-iris"),
    "pause": ("Pause", "mdi:pause"),
    "resume": ("Resume", "mdi:play"),
    "snapshot": ("Take a snapshot", "mdi:camera"),
}
"""Name and icon of each command that needs no field but an id."""
# A template with which Home Assistant makes a UUIDv7 from its own clock when the button is pressed, so each press is a
# new command. Home Assistant's templates have now(), and ranges up to 100,000.
_NEW_ID = (
    "{% set ms = '%012x' % ((now().timestamp() * 1000) | int) %}"
    "{{ ms[:8] }}-{{ ms[8:] }}-7{{ '%03x' % (range(4096) | random) }}-8{{ '%03x' % (range(4096) | random) }}-"
    + 3
    * "{{ '%04x' % (range(65536) | random) }}"
)


_REASON = "{{ {'reason': value_json.reason} | tojson }}"


class Discovery:
    """The announcement of one station to Home Assistant.

    Args:
        topics: Topics of the station.
        settings: Prefix of Home Assistant's topics, and whether the device is announced or removed.
        buttons: Commands that the station carries out; those among `BUTTONS` become buttons.
    """

    def __init__(self, topics: Topics, settings: HomeAssistantSettings, buttons: Collection[Verb] = ()) -> None:
        self._topics, self._buttons = topics, buttons
        # A discovery topic allows fewer characters than a name. The hash distinguishes names that become equal.
        name = re.sub(r"[^a-zA-Z0-9]+", "_", f"{topics.site}_{topics.line}_{topics.station}")
        self._device = f"{name}_{hashlib.sha256(topics.prefix.encode()).hexdigest()[:8]}"
        self.topic = f"{settings.prefix}/device/{self._device}/config"
        """Topic of the announcement, which is retained."""
        self.status_topic = f"{settings.prefix}/status"
        """Topic on which Home Assistant publishes `online` when it has started."""
        self.payload = self._announcement() if settings.announce else b""
        """The announcement; an empty one removes the device."""

    def _announcement(self) -> bytes:
        components = self._components()
        for key, component in components.items():
            component["unique_id"] = f"{self._device}_{key}"
        # A button that was announced earlier and is not any more is removed by an entry with its platform only.
        components |= {verb: {"platform": "button"} for verb in BUTTONS if verb not in components}
        components.setdefault("last_command", {"platform": "sensor"})
        announcement = {
            "device": {
                "identifiers": [self._device],
                "name": f"{self._topics.line} {self._topics.station}",
                "manufacturer": "edge-inspect",
                "model": "inspection station",
                "sw_version": __version__,
                "suggested_area": self._topics.site,
            },
            "origin": {"name": "edge-inspect", "sw_version": __version__},
            "availability_topic": self._topics.status,
            "availability_template": "{{ 'offline' if value_json.state == 'offline' else 'online' }}",
            "components": components,
        }
        return json.dumps(announcement, ensure_ascii=False, separators=(",", ":")).encode()

    def _components(self) -> dict[str, Component]:
        status, verdict = self._topics.status, self._topics.verdict
        return {
            "state": _sensor("State", status, "state", device_class="enum", options=list(get_args(State)))
            | {
                "json_attributes_topic": status,
                "json_attributes_template": _REASON,
            },
            "rejected_part": {
                "platform": "binary_sensor",
                "name": "Last part rejected",
                "state_topic": verdict,
                "value_template": "{{ 'OFF' if value_json.ok else 'ON' }}",
                "device_class": "problem",
            },
            # A value for every part fills Home Assistant's database, so this sensor is off until somebody enables it.
            "score": _sensor(
                "Score", verdict, "score", precision=3, state_class="measurement", enabled_by_default=False
            ),
            "picture": {
                "platform": "image",
                "name": "Snapshot",
                "image_topic": f"{self._topics.prefix}/image/+",
                "content_type": "image/jpeg",
            },
            **self._health(),
            **self._commands(),
        }

    def _commands(self) -> dict[str, Component]:
        made: dict[str, Component] = {verb: self._button(verb) for verb in BUTTONS if verb in self._buttons}
        if not made:
            return {}
        value = "{{ value_json.command }}: {{ 'done' if value_json.done else value_json.refusal }}"
        last = {
            "platform": "sensor",
            "name": "Last command",
            "state_topic": self._topics.reply,
            "value_template": value,
            "json_attributes_topic": self._topics.reply,
            "json_attributes_template": _REASON,
            "entity_category": "diagnostic",
        }
        return {**made, "last_command": last}

    def _button(self, verb: Verb) -> Component:
        name, icon = BUTTONS[verb]
        fields = f'"contract":1,"command":"{verb}","id":"{_NEW_ID}","by":"home-assistant"'
        return {
            "platform": "button",
            "name": name,
            "icon": icon,
            "command_topic": self._topics.command,
            "command_template": f"{{{fields}}}",
            "qos": 1,
        }

    def _health(self) -> dict[str, Component]:
        health = self._topics.health
        counted: dict[str, Any] = {"precision": 0, "state_class": "total_increasing"}
        counts = {
            f"parts_{count}": _sensor(f"Parts {count}", health, f"frames.{count}", **counted)
            for count in ("inspected", "accepted", "rejected")
        }
        about = {
            key: _sensor(name, health, path, entity_category="diagnostic")
            for key, name, path in (
                ("bundle", "Bundle", "bundle.name"),
                ("engine", "Engine", "engine"),
                ("precision", "Precision", "precision"),
            )
        }
        measured: dict[str, Any] = {"state_class": "measurement", "entity_category": "diagnostic"}
        p95 = "latency_ms.p95 if value_json.latency_ms else None"
        return {
            **counts,
            "frames_dropped": _sensor("Frames dropped", health, "frames.dropped", **counted),
            "rate": _sensor(
                "Rate", health, "fps", precision=1, state_class="measurement", unit_of_measurement="parts/s"
            ),
            "waiting": _sensor("Messages waiting", health, "outbox.entries", precision=0, **measured),
            "threshold": _sensor("Threshold", health, "threshold", precision=3, **measured),
            "latency": _sensor(
                "Latency, 95th percentile",
                health,
                p95,
                precision=1,
                unit_of_measurement="ms",
                device_class="duration",
                **measured,
            ),
            "temperature": _sensor(
                "Temperature",
                health,
                "temperature_c",
                precision=1,
                unit_of_measurement="°C",
                device_class="temperature",
                **measured,
            ),
            **about,
        }


class DiscoverySession(Session):
    """One connection that announces its station when it is made, and whenever Home Assistant has started.

    Args:
        client_id: MQTT client id of the station.
        terms: Terms of the connection.
        settings: Settings of the connection.
        will: Last will.
        subscriptions: Topics to subscribe to, each with the function that gets its messages.
        discovery: Announcement of the station.
    """

    def __init__(
        self,
        client_id: str,
        terms: Terms,
        settings: MqttSettings,
        will: LastWill,
        subscriptions: Mapping[str, OnMessage],
        discovery: Discovery,
    ) -> None:
        self._discovery = discovery
        heard = {**subscriptions, discovery.status_topic: self._hear}
        super().__init__(client_id, terms, settings, will, heard)

    def _on_connect(
        self, client: Client, userdata: object, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        super()._on_connect(client, userdata, flags, reason, properties)
        if self.connected:
            self._announce()

    def _hear(self, payload: bytes, retained: bool, back: ReturnAddress | None) -> None:
        if payload == b"online":
            self._announce()

    def _announce(self) -> None:
        # QoS 0, because a broker that does not let this user announce must not delay the verdicts.
        self._publish(self._discovery.topic, self._discovery.payload, 0, retain=True)


def _sensor(name: str, topic: str, path: str, *, precision: int | None = None, **more: Any) -> Component:
    """Return a sensor that shows one field of a message; if the field is null, the sensor is unknown.

    Args:
        name: Name of the sensor.
        topic: Topic of the message.
        path: Path of the field in the message.
        precision: Number of decimals to show, for a number.
        more: Further fields of Home Assistant's description of the sensor.
    """
    template = f"{{{{ value_json.{path} }}}}"
    if precision is not None:
        more["suggested_display_precision"] = precision
    return {"platform": "sensor", "name": name, "state_topic": topic, "value_template": template, **more}
