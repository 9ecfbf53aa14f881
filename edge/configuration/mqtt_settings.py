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
    """TLS to the broker, 1.2 or newer. A relative file is looked for in $CREDENTIALS_DIRECTORY where that is set."""

    ca_file: Path | None = Field(default=None, description="PEM file of the CA to trust; default: the system's CAs")
    certificate: Path | None = Field(default=None, description="PEM file of this box's certificate, for mutual TLS")
    key: Path | None = Field(default=None, description="PEM file of this box's private key, without a passphrase")

    @model_validator(mode="after")
    def _certificate_needs_key(self) -> TlsSettings:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("mutual TLS needs both 'certificate' and 'key'; give both or neither")
        return self


class HomeAssistantSettings(Section):
    """Home Assistant's MQTT discovery: each station is a device there."""

    announce: bool = Field(default=True, description="false: the devices announced before are removed")
    prefix: Level = Field(default="homeassistant", description="Home Assistant's discovery prefix")


class MqttSettings(Section):
    """The connection to the broker."""

    host: Host = Field(default="localhost", description="name or address of the broker")
    port: int = Field(default=1883, ge=1, le=65535, description="default: 1883, or 8883 with tls")
    tls: TlsSettings | None = Field(default=None, description="leave out for a connection without TLS")
    username: str | None = Field(default=None, min_length=1, description="as the broker knows this box")
    password_file: Path | None = Field(
        default=None,
        description="file with the password, read at every connect; a relative one is looked for in "
        "$CREDENTIALS_DIRECTORY where that is set",
    )
    client_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="for brokers with rules for client ids; {site}, {line} and {station} stand for the names in the "
        "station's topics, and every station needs an id of its own; default: one that is made of these and of the box",
    )
    protocol: Literal["auto", "5", "3.1.1"] = Field(
        default="auto", description="of MQTT; auto: 5, and 3.1.1 where the broker does not answer that within a second"
    )
    retain: bool = Field(
        default=True,
        description="false: the broker is not asked to keep status and health, for brokers that keep nothing",
    )
    keepalive_s: int = Field(default=30, ge=5, le=3600, description="silence after which a connection counts as lost")
    connect_timeout_s: float = Field(
        default=5.0, gt=0, le=60, description="for the connection, and again for its answer"
    )
    acknowledge_timeout_s: float = Field(
        default=20.0, gt=0, le=3600, description="without an acknowledgement for this long the connection is made anew"
    )
    backoff_cap_s: float = Field(
        default=30.0, gt=0, le=3600, description="longest pause between two attempts to connect"
    )
    window: int = Field(default=64, ge=1, le=10_000, description="messages sent and not yet acknowledged, at most")
    message_expiry_s: int | None = Field(
        default=None, ge=1, le=0xFFFFFFFE, description="how long the broker keeps verdicts for a subscriber (MQTT 5)"
    )
    encoding: Literal["json", "sparkplug_b"] = Field(
        default="json", description="json: the contract's topics; sparkplug_b: each station is a Sparkplug edge node"
    )
    primary_host: Level | None = Field(
        default=None,
        description="id of the Sparkplug host without which nothing is sent; default: only the broker must be there",
    )
    home_assistant: HomeAssistantSettings | None = Field(
        default=None, description="announce the stations to Home Assistant; default: not"
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
                    f"{text!r} holds {', '.join(sorted(left))}; what can be put in is {{site}}, {{line}}, {{station}}"
                )
        return text

    @model_validator(mode="after")
    def _password_needs_username(self) -> MqttSettings:
        if self.password_file is not None and self.username is None:
            raise ValueError("'password_file' is given without 'username'; give both")
        return self

    @model_validator(mode="after")
    def _encoding_can_be_used(self) -> MqttSettings:
        if self.encoding == "json":
            if self.primary_host is not None:
                raise ValueError("'primary_host' is Sparkplug's; set encoding to sparkplug_b, or leave it out")
        elif self.home_assistant is not None:
            raise ValueError("'home_assistant' reads JSON; set encoding to json, or leave it out")
        elif not _is_installed("google.protobuf"):
            raise ValueError("encoding sparkplug_b needs protobuf: pip install 'edge-inspect[sparkplug]'")
        return self
