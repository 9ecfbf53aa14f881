"""The tables of the first release. edge/archive/tables.py says what each is for."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

# The types of the tables as they were then; tables.py may change, this module may not.
ID = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")
TIME = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
NO: Any = {"nullable": False}
ZERO: Any = {"nullable": False, "server_default": sa.text("0")}
BY_MONTH: Any = {"postgresql_partition_by": "RANGE (id)"}

NEWEST_LABELS = """
CREATE VIEW newest_labels AS SELECT * FROM labels AS given WHERE NOT EXISTS (
    SELECT 1 FROM labels AS later WHERE later.verdict_id = given.verdict_id
    AND (later.at > given.at OR (later.at = given.at AND later.id > given.id)))
"""


def upgrade() -> None:
    """Create the tables, the partitions for ids without a month, and the view of the newest labels."""
    _create_names()
    _create_parts()
    _create_messages()
    _create_counts()
    if op.get_bind().dialect.name == "postgresql":
        for table in ("verdicts", "defects", "regions"):
            op.execute(f"CREATE TABLE {table}_other PARTITION OF {table} DEFAULT")
    op.execute(NEWEST_LABELS)


def _create_names() -> None:
    op.create_table(
        "stations",
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.Text, **NO) for name in ("site", "line", "station")),
        *(sa.Column(name, sa.BigInteger, **ZERO) for name in ("newest", "announced", "missing", "lost")),
        sa.Column("heard_at", TIME),
        sa.Column("followed", JSON),
        sa.UniqueConstraint("site", "line", "station", name="stations_name"),
    )
    op.create_table(
        "bundles",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, **NO),
        sa.Column("digest", sa.Text, **NO),
        sa.UniqueConstraint("digest", "name", name="bundles_name"),
    )


def _create_parts() -> None:
    op.create_table(
        "verdicts",
        sa.Column("id", ID, primary_key=True),
        sa.Column("station_id", sa.Integer, **NO),
        sa.Column("sequence", sa.BigInteger, **NO),
        sa.Column("boot_id", sa.Text, **NO),
        sa.Column("part_id", sa.Text),
        sa.Column("captured_at", TIME, **NO),
        sa.Column("decided_at", TIME, **NO),
        sa.Column("ok", sa.Boolean, **NO),
        sa.Column("shadow", sa.Boolean, **NO),
        sa.Column("score", sa.Double, **NO),
        sa.Column("threshold", sa.Double, **NO),
        sa.Column("bundle_id", sa.Integer, **NO),
        sa.Column("recipe", sa.Text),
        sa.Column("precision", sa.Text, **NO),
        sa.Column("engine", sa.Text, **NO),
        sa.Column("latency_ms", sa.Double, **NO),
        sa.Column("frame_width", sa.Integer, **NO),
        sa.Column("frame_height", sa.Integer, **NO),
        *(sa.Column(name, sa.Text) for name in ("area_name", "reason", "not_found")),
        sa.Column("more", JSON),
        **BY_MONTH,
    )
    op.create_index("verdicts_station_time", "verdicts", ["station_id", "decided_at"])
    op.create_index("verdicts_part", "verdicts", ["part_id"], **_where("part_id IS NOT NULL"))
    op.create_index("verdicts_rejected", "verdicts", ["decided_at"], **_where("NOT ok"))
    op.create_table(
        "defects",
        sa.Column("id", ID, primary_key=True),
        sa.Column("region_count", sa.Integer, **NO),
        sa.Column("thumbnail", sa.Text),
        **BY_MONTH,
    )
    op.create_table(
        "regions",
        sa.Column("id", ID, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("station_id", sa.Integer, **NO),
        sa.Column("decided_at", TIME, **NO),
        *(sa.Column(name, sa.Integer, **NO) for name in ("x", "y", "width", "height", "area_px")),
        sa.Column("area_mm2", sa.Double),
        *(sa.Column(name, sa.Double, **NO) for name in ("peak", "across", "down")),
        sa.Column("area_name", sa.Text),
        **BY_MONTH,
    )
    op.create_index("regions_time", "regions", ["decided_at", "station_id"])


def _create_messages() -> None:
    op.create_table(
        "labels",
        sa.Column("id", ID, primary_key=True),
        sa.Column("verdict_id", ID, **NO),
        sa.Column("station_id", sa.Integer, **NO),
        sa.Column("at", TIME, **NO),
        sa.Column("by_whom", sa.Text, **NO),
        sa.Column("word", sa.Text),
        sa.Column("defect_class", sa.Text),
        sa.Column("picture_sha256", sa.Text, **NO),
    )
    op.create_index("labels_verdict", "labels", ["verdict_id", "at"])
    op.create_index("labels_time", "labels", ["at"])
    op.create_table(
        "states",
        sa.Column("id", ID, primary_key=True),
        sa.Column("station_id", sa.Integer, **NO),
        sa.Column("at", TIME, **NO),
        sa.Column("state", sa.Text, **NO),
        sa.Column("reason", sa.Text),
        sa.Column("version", sa.Text),
    )
    op.create_index("states_time", "states", ["station_id", "at"])
    op.create_table(
        "commands",
        sa.Column("id", ID, primary_key=True),
        sa.Column("station_id", sa.Integer, **NO),
        sa.Column("command", sa.Text, **NO),
        sa.Column("by_whom", sa.Text),
        sa.Column("fields", JSON),
    )
    op.create_table(
        "replies",
        sa.Column("id", ID, primary_key=True),
        sa.Column("station_id", sa.Integer, **NO),
        sa.Column("command_id", ID),
        sa.Column("command", sa.Text),
        sa.Column("at", TIME, **NO),
        sa.Column("done", sa.Boolean, **NO),
        sa.Column("refusal", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("fields", JSON),
    )
    op.create_index("replies_time", "replies", ["station_id", "at"])
    op.create_table(
        "changes",
        sa.Column("id", ID, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("station_id", sa.Integer, **NO),
        sa.Column("at", TIME, **NO),
        sa.Column("sequence", sa.BigInteger, **NO),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
    )
    op.create_index("changes_time", "changes", ["station_id", "at"])
    op.create_table(
        "pictures",
        sa.Column("id", ID, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("station_id", sa.Integer, **NO),
        sa.Column("place", sa.Text, **NO),
        sa.Column("bytes", sa.Integer, **NO),
    )


def _create_counts() -> None:
    op.create_table(
        "counts",
        sa.Column("at", TIME, primary_key=True),
        sa.Column("station_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("bundle_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("recipe", sa.Text, primary_key=True),
        sa.Column("ok", sa.Boolean, primary_key=True),
        sa.Column("outcome", sa.Text, primary_key=True),
        sa.Column("parts", sa.BigInteger, **NO),
        *(sa.Column(name, sa.Double, **NO) for name in ("score_sum", "latency_ms_sum", "latency_ms_max")),
    )


def _where(condition: str) -> dict[str, Any]:
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}
