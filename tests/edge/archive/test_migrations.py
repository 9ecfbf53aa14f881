"""The migrations make the tables that the program uses, once, and leave a later release's alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from archive_parts import settings
from sqlalchemy import Engine, inspect, text

from edge_inspect.edge.archive.database import open_database
from edge_inspect.edge.archive.migrations import current_revision, migrate, newest_revision
from edge_inspect.edge.archive.tables import METADATA
from edge_inspect.edge.errors import UsageError


def test_the_migrations_make_the_tables_that_the_program_uses(engine: Engine) -> None:
    ours = set(METADATA.tables)

    def is_ours(thing: object, name: str | None, kind: str, reflected: bool, other: object) -> bool:
        return kind != "table" or name in ours  # the partitions are tables too

    with engine.connect() as connection:
        options = {"compare_type": True, "include_object": is_ours}
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), METADATA)
        assert differences == []
        assert current_revision(connection) == newest_revision()
    assert "newest_labels" in inspect(engine).get_view_names()


def test_a_second_run_changes_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        assert migrate(connection) == []


def test_a_failed_migration_leaves_nothing_behind(database: str, tmp_path: Path) -> None:
    made = open_database(settings(database, tmp_path))
    with pytest.raises(RuntimeError), made.begin() as connection:
        migrate(connection)
        raise RuntimeError
    assert inspect(made).get_table_names() == []
    with made.begin() as connection:
        assert migrate(connection) == [newest_revision()]
    made.dispose()


def test_tables_of_a_later_release_are_refused(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(UsageError, match="revision 9999"), engine.begin() as connection:
        migrate(connection)
