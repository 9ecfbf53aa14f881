"""Inserts rows exactly once: a row whose key is in the table is left out, and the caller learns which rows were new."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Connection, Table, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, OperationalError

Values = dict[str, Any]
Key = tuple[Any, ...]

# Up to so many rows are sent as one statement; COPY costs more than that before its first row.
_FEW = 100


def insert_for(connection: Connection, table: Table) -> Any:
    """Return an INSERT of the connection's database, which can say what is done if the key is there."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def insert_new(connection: Connection, table: Table, rows: Iterable[Values]) -> list[Values]:
    """Insert the rows whose key is not in the table yet; return them.

    Args:
        connection: Connection in a transaction.
        table: The table.
        rows: Rows, each with the same columns in the same order. Of several rows with the same key, the first counts.
    """
    keys = [column.name for column in table.primary_key]
    by_key: dict[Key, Values] = {}
    for row in rows:
        by_key.setdefault(tuple([row[key] for key in keys]), row)
    if not by_key:
        return []
    values = list(by_key.values())
    copies = connection.dialect.name == "postgresql" and len(values) > _FEW
    inserted = (_copy if copies else _insert)(connection, table, keys, values)
    return [by_key[key] for key in inserted]


def _insert(connection: Connection, table: Table, keys: Sequence[str], rows: list[Values]) -> list[Key]:
    columns = [table.c[key] for key in keys]
    statement = insert_for(connection, table).on_conflict_do_nothing().returning(*columns)
    return [tuple(row) for row in connection.execute(statement, rows)]


def _copy(connection: Connection, table: Table, keys: Sequence[str], rows: list[Values]) -> list[Key]:
    """Send the rows by COPY to a temporary table, and insert them from there."""
    names = list(rows[0])
    listed = ", ".join(f'"{name}"' for name in names)
    temporary = f"new_{table.name}"
    connection.execute(text(f"CREATE TEMP TABLE IF NOT EXISTS {temporary} (LIKE {table.name}) ON COMMIT DELETE ROWS"))
    _send(connection, f"COPY {temporary} ({listed}) FROM STDIN", table, names, rows)
    inserted = connection.execute(
        text(
            f"INSERT INTO {table.name} ({listed}) SELECT {listed} FROM {temporary} ON CONFLICT DO NOTHING "
            f"RETURNING {', '.join(keys)}"
        )
    )
    # Ids come as UUID objects, because SQLAlchemy does not know the types of these columns.
    return [tuple([str(value) if isinstance(value, UUID) else value for value in row]) for row in inserted]


def _send(connection: Connection, copy: str, table: Table, names: Sequence[str], rows: Iterable[Values]) -> None:
    """Run a COPY past SQLAlchemy, which does not know it; errors are raised as SQLAlchemy would."""
    import psycopg
    from psycopg.types.json import Jsonb

    structured = [name for name in names if isinstance(table.c[name].type, JSON)]
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(copy) as stream:
            for row in rows:
                wrapped = {name: Jsonb(row[name]) for name in structured if row[name] is not None}
                stream.write_row([wrapped.get(name, row[name]) for name in names] if wrapped else list(row.values()))
    except psycopg.DataError as error:
        raise DataError(copy, None, error) from error
    except psycopg.Error as error:
        raise OperationalError(copy, None, error) from error
