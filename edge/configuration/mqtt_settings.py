"""The section `mqtt` of a configuration: the broker, and how messages are encoded."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from edge_inspect.edge.configuration.section import Host, Level, Section


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


class TlsSettings(Section):
    """TLS to the broker, version 1.2 or newer.

    If $CREDENTIALS_DIRECTORY is set, relative file names are looked up in that folder.
    """

    ca_file: Path | None = Field(
        default=None, description="PEM file of the CA to trust; default: the CAs that this system trusts"
    )
    certificate: Path | None = Field(default=None, description="PEM file of this box's certificate, for mutual TLS")
    key: Path | None = Field(
        default=None, description="PEM file of this box's private key, for mutual TLS; it must have no passphrase"
    )

    @model_validator(mode="after")
    def _certificate_needs_key(self) -> TlsSettings:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("mutual TLS needs both 'certificate' and 'key'; give both or neither")
        return self


class HomeAssistantSettings(Section):
    """Home Assistant's MQTT discovery, in which each station is a device."""

    announce: bool = Field(
        default=True,
        description="true: announce each station to Home Assistant as a device; false: remove the devices that were "
        "announced before",
    )
    prefix: Level = Field(
        default="homeassistant", description="discovery prefix that Home Assistant is configured with"
    )


class MqttSettings(Section):
    """The connection to the broker."""

    host: Host = Field(default="localhost", description="name or address of the broker")
    port: int = Field(
        default=1883, ge=1, le=65535, description="port of the broker; default: 1883, or 8883 if tls is given"
    )
    tls: TlsSettings | None = Field(
        default=None, description="TLS to the broker; default: the connection is not encrypted"
    )
    username: str | None = Field(default=None, min_length=1, description="user name of this box at the broker")
    password_file: Path | None = Field(
        default=None,
        description="file with the password, read anew at every connect; if $CREDENTIALS_DIRECTORY is set, a relative "
        "file name is looked up in that folder",
    )
    client_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="MQTT client id, for brokers with rules for client ids; {site}, {line} and {station} stand for the "
        "names in the station's topics, and every station needs an id of its own; a station with pictures "
        "connects a second time, with -pictures after its id; default: an id made of these names and the id of the box",
    )
    protocol: Literal["auto", "5", "3.1.1"] = Field(
        default="auto",
        description="MQTT version; auto: 5, or 3.1.1 if the broker does not answer an MQTT 5 connect within a second",
    )
    retain: bool = Field(
        default=True,
        description="whether status and health are retained messages; set false if the broker refuses retained "
        "messages",
    )
    keepalive_s: int = Field(
        default=30,
        ge=5,
        le=3600,
        description="MQTT keep-alive in seconds; a connection that is silent for longer counts as lost",
    )
    connect_timeout_s: float = Field(
        default=5.0,
        gt=0,
        le=60,
        description="timeout in seconds for the TCP connection, and again for the broker's answer to the connect",
    )
    acknowledge_timeout_s: float = Field(
        default=20.0,
        gt=0,
        le=3600,
        description="timeout in seconds for the broker to acknowledge a message; then the connection is made anew",
    )
    backoff_cap_s: float = Field(
        default=30.0, gt=0, le=3600, description="longest back-off between two attempts to connect, in seconds"
    )
    window: int = Field(
        default=64, ge=1, le=10_000, description="largest number of messages that are sent but not yet acknowledged"
    )
    message_expiry_s: int | None = Field(
        default=None,
        ge=1,
        le=0xFFFFFFFE,
        description="how many seconds the broker keeps a verdict for a subscriber that is offline (MQTT 5); default: "
        "without limit",
    )
    encoding: Literal["json", "sparkplug_b"] = Field(
        default="json",
        description="how messages are encoded; json: JSON on the topics of docs/mqtt; sparkplug_b: Sparkplug B, each "
        "station is an edge node",
    )
    primary_host: Level | None = Field(
        default=None,
        description="id of the Sparkplug primary host; nothing is sent while that host is offline; default: none",
    )
    home_assistant: HomeAssistantSettings | None = Field(
        default=None, description="announcing the stations to Home Assistant; default: they are not announced"
    )

    @model_validator(mode="before")
    @classmethod
    def _port_follows_tls(cls, data: Any) -> Any:
        if isinstance(data, dict) and "port" not in data and data.get("tls") is not None:
            return {**data, "port": 8883}
        return data

    @field_validator("protocol", mode="before")
    @classmethod
    def _protocol_may_be_a_number(cls, value: Any) -> Any:
        # YAML reads 5 as a number.
        return "5" if type(value) in (int, float) and value == 5 else value

    @field_validator("client_id")
    @classmethod
    def _client_id_can_be_sent(cls, text: str | None) -> str | None:
        if text is not None:
            if not text.isprintable():
                raise ValueError(f"{text!r} holds a character that cannot be printed; leave it out")
            if left := set(re.findall(r"{[^{}]*}|[{}]", text)) - {"{site}", "{line}", "{station}"}:
                raise ValueError(
                    f"{text!r} holds {', '.join(sorted(left))}; only {{site}}, {{line}} and {{station}} are filled in"
                )
        return text

    @model_validator(mode="after")
    def _password_needs_username(self) -> MqttSettings:
        if self.password_file is not None and self.username is None:
            raise ValueError("'password_file' is given without 'username'; give both or neither")
        return self

    @model_validator(mode="after")
    def _encoding_can_be_used(self) -> MqttSettings:
        if self.encoding == "json":
            if self.primary_host is not None:
                raise ValueError(
                    "'primary_host' belongs to Sparkplug; set encoding to sparkplug_b, or leave primary_host out"
                )
        elif self.home_assistant is not None:
            raise ValueError("'home_assistant' needs JSON; set encoding to json, or leave home_assistant out")
        elif not _is_installed("google.protobuf"):
            raise ValueError("encoding sparkplug_b needs protobuf: pip install 'edge-inspect[sparkplug]'")
        return self


def of_subscriber(mqtt: MqttSettings, program: str) -> MqttSettings:
    """Return the settings unchanged if a program that follows stations can use them.

    Args:
        mqtt: The settings.
        program: Name of the program, for the message.

    Raises:
        ValueError: The settings are for a station only.
    """
    if mqtt.encoding != "json" or mqtt.home_assistant is not None:
        raise ValueError(
            f"the {program} reads only JSON and announces nothing to Home Assistant; leave out encoding and "
            "home_assistant"
        )
    if mqtt.client_id is not None and "{" in mqtt.client_id:
        raise ValueError(
            f"client_id: {mqtt.client_id!r} has a placeholder for a station's name, which the {program} does not "
            "have; leave out the braces"
        )
    return mqtt
