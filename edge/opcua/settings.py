"""The configuration of the OPC UA server: its stations, where it listens, who may connect, and what it keeps."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator, model_validator

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings, of_subscriber
from edge_inspect.edge.configuration.section import Host, Level, Section
from edge_inspect.edge.configuration.station_patterns import Pattern
from edge_inspect.edge.mqtt.credentials import credential_path
from edge_inspect.edge.page.roles import Role
from edge_inspect.edge.page.users import check_name

_ALL = ("0.0.0.0", "::")


class ListenSettings(Section):
    """The address at which OPC UA clients reach the server, and the server's certificate."""

    host: Host = Field(default="127.0.0.1", description="address to listen on; '::' and 0.0.0.0 are all addresses")
    port: int = Field(default=4840, ge=1, le=65535, description="TCP port to listen on; 4840 is OPC UA's own")
    names: list[Host] = Field(
        default_factory=list,
        max_length=64,
        description="names and addresses by which clients reach this box; they are written into a certificate that "
        "the server makes itself; default: the box's name and `host`",
    )
    certificate: Path | None = Field(
        default=None,
        description="PEM file with the server's certificate, whose key is RSA; default: the server makes one in `data` "
        "and logs its fingerprint; if $CREDENTIALS_DIRECTORY is set, a relative file name is looked up in that folder",
    )
    key: Path | None = Field(default=None, description="PEM file with the certificate's private key")

    @property
    def url(self) -> str:
        """The address of the server, for the log and for clients."""
        return f"opc.tcp://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/edge-inspect"

    @property
    def hosts(self) -> list[str]:
        """The names and addresses for a certificate that the server makes itself, without repeats."""
        usual = [socket.gethostname(), *([] if self.host in _ALL else [self.host])]
        return list(dict.fromkeys(self.names or usual))

    @model_validator(mode="after")
    def _certificate_needs_key(self) -> ListenSettings:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("'certificate' and 'key' belong together; give both, or neither")
        return self


class CertificateUser(Section):
    """A user who shows a certificate instead of a password, as an MES or a SCADA system does."""

    name: Annotated[str, AfterValidator(check_name)] = Field(description="name of the user, for the audit log")
    role: Role = Field(description="viewer, operator or engineer")
    certificate: Path = Field(description="file with the user's certificate, PEM or DER")


class HistorySettings(Section):
    """The history of parts that clients can read. The oldest are deleted at whichever bound comes first."""

    parts: int = Field(
        default=100_000, ge=1, le=10_000_000, description="largest number of parts that are kept of each station"
    )
    days: float = Field(default=7.0, gt=0, le=3660, description="days for which parts are kept")


class OpcuaSettings(Section):
    """The whole configuration file of the OPC UA server."""

    name: Level = Field(
        default="opcua",
        description="name of the server, which is part of its MQTT client id and of its application URI; give two "
        "servers on one box two names",
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
        description="file with users and their passwords, which `edge-inspect page-user add` writes; it may be the "
        "page's own file",
    )
    certificate_users: list[CertificateUser] = Field(
        default_factory=list, max_length=256, description="users who show a certificate instead of a password"
    )
    trusted: Path | None = Field(
        default=None,
        description="folder with the certificates of the client programs that may connect, and of CAs that sign such "
        "certificates, PEM or DER; default: any program may connect, and users are asked for their password",
    )
    anonymous_read: bool = Field(
        default=False,
        description="true: whoever connects may read everything without a user; nobody can call a method without one",
    )
    data: Path = Field(
        default=Path("/var/lib/edge-inspect-opcua"),
        description="folder for the history, the audit log and the certificate that the server makes; it is created if "
        "it is missing",
    )
    history: HistorySettings = Field(default_factory=HistorySettings)
    stale_after_s: float = Field(
        default=30.0,
        ge=0.5,
        le=3600,
        description="seconds without a message from a station after which its values are marked as uncertain; choose "
        "at least twice the station's health_every_s",
    )

    @property
    def application_uri(self) -> str:
        """URI that names this server; its certificate contains it."""
        return f"urn:{socket.gethostname()}:edge-inspect:{self.name}"

    @field_validator("mqtt")
    @classmethod
    def _json_alone(cls, mqtt: MqttSettings) -> MqttSettings:
        return of_subscriber(mqtt, "OPC UA server")

    @field_validator("certificate_users")
    @classmethod
    def _names_differ(cls, users: list[CertificateUser]) -> list[CertificateUser]:
        names = [user.name.casefold() for user in users]
        if len(set(names)) < len(names):
            raise ValueError("a name is given twice; give every certificate a user of its own")
        return users


def nobody(settings: OpcuaSettings) -> str:
    """Return what to do where nobody can log in."""
    users = credential_path(settings.users)
    return (
        f"nobody can connect, because {users} has no users; add the first one: edge-inspect page-user add NAME "
        f"--role operator --users {users}; or set anonymous_read: true, or name certificate_users"
    )
