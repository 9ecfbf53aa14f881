"""The archive's configuration: the stations that it follows, its database, and what it keeps for how long."""

from __future__ import annotations

from datetime import time
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator, model_validator

from edge_inspect.edge.archive.database_url import check_url
from edge_inspect.edge.configuration.mqtt_settings import MqttSettings, of_subscriber
from edge_inspect.edge.configuration.section import Level, Section
from edge_inspect.edge.configuration.station_patterns import Pattern
from edge_inspect.edge.page.settings import ClockTime

INTERVAL_S = 300
"""Length of the intervals by which parts are counted, in seconds. Shifts begin, and reports end, at such times."""
DatabaseUrl = Annotated[str, AfterValidator(check_url)]


class ArchiveSettings(Section):
    """The whole configuration file of the archive."""

    name: Level = Field(
        default="archive",
        description="name of the archive, which is part of its MQTT client id; give two archives on one box two names",
    )
    mqtt: MqttSettings = Field(default_factory=MqttSettings)
    stations: list[Pattern] = Field(
        default=["+/+/+"],
        min_length=1,
        max_length=256,
        description="stations to follow, as site/line/station; '+' in place of a name stands for every name",
    )
    database: DatabaseUrl = Field(
        description="where the rows go: postgresql://USER@HOST/DATABASE, or sqlite:////var/lib/... for a file of this "
        "box; parameters of libpq such as ?sslmode=verify-full&sslrootcert=FILE may follow"
    )
    password_file: Path | None = Field(
        default=None,
        description="file with the password of the database's user; if $CREDENTIALS_DIRECTORY is set, a relative file "
        "name is looked up in that folder",
    )
    data: Path = Field(
        default=Path("/var/lib/edge-inspect-archive"),
        description="folder that keeps what tells this archive's MQTT client id from others; it is created if it is "
        "missing",
    )
    keep_days: int | None = Field(
        default=None,
        ge=1,
        le=36_500,
        description="days for which parts, defects and pictures are kept; older ones are deleted by whole months, "
        "counts, labels and changes are kept; default: everything is kept",
    )
    pictures: str | None = Field(
        default=None,
        description="folder, or URL that fsspec can open such as s3://BUCKET/FOLDER, to which the pictures and maps "
        "of parts go that stations publish (their setting pictures), and the report shows; default: none is stored",
    )
    shifts: list[ClockTime] = Field(
        default=["06:00", "14:00", "22:00"],
        min_length=1,
        max_length=24,
        description="times of day, in this box's time zone, at which a shift begins, for the report; the minutes "
        "are a multiple of 5",
    )
    http_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="port on 127.0.0.1 of /healthz and of Prometheus' /metrics; default: none",
    )

    @field_validator("mqtt")
    @classmethod
    def _json_alone(cls, mqtt: MqttSettings) -> MqttSettings:
        return of_subscriber(mqtt, "archive")

    @field_validator("shifts")
    @classmethod
    def _begin_with_an_interval(cls, shifts: list[str]) -> list[str]:
        for shift in shifts:
            if time.fromisoformat(shift).minute % (INTERVAL_S // 60):
                raise ValueError(f"{shift}: parts are counted by five minutes; write a time such as 06:00 or 06:05")
        return shifts

    @model_validator(mode="after")
    def _file_needs_no_password(self) -> ArchiveSettings:
        if self.password_file is not None and self.database.startswith("sqlite"):
            raise ValueError("'password_file' is given, but an SQLite file has no password; leave it out")
        return self

    @property
    def sqlite_file(self) -> Path | None:
        """The SQLite file; `None` for PostgreSQL."""
        return Path(self.database.removeprefix("sqlite:///")) if self.database.startswith("sqlite") else None

    @property
    def shift_times(self) -> list[time]:
        """The times of day at which shifts begin, in rising order."""
        return sorted(map(time.fromisoformat, self.shifts))
