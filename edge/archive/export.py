"""Writes a listing of the archive to a file: CSV or Parquet, by the file's ending."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Connection, Double, Integer, Select
from sqlalchemy.types import TypeEngine

from edge_inspect.edge.archive.tables import Moment
from edge_inspect.edge.contract.fields import format_time
from edge_inspect.edge.errors import UsageError

_AT_ONCE = 5000
FORMATS = (".csv", ".parquet")
"""Endings of the files that can be written."""


def check_format(path: Path) -> None:
    """Check the ending of a file.

    Raises:
        UsageError: It is another one, or the package for it is missing.
    """
    if path.suffix not in FORMATS:
        raise UsageError(f"{path}: its name must end in {' or '.join(FORMATS)}")
    if path.suffix == ".parquet":
        import pyarrow  # noqa: F401  # `run_command` says what to install


def export(connection: Connection, query: Select[Any], path: Path) -> int:
    """Write the rows of a query to a file, which is there whole or not at all; return their number.

    Times are in UTC. In CSV they are written as in the messages, what is unknown is empty, and `more` and the like are
    JSON.

    Args:
        connection: Connection to the database.
        query: The query.
        path: The file; it is replaced.

    Raises:
        UsageError: The file cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        number = (_write_parquet if path.suffix == ".parquet" else _write_csv)(connection, query, beside)
        beside.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
    return number


def _batches(connection: Connection, query: Select[Any]) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows by thousands, so that a month fits into the memory."""
    result = connection.execution_options(yield_per=_AT_ONCE).execute(query)
    for partition in result.partitions():
        yield [tuple(row) for row in partition]


def _write_csv(connection: Connection, query: Select[Any], path: Path) -> int:
    number = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([column.name for column in query.selected_columns])
        for rows in _batches(connection, query):
            writer.writerows([_text(value) for value in row] for row in rows)
            number += len(rows)
    return number


def _text(value: Any) -> Any:
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _write_parquet(connection: Connection, query: Select[Any], path: Path) -> int:
    import pyarrow
    from pyarrow import parquet

    columns = list(query.selected_columns)
    schema = pyarrow.schema([(column.name, _arrow_type(pyarrow, column.type)) for column in columns])
    structured = [at for at, column in enumerate(columns) if isinstance(column.type, JSON)]
    number = 0
    with parquet.ParquetWriter(path, schema) as writer:
        for rows in _batches(connection, query):
            values = list(map(list, zip(*rows, strict=True)))
            for at in structured:
                values[at] = [None if each is None else json.dumps(each, ensure_ascii=False) for each in values[at]]
            writer.write_table(pyarrow.table(values, schema=schema))
            number += len(rows)
    return number


def _arrow_type(pyarrow: Any, type_: TypeEngine[Any]) -> Any:
    if isinstance(type_, Moment):
        return pyarrow.timestamp("us", tz="UTC")
    for kind, arrow in ((Boolean, "bool_"), (BigInteger, "int64"), (Integer, "int32"), (Double, "float64")):
        if isinstance(type_, kind):
            return getattr(pyarrow, arrow)()
    return pyarrow.string()
