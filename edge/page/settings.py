"""The page's configuration: the stations that it shows, where it listens, and where it keeps its files."""

from __future__ import annotations

import ipaddress
import re
from datetime import time
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator, model_validator

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings, of_subscriber
from edge_inspect.edge.configuration.section import Host, Level, Section
from edge_inspect.edge.configuration.station_patterns import Pattern
from edge_inspect.edge.page.proxies import LOOPBACK, Proxies


def _clock_time(text: str) -> str:
    if re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text) is None:
        raise ValueError(f"{text!r} is no time of day; write hours and minutes in quotes, such as '06:00'")
    return text


def _network(text: str) -> str:
    Proxies([text])
    return text


Network = Annotated[str, AfterValidator(_network)]
ClockTime = Annotated[str, AfterValidator(_clock_time)]


class ListenSettings(Section):
    """The address at which browsers reach the page, and TLS."""

    host: Host = Field(default="127.0.0.1", description="address to listen on; '::' and 0.0.0.0 are all addresses")
    port: int = Field(default=8460, ge=1, le=65535, description="TCP port to listen on")
    certificate: Path | None = Field(
        default=None,
        description="PEM file with the certificate for TLS, with its chain; if $CREDENTIALS_DIRECTORY is set, a "
        "relative file name is looked up in that folder",
    )
    key: Path | None = Field(default=None, description="PEM file with the certificate's private key")
    behind_proxy: bool = Field(
        default=False,
        description="true: a proxy does TLS, sets X-Forwarded-For and X-Forwarded-Proto, and passes Host on; only the "
        "proxies can then connect",
    )
    proxies: list[Network] = Field(
        default=list(LOOPBACK),
        min_length=1,
        max_length=64,
        description="addresses or networks of the proxies, such as 192.0.2.7 or 192.0.2.0/24; default: this box",
    )

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this box can connect."""
        try:
            return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def address(self) -> str:
        """The address of the page, for the log."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self.certificate is None else 'https'}://{host}:{self.port}"

    @model_validator(mode="after")
    def _passwords_are_not_sent_in_the_clear(self) -> ListenSettings:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("'certificate' and 'key' belong together; give both for TLS, or neither")
        if not self.is_loopback and self.certificate is None and not self.behind_proxy:
            raise ValueError(
                f"host: {self.host} can be reached from other computers, and passwords would cross the network "
                "unencrypted; give 'certificate' and 'key', or set behind_proxy: true if a proxy does TLS, or set "
                "host: 127.0.0.1"
            )
        if self.behind_proxy and not self.is_loopback and self.proxies == list(LOOPBACK):
            raise ValueError(
                f"behind_proxy: the proxies are expected on this box only, but host: {self.host} is for others; name "
                "the addresses of the proxies in 'proxies', or set host: 127.0.0.1"
            )
        return self


class PageSettings(Section):
    """The whole configuration file of the page."""

    name: Level = Field(
        default="page",
        description="name of the page, which is part of its MQTT client id; give two pages on one box two names",
    )
    mqtt: MqttSettings = Field(default_factory=MqttSettings)
    stations: list[Pattern] = Field(
        default=["+/+/+"],
        min_length=1,
        max_length=256,
        description="stations to show, as site/line/station; '+' in place of a name stands for every name",
    )
    listen: ListenSettings = Field(default_factory=ListenSettings)
    users: Path = Field(
        default=Path("/etc/edge-inspect/page-users.yaml"),
        description="file with the users, which `edge-inspect page-user add` writes",
    )
    display_without_login: bool = Field(
        default=False,
        description="true: everyone who reaches the page may look at it without login, as a wall display does; only "
        "users who have logged in may change anything",
    )
    session_hours: float = Field(
        default=12.0, gt=0, le=24 * 31, description="hours after which a user has to log in again"
    )
    data: Path = Field(
        default=Path("/var/lib/edge-inspect-page"),
        description="folder for the counters, labels, received pictures and the audit log; it is created if it is "
        "missing",
    )
    received_bytes: int = Field(
        default=2 * 2**30,
        ge=2**20,
        le=2**50,
        description="largest size of the pictures received over MQTT that are kept on disk, in bytes; beyond it the "
        "oldest are deleted",
    )
    evidence: list[Path] = Field(
        default_factory=list,
        max_length=64,
        description="folders with the evidence of stations on this box; the page reads them and changes nothing there",
    )
    bundles: Path | None = Field(
        default=None,
        description="folder of the bundles that stations load (bundles.folder of the service); teaching writes new "
        "bundles there; default: none, so no bundle can be chosen and nothing can be taught",
    )
    signing_key: Path | None = Field(
        default=None,
        description="file with the private key that signs the bundles made by teaching; default: they are not signed",
    )
    shifts: list[ClockTime] = Field(
        default=["06:00", "14:00", "22:00"],
        min_length=1,
        max_length=24,
        description="times of day, in this box's time zone, at which a shift begins and its counters start at 0",
    )
    texts: Path | None = Field(
        default=None, description="translated copy of the page's texts.json; default: the texts are English"
    )

    @field_validator("mqtt")
    @classmethod
    def _json_alone(cls, mqtt: MqttSettings) -> MqttSettings:
        return of_subscriber(mqtt, "page")

    @field_validator("stations")
    @classmethod
    def _stations_differ(cls, stations: list[str]) -> list[str]:
        if len(set(stations)) < len(stations):
            raise ValueError("a station is named twice; name each station once")
        return stations

    @field_validator("shifts")
    @classmethod
    def _shifts_rise(cls, shifts: list[str]) -> list[str]:
        if sorted(set(shifts)) != shifts:
            raise ValueError("must rise from morning to night without repeats, such as ['06:00', '14:00', '22:00']")
        return shifts

    @property
    def shift_times(self) -> list[time]:
        """The times of day at which shifts begin, in rising order."""
        return [time.fromisoformat(text) for text in self.shifts]
