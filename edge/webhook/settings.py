"""The configuration of the webhook: which messages go to which web servers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from edge_inspect.edge.bundle.web_address import WebAddress
from edge_inspect.edge.configuration.mqtt_settings import MqttSettings, of_subscriber
from edge_inspect.edge.configuration.outbox_settings import MOST_BYTES, OutboxSettings
from edge_inspect.edge.configuration.section import Level, Section
from edge_inspect.edge.configuration.station_patterns import Pattern
from edge_inspect.edge.webhook.body import BodyTemplate

_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_OWN_HEADERS = {"host", "content-length", "content-type", "transfer-encoding", "connection", "idempotency-key"}


def address_of(url: str) -> WebAddress:
    """Return the address to which messages are posted.

    Raises:
        ValueError: The text is no URL that all programs read alike; the message says what to write instead.
    """
    is_root = re.fullmatch(r"https?://[^/?#]+/?", url) is not None
    return WebAddress.parse_prefix(url) if is_root else WebAddress.parse(url)


class TargetSettings(Section):
    """A web server that gets messages."""

    name: Level = Field(description="name of the target, for the log, the status and the outbox")
    url: str = Field(description="URL to which messages are posted; http or https, without a user name")
    send: Literal["verdicts", "defects"] = Field(
        default="verdicts",
        description="verdicts: one message for each part; defects: one for each rejected part, with its regions",
    )
    only_rejected: bool = Field(default=False, description="true: leave out the verdicts of accepted parts")
    secret_file: Path | None = Field(
        default=None,
        description="file with the secret that signs requests: whsec_ and at least 24 bytes in base64, as libraries of "
        "Standard Webhooks expect, or a text of at least 24 bytes, which is the key itself; if "
        "$CREDENTIALS_DIRECTORY is set, a relative file name is looked up in that folder; default: not signed",
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM file with the CAs of the server's certificate; default: the CAs that this system trusts",
    )
    headers: dict[str, str] = Field(default_factory=dict, max_length=16, description="more headers of each request")
    template: str | None = Field(
        default=None,
        max_length=65536,
        description="body of a request, in which $part_id and other fields are filled in; default: the message itself",
    )
    content_type: str = Field(
        default="application/json",
        max_length=128,
        description="type of the body; if it contains json, fields are filled in as JSON, else as text",
    )
    timeout_s: float = Field(default=10.0, gt=0, le=300, description="longest time of a request, in seconds")
    backoff_cap_s: float = Field(
        default=60.0, gt=0, le=3600, description="longest pause before a request is repeated, in seconds"
    )

    @property
    def body(self) -> BodyTemplate:
        """The template of the body."""
        return BodyTemplate(self.template, is_json="json" in self.content_type.lower())

    @field_validator("url")
    @classmethod
    def _url_is_one(cls, url: str) -> str:
        try:
            address_of(url)
        except ValueError as error:
            raise ValueError(f"{url!r} {error}") from error
        return url

    @field_validator("headers")
    @classmethod
    def _headers_can_be_sent(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if _HEADER.fullmatch(name) is None or not (value.isascii() and value.isprintable()):
                raise ValueError(f"{name!r}: a header has letters, digits and '-', and a value of printable ASCII")
            if name.lower() in _OWN_HEADERS or name.lower().startswith("webhook-"):
                raise ValueError(f"{name!r} is set by the program itself; leave it out")
        return headers

    @field_validator("content_type")
    @classmethod
    def _type_can_be_sent(cls, text: str) -> str:
        if not (text.isascii() and text.isprintable()):
            raise ValueError(f"{text!r} is no content type; write one such as application/json")
        return text

    @model_validator(mode="after")
    def _template_can_be_filled(self) -> TargetSettings:
        self.body.check()
        return self


class WebhookOutboxSettings(OutboxSettings):
    """The outbox in which messages wait for the web servers."""

    path: Path = Field(
        default=Path("/var/lib/edge-inspect-webhook/outbox.db"),
        description="SQLite file of the outbox; its folder must exist; refused messages are written beside it",
    )
    history_bytes: int = Field(default=0, ge=0, le=MOST_BYTES, description="delivered messages are not kept")


class WebhookHealthSettings(Section):
    """The health of the webhook over HTTP."""

    http_port: int | None = Field(
        default=None, ge=1, le=65535, description="port on 127.0.0.1 for /healthz and /metrics; default: none"
    )


class WebhookSettings(Section):
    """The whole configuration file of the webhook."""

    name: Level = Field(
        default="webhook",
        description="name of the webhook, which is part of its MQTT client id; give two webhooks on one box two names",
    )
    stations: list[Pattern] = Field(
        min_length=1,
        max_length=256,
        description="stations whose messages are posted, as site/line/station; '+' stands for every name",
    )
    targets: list[TargetSettings] = Field(min_length=1, max_length=16, description="the web servers")
    mqtt: MqttSettings = Field(default_factory=MqttSettings)
    outbox: WebhookOutboxSettings = Field(default_factory=WebhookOutboxSettings)
    health: WebhookHealthSettings = Field(default_factory=WebhookHealthSettings)

    @property
    def dead_letters(self) -> Path:
        """Path of the file with the messages that were refused."""
        return self.outbox.path.with_suffix(".refused.jsonl")

    @field_validator("mqtt")
    @classmethod
    def _json_alone(cls, mqtt: MqttSettings) -> MqttSettings:
        return of_subscriber(mqtt, "webhook")

    @field_validator("targets")
    @classmethod
    def _targets_differ(cls, targets: list[TargetSettings]) -> list[TargetSettings]:
        names = [target.name for target in targets]
        for number, name in enumerate(names):
            if (first := names.index(name)) < number:
                raise ValueError(f"targets {first} and {number} have the same name, {name!r}; give each its own")
        return targets
