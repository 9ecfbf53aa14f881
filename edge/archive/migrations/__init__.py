"""The migrations of the archive's tables, by Alembic, and the function that runs them.

versions/  one module a migration
"""

from __future__ import annotations

from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from edge_inspect.edge.errors import UsageError

# Any number that no other program locks. Two archives that start at the same time must not both migrate.
_LOCK = 0x65646765


def newest_revision() -> str:
    """Return the revision of the tables that this release uses."""
    head = _scripts().get_current_head()
    assert head is not None
    return head


def current_revision(connection: Connection) -> str | None:
    """Return the revision of the tables in the database; `None` if it has none yet."""
    return MigrationContext.configure(connection).get_current_revision()


def migrate(connection: Connection) -> list[str]:
    """Bring the tables to the newest revision, inside the caller's transaction; return the revisions that were run.

    Raises:
        UsageError: A later release has made the tables.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    scripts, context = _scripts(), MigrationContext.configure(connection)
    current = context.get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise UsageError(
            f"the tables are of revision {current}, and this release knows {newest_revision()} as the newest; "
            "install the later release that has made them"
        )
    done = []
    with Operations.context(context):
        for script in reversed(list(scripts.iterate_revisions(newest_revision(), current or "base"))):
            script.module.upgrade()
            context.stamp(scripts, script.revision)
            done.append(script.revision)
    return done


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(Path(__file__).parent))
