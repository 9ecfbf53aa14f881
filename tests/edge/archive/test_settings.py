"""The archive's configuration: what is refused, with the remedy, and that no password is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from archive_parts import settings

from edge_inspect.edge.archive.database import open_database, place_of
from edge_inspect.edge.archive.settings import ArchiveSettings
from edge_inspect.edge.cli import main
from edge_inspect.edge.configuration.file import read_settings
from edge_inspect.edge.configuration.station_patterns import StationFilter

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("database: mysql://a@b/c", "must begin with postgresql:// or sqlite:///"),
        ("database: postgresql://user:secret@host/db", "contains a password"),
        ("database: postgresql://user@host/db?password=secret", "contains a password"),
        ("database: postgresql://user@host", "names no database"),
        ("database: 'sqlite://a.db'", "whole path"),
        ("database: sqlite:////tmp/a.db\npassword_file: secret", "an SQLite file has no password"),
        ("database: sqlite:////tmp/a.db\nkeep_days: 0", "keep_days"),
        ("database: sqlite:////tmp/a.db\nstations: [plant1]", "site/line/station"),
        ("database: sqlite:////tmp/a.db\nmqtt: {encoding: sparkplug_b}", "the archive reads only JSON"),
        ("database: sqlite:////tmp/a.db\nshifts: ['06:00', '14:03']", "14:03: parts are counted by five minutes"),
        ("stations: [+/+/+]", "database: is missing"),
    ],
)
def test_a_mistake_is_said_with_its_remedy(
    tmp_path: Path, lines: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "archive.yaml"
    config.write_text(lines + "\n")
    assert main(["archive", "run", "--config", str(config)]) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and "secret@" not in error


def test_the_password_comes_from_a_file_and_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("se:cr/et\n")
    chosen = settings("postgresql://edge@db.example/parts", tmp_path, password_file=str(tmp_path / "password"))
    engine = open_database(chosen)
    assert engine.url.password == "se:cr/et"
    assert place_of(chosen) == "postgresql://edge@db.example/parts" and "cr/et" not in repr(engine)
    engine.dispose()


def test_the_configuration_that_ships_can_be_read() -> None:
    chosen = read_settings(ROOT / "systemd" / "archive.yaml", ArchiveSettings)
    assert chosen.sqlite_file == Path("/var/lib/edge-inspect-archive/archive.db")


@pytest.mark.parametrize(
    ("patterns", "key", "follows"),
    [(["+/+/+"], "a/b/c", True), (["a/+/c"], "a/b/c", True), (["a/+/d"], "a/b/c", False)],
)
def test_patterns_choose_stations(tmp_path: Path, patterns: list[str], key: str, follows: bool) -> None:
    chosen = settings("sqlite:////tmp/a.db", tmp_path, stations=patterns)
    assert StationFilter(chosen.stations, "followed").follows(key) is follows


def test_check_names_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "archive.yaml"
    config.write_text(f"database: sqlite:///{tmp_path}/a.db\ndata: {tmp_path}/data\n")
    assert main(["check", "--archive", "--config", str(config)]) == 0
    assert "good" in capsys.readouterr().err
    config.write_text(f"database: sqlite:///{tmp_path}/none/a.db\ndata: {config}/data\n")
    assert main(["check", "--archive", "--config", str(config)]) == 2
    said = capsys.readouterr().err
    assert "database: the folder" in said and f"data: this user cannot create or write {config}/data" in said
