"""The files of a fetch: below its folder whatever a station is called, one folder each, readable by programs."""

from __future__ import annotations

import csv
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.reports import EvidenceRow, LogLine
from edge_inspect.edge.fleet.station_files import folder_of, safe_name, write_evidence, write_log

AT = datetime(2026, 11, 30, 4, 5, 6, tzinfo=timezone.utc)
NAMES = st.text(min_size=1, max_size=64).filter(lambda name: "/" not in name) | st.sampled_from([".", "..", "%2E", "~"])


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        *((".", "%2E"), ("..", "%2E%2E"), (".ssh", "%2Essh"), ("press-1", "press-1"), ("prüf 3", "prüf 3")),
        *(("a\\..\\b", "a%5C..%5Cb"), ("%2E", "%252E"), ("C:", "C%3A"), ("end.", "end%2E"), ("\x1b[2J", "%1B[2J")),
    ],
)
def test_unsafe_characters_are_escaped(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@settings(deadline=None)
@given(st.lists(NAMES, min_size=3, max_size=3), st.lists(NAMES, min_size=3, max_size=3))
def test_every_station_has_a_folder_of_its_own_below_the_fetch(one: list[str], other: list[str]) -> None:
    out = Path("/out")
    folders = [folder_of(out, "/".join(names)) for names in (one, other)]
    for folder in folders:
        assert folder.parent.parent.parent == out and ".." not in folder.parts
        assert all(0 < len(part.encode()) <= 255 for part in folder.parts)
    assert (folders[0] == folders[1]) == (one == other)


@pytest.mark.parametrize("name", ["\U0001f527" * 64, "." * 64, "ü" * 64, "%" * 64])
def test_a_long_name_can_be_that_of_a_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / safe_name(name)).mkdir()
    assert safe_name(name) != safe_name(name[:-1] + "x")


def test_the_log_and_the_index(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "plant/../a")
    write_log(folder, ["--- 3 lines are not kept ---", LogLine(number=4, at=AT, text="INFO x: red \x1b[31m")])
    assert (folder / "log.txt").read_text() == (
        "--- 3 lines are not kept ---\n2026-11-30T04:05:06.000000Z INFO x: red \\x1b[31m\n"
    )
    row = EvidenceRow(
        id=uuid7(), at=AT, ok=False, score=0.1, files=("2026-11-30/a/maps/1.png", "2026-11-30/a/b, c.png")
    )
    write_evidence(folder, [row, row])
    write_evidence(folder, [row])
    with (folder / "evidence.csv").open(newline="") as file:
        (found,) = csv.DictReader(file)
    assert found == {
        "time": "2026-11-30T04:05:06.000000Z",
        "id": row.id,
        "ok": "false",
        "score": "0.1",
        "files": "2026-11-30/a/maps/1.png 2026-11-30/a/b, c.png",
    }
    assert sorted(path.name for path in folder.iterdir()) == ["evidence.csv", "log.txt"]
