"""The tables of the archive, for SQLAlchemy. The migrations make them; a test checks that both agree.

    stations, bundles           names, each with the number that stands for it in the other tables
    verdicts, defects, regions  one row a part; a rejected part; one of its regions
    labels                      what people said about parts
    states, commands, replies   what stations said of themselves, what they were told, and what they answered
    changes                     from which part on another bundle, threshold or recipe was in force
    pictures                    where the pictures and maps of parts are
    counts                      parts by five minutes, station, bundle, recipe and outcome

In PostgreSQL, `verdicts`, `defects` and `regions` are partitioned by month (months.py). All three have the id of the
verdict as key, a UUIDv7, which begins with its time. So the id alone decides in which partition a row lies, and one
primary key makes every part unique over all partitions.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import postgresql


class Moment(TypeDecorator[datetime]):
    """An aware time. SQLite stores no time zone, so it gets UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Return the time to store."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(timezone.utc).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Return the stored time, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)


Id = String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")
Json = JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")

METADATA = MetaData()
PARTITIONED = ("verdicts", "defects", "regions")
"""Tables that PostgreSQL partitions by the month of their ids."""


def _station() -> Column[int]:
    return Column("station_id", Integer, nullable=False)


stations = Table(
    "stations",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("site", Text, nullable=False),
    Column("line", Text, nullable=False),
    Column("station", Text, nullable=False),
    # How far the station was followed: newest part stored, newest announced, parts missing now, parts lost for ever.
    Column("newest", BigInteger, nullable=False, server_default=text("0")),
    Column("announced", BigInteger, nullable=False, server_default=text("0")),
    Column("missing", BigInteger, nullable=False, server_default=text("0")),
    Column("lost", BigInteger, nullable=False, server_default=text("0")),
    Column("heard_at", Moment),
    Column("followed", Json),
    UniqueConstraint("site", "line", "station", name="stations_name"),
)

bundles = Table(
    "bundles",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    UniqueConstraint("digest", "name", name="bundles_name"),
)

verdicts = Table(
    "verdicts",
    METADATA,
    Column("id", Id, primary_key=True),
    _station(),
    Column("sequence", BigInteger, nullable=False),
    Column("boot_id", Text, nullable=False),
    Column("part_id", Text),
    Column("captured_at", Moment, nullable=False),
    Column("decided_at", Moment, nullable=False),
    Column("ok", Boolean, nullable=False),
    Column("shadow", Boolean, nullable=False),
    Column("score", Double, nullable=False),
    Column("threshold", Double, nullable=False),
    Column("bundle_id", Integer, nullable=False),
    Column("recipe", Text),
    Column("precision", Text, nullable=False),
    Column("engine", Text, nullable=False),
    Column("latency_ms", Double, nullable=False),
    Column("frame_width", Integer, nullable=False),
    Column("frame_height", Integer, nullable=False),
    Column("area_name", Text),
    Column("reason", Text),
    Column("not_found", Text),
    # Fields without a column: `views` of a joint part, and those of a later release.
    Column("more", Json),
    Index("verdicts_station_time", "station_id", "decided_at"),
    Index(
        "verdicts_part",
        "part_id",
        postgresql_where=text("part_id IS NOT NULL"),
        sqlite_where=text("part_id IS NOT NULL"),
    ),
    Index("verdicts_rejected", "decided_at", postgresql_where=text("NOT ok"), sqlite_where=text("NOT ok")),
    postgresql_partition_by="RANGE (id)",
)

defects = Table(
    "defects",
    METADATA,
    Column("id", Id, primary_key=True),
    Column("region_count", Integer, nullable=False),
    # JPEG in base64, as the message has it.
    Column("thumbnail", Text),
    postgresql_partition_by="RANGE (id)",
)

regions = Table(
    "regions",
    METADATA,
    Column("id", Id, primary_key=True),
    Column("number", Integer, primary_key=True),
    _station(),
    Column("decided_at", Moment, nullable=False),
    Column("x", Integer, nullable=False),
    Column("y", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("area_px", Integer, nullable=False),
    Column("area_mm2", Double),
    Column("peak", Double, nullable=False),
    # The centroid as a share of the frame's width and height, from 0 to 1.
    Column("across", Double, nullable=False),
    Column("down", Double, nullable=False),
    Column("area_name", Text),
    Index("regions_time", "decided_at", "station_id"),
    postgresql_partition_by="RANGE (id)",
)

labels = Table(
    "labels",
    METADATA,
    Column("id", Id, primary_key=True),
    Column("verdict_id", Id, nullable=False),
    _station(),
    Column("at", Moment, nullable=False),
    Column("by_whom", Text, nullable=False),
    Column("word", Text),
    Column("defect_class", Text),
    Column("picture_sha256", Text, nullable=False),
    Index("labels_verdict", "verdict_id", "at"),
    Index("labels_time", "at"),
)

states = Table(
    "states",
    METADATA,
    Column("id", Id, primary_key=True),
    _station(),
    Column("at", Moment, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("version", Text),
    Index("states_time", "station_id", "at"),
)

commands = Table(
    "commands",
    METADATA,
    Column("id", Id, primary_key=True),
    _station(),
    Column("command", Text, nullable=False),
    Column("by_whom", Text),
    Column("fields", Json),
)

replies = Table(
    "replies",
    METADATA,
    Column("id", Id, primary_key=True),
    _station(),
    Column("command_id", Id),
    Column("command", Text),
    Column("at", Moment, nullable=False),
    Column("done", Boolean, nullable=False),
    Column("refusal", Text),
    Column("reason", Text),
    Column("fields", Json),
    Index("replies_time", "station_id", "at"),
)

changes = Table(
    "changes",
    METADATA,
    # The first part to which the new value applied.
    Column("id", Id, primary_key=True),
    Column("kind", Text, primary_key=True),
    _station(),
    Column("at", Moment, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("before", Text),
    Column("after", Text),
    Index("changes_time", "station_id", "at"),
)

pictures = Table(
    "pictures",
    METADATA,
    Column("id", Id, primary_key=True),
    Column("kind", Text, primary_key=True),
    _station(),
    Column("place", Text, nullable=False),
    Column("bytes", Integer, nullable=False),
)

counts = Table(
    "counts",
    METADATA,
    Column("at", Moment, primary_key=True),
    Column("station_id", Integer, primary_key=True, autoincrement=False),
    Column("bundle_id", Integer, primary_key=True, autoincrement=False),
    Column("recipe", Text, primary_key=True),
    Column("ok", Boolean, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("parts", BigInteger, nullable=False),
    Column("score_sum", Double, nullable=False),
    Column("latency_ms_sum", Double, nullable=False),
    Column("latency_ms_max", Double, nullable=False),
)
