"""The index of a station's stored parts: all of them in order, page by page, whatever else lies in the folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspect.edge.contract.commands import Refused
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.reports import MOST_BYTES, MOST_ROWS, EvidenceRow
from edge_inspect.edge.evidence.index import list_parts

DAYS = ("2026-11-28", "2026-11-29", "2026-12-01")


def save(root: Path, day: str, station: str, *, ok: bool = False, text: str | None = None) -> str:
    """Write the verdict, the picture and the map of a part, as small as can be; return its id."""
    identity = uuid7()
    verdict = {
        "id": identity,
        "boot_id": "b",
        "sequence": 1,
        "ok": ok,
        "score": 0.75,
        "threshold": 0.5,
        "captured_at": f"{day}T10:00:00Z",
        "decided_at": f"{day}T10:00:01Z",
        "bundle": {"name": "flange", "digest": "d"},
        "precision": "fp32",
        "engine": "openvino",
        "latency_ms": 1.0,
        "frame": {"width": 8, "height": 8},
    }
    place = {"low": 0, "high": 1, "scale_x": 1, "scale_y": 1, "origin_x": 0, "origin_y": 0, "valid": [0, 0, 8, 8]}
    saved = {"station": station, "borderline": False, "verdict": verdict, "regions": [], "map": place}
    folder = root / day / station
    for name, suffix in (("good" if ok else "defects", ".jpg"), ("maps", ".png"), ("verdicts", ".json")):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / f"{identity}{suffix}").write_text("x")
    (folder / "verdicts" / f"{identity}.json").write_text(json.dumps(saved) if text is None else text)
    return identity


def all_rows(root: Path, station: str = "a") -> tuple[list[EvidenceRow], int]:
    """All rows, and the number of pages."""
    page = list_parts(root, station)
    rows, pages = list(page.parts), 1
    while page.next is not None:
        assert len(page.parts) <= MOST_ROWS and len(page.model_dump_json().encode()) < MOST_BYTES + 4096
        page = list_parts(root, station, page.next)
        rows, pages = rows + list(page.parts), pages + 1
        assert pages < 50
    return rows, pages


def test_the_rows_of_a_station(tmp_path: Path) -> None:
    ids = [save(tmp_path, day, "a", ok=day == DAYS[1]) for day in DAYS]
    save(tmp_path, DAYS[0], "b")
    save(tmp_path, "notes", "a")
    (tmp_path / DAYS[0] / "a" / "verdicts" / "notes.json").write_text("{}")
    (tmp_path / "2026-11-30").write_text("a file")
    rows, _ = all_rows(tmp_path)
    assert [row.id for row in rows] == ids and [row.ok for row in rows] == [False, True, False]
    assert rows[0].score == 0.75 and rows[0].at.isoformat() == "2026-11-28T10:00:01+00:00"
    begin = f"{DAYS[0]}/a"
    files = (f"{begin}/defects/{ids[0]}.jpg", f"{begin}/maps/{ids[0]}.png", f"{begin}/verdicts/{ids[0]}.json")
    assert rows[0].files == files
    assert list_parts(tmp_path, "c").parts == () and list_parts(tmp_path / "none", "a").next is None


@pytest.mark.parametrize("station", [".", "..", "a"])
def test_the_folder_is_that_of_the_station(tmp_path: Path, station: str) -> None:
    folder = station if station == "a" else f"_{station}"
    identity = save(tmp_path / "evidence", DAYS[0], folder)
    save(tmp_path, "evidence", "verdicts")
    assert [row.id for row in list_parts(tmp_path / "evidence", station).parts] == [identity]


def test_many_parts_come_in_pages_and_damaged_ones_are_left_out(tmp_path: Path) -> None:
    ids = [save(tmp_path, day, "a") for day in DAYS[:2] for _ in range(130)]
    for _ in range(MOST_ROWS + 10):
        save(tmp_path, DAYS[1], "a", text="{damaged")
    ids += [save(tmp_path, DAYS[2], "a")]
    rows, pages = all_rows(tmp_path)
    assert [row.id for row in rows] == ids and pages >= 3


def test_a_part_that_is_deleted_meanwhile_does_not_end_the_pages(tmp_path: Path) -> None:
    ids = [save(tmp_path, DAYS[0], "a") for _ in range(MOST_ROWS + 3)]
    page = list_parts(tmp_path, "a")
    assert page.next is not None
    last = page.parts[-1]
    for file in last.files:
        (tmp_path / file).unlink()
    following = list_parts(tmp_path, "a", page.next)
    assert [row.id for row in following.parts] == ids[len(page.parts) :] and following.next is None


@pytest.mark.parametrize(
    "cursor", ["x", "/", "2026-11-28", "2026-11-28/1", "../../etc/passwd", f"2026-11-28/../{'0' * 36}"]
)
def test_a_cursor_of_something_else_is_refused(tmp_path: Path, cursor: str) -> None:
    with pytest.raises(Refused, match=r"after: .*leave it out to begin"):
        list_parts(tmp_path, "a", cursor)


@settings(deadline=None, max_examples=30)
@given(st.text(max_size=128))
def test_any_cursor_gives_a_page_or_a_refusal(cursor: str) -> None:
    try:
        assert list_parts(Path("/nonexistent"), "a", cursor).parts == ()
    except Refused as refused:
        assert refused.refusal == "impossible"


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    long = tmp_path / ("n" * 300)
    with pytest.raises(Refused, match=r"evidence.folder cannot be read: .*[Nn]ame too long"):
        list_parts(long, "a")
