"""Listings as CSV and Parquet have every row of the database, with names and in UTC."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from archive_parts import NOON, STATION, Fed, parts, settings
from pyarrow import parquet
from sqlalchemy import Engine
from station_parts import status

from edge_inspect.edge.archive.listings import LISTINGS
from edge_inspect.edge.cli import main
from edge_inspect.edge.contract.examples import examples
from edge_inspect.edge.contract.fields import utc_now

Run = Callable[..., int]


@pytest.fixture
def filled(engine: Engine) -> list[Any]:
    """Fills the database; gives the parts."""
    made = parts(25, part_id='a "quoted"\nid', shadow=False)
    label: Any = examples()["label"][0]
    about = made[3]
    fed = Fed(engine)
    fed.give([*made, status("online")])
    fed.give([label.model_copy(update={"verdict": about, "word": "defect", "at": utc_now(), "defect_class": "dent"})])
    older = label.model_copy(update={"verdict": about, "word": "good", "at": NOON - timedelta(days=1)})
    fed.give([older.model_copy(update={"id": made[0].id})])
    return made


@pytest.fixture
def run(database: str, tmp_path: Path) -> Run:
    """Runs a subcommand of `archive` with the database's configuration."""
    config = tmp_path / "archive.yaml"
    config.write_text(settings(database, tmp_path).model_dump_json(exclude_unset=True))
    return lambda command, *options: main(["archive", command, *map(str, options), "--config", str(config)])


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_parts_as_csv(filled: list[Any], run: Run, tmp_path: Path) -> None:
    assert run("export", tmp_path / "parts.csv") == 0
    found = read_csv(tmp_path / "parts.csv")
    assert [row["id"] for row in found] == list(dict.fromkeys(part.id for part in filled))
    first, fourth, tenth = found[0], found[3], found[9]
    assert "/".join(first[level] for level in ("site", "line", "station")) == STATION
    assert first["decided_at"] == "2026-11-30T12:00:01.000000Z" and first["part_id"] == 'a "quoted"\nid'
    assert (first["ok"], tenth["ok"], tenth["region_count"], first["region_count"]) == ("true", "false", "1", "")
    assert (fourth["label"], fourth["label_class"], fourth["label_by"], first["label"]) == (
        "defect",
        "dent",
        "maria",
        "",
    )


@pytest.mark.parametrize("what", LISTINGS)
def test_parquet_has_the_same_as_csv(filled: list[Any], run: Run, tmp_path: Path, what: str) -> None:
    for name in ("a.csv", "a.parquet"):
        assert run("export", tmp_path / name, "--what", what) == 0
    lines, table = read_csv(tmp_path / "a.csv"), parquet.read_table(tmp_path / "a.parquet")
    assert table.num_rows == len(lines) and table.column_names == list(lines[0] if lines else table.column_names)
    for line, row in zip(lines, table.to_pylist(), strict=True):
        for name, value in row.items():
            if isinstance(value, datetime):
                assert datetime.fromisoformat(line[name].replace("Z", "+00:00")) == value
            elif isinstance(value, bool):
                assert line[name] == str(value).lower()
            else:
                assert line[name] == ("" if value is None else str(value))


def test_a_time_and_a_station_are_chosen(filled: list[Any], run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    assert run("export", file, "--since", "2026-11-30T12:00:05Z", "--until", "2026-11-30T12:00:08Z") == 0
    assert [row["sequence"] for row in read_csv(file)] == ["5", "6", "7"]
    assert run("export", file, "--station", "plant/+/b") == 0
    assert read_csv(file) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("a.xlsx",), "must end in .csv or .parquet"),
        (("no/folder/a.csv",), "cannot be written: No such file"),
    ],
)
def test_a_file_that_cannot_be_written_is_said(
    engine: Engine, run: Run, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    assert run("export", *options) == 2
    assert said in capsys.readouterr().err


def test_without_tables_the_remedy_is_said(
    database: str, run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run("export", tmp_path / "a.csv") == 2
    assert "edge-inspect archive migrate brings them there" in capsys.readouterr().err
    assert run("migrate") == run("migrate") == 0
    assert "as before" in capsys.readouterr().err
    assert run("export", tmp_path / "a.csv") == 0


def test_a_database_that_cannot_be_reached_is_said_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "archive.yaml"
    for url, words in (
        (f"postgresql://edge@/parts?host={tmp_path}", ("database postgresql://edge@/parts", "No such file")),
        (f"sqlite:///{tmp_path}/none/a.db", ("none is missing; create it",)),
    ):
        config.write_text(f"database: {url}\n")
        assert main(["archive", "check", "--config", str(config)]) == 2
        said = capsys.readouterr().err
        assert all(word in said for word in words) and said.count("\n") == 1
