"""The shift report says what the parts say, in one file that needs nothing else."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from archive_parts import NOON, Fed, part, parts, settings
from bridge_parts import defect
from sqlalchemy import Engine
from station_parts import status

from edge_inspect.edge.archive.report_figures import StationFigures, read_figures
from edge_inspect.edge.archive.report_page import write_page
from edge_inspect.edge.archive.span import Span, last_shift
from edge_inspect.edge.cli import main
from edge_inspect.edge.contract.examples import examples
from edge_inspect.edge.contract.replies import Reply

SHIFT = Span(NOON, NOON + timedelta(hours=8))
EVIL = '<script>alert("x")</script>'


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """Two stations: 60 parts with 6 rejected ones, labels, a change; and one with a gap."""
    made = parts(60, part_id=EVIL)
    bad = [each for each in made if not each.ok]
    glare = part(61, ok=False, score=0.0, not_found="glare", reason="not_found", area_name="rim")
    fed = Fed(engine)
    fed.give([*made, glare, defect(glare), part(62, threshold=0.75), part(63, shadow=True, score=0.9)])
    fed.give([part(1, NOON + timedelta(minutes=9)), part(4, NOON + timedelta(minutes=10))], "plant/line1/b")
    label: Any = examples()["label"][0]
    at = NOON + timedelta(hours=1)
    said = {"verdict": bad[0], "word": "defect", "defect_class": "dent", "id": made[0].id}
    fed.give([label.model_copy(update={**said, "at": at})])
    fed.give([label.model_copy(update={"verdict": made[2], "word": "good", "at": at, "id": made[1].id})])
    pause = Reply(boot_id="b", sequence=1, command_id=label.id, command="pause", at=at, done=True)
    fed.give([status("paused").model_copy(update={"at": at, "reason": EVIL}), pause])
    fed.give_raw([("command", f'{{"id": "{label.id}", "command": "pause", "by": "hmi-2"}}'.encode())])
    fed.give([part(1000, NOON - timedelta(hours=5))], "plant/line1/early")
    return engine


def test_the_figures_are_those_of_the_parts(filled: Engine) -> None:
    with filled.connect() as connection:
        figures = read_figures(connection, SHIFT)
    a, b = figures.stations
    assert (a.station, b.station) == ("plant/line1/a", "plant/line1/b")
    assert (a.parts, a.rejected, a.in_shadow, b.parts) == (63, 7, 1, 2)
    assert a.outcomes == {"defect": 6, "glare": 1} and a.areas == {"rim": 1}
    assert a.labels == {("defect", False): 1, ("good", True): 1} and a.classes == {"dent": 1}
    assert a.bundles == {"flange": 63} and sum(parts for parts, _ in a.timeline.values()) == 63
    assert len(a.positions) == 6 and a.latency_ms == pytest.approx((1.0, 1.0))
    assert len(figures.rejects) == 7 and figures.rejects[-1].not_found == "glare"
    assert [(row.before, row.after) for row in figures.changes] == [("0.5", "0.75"), ("0.75", "0.5")]
    assert [(row.command, row.by_whom) for row in figures.commands] == [("pause", "hmi-2")]
    assert [row.state for row in figures.states] == ["paused"]
    assert {each.station: each.missing for each in figures.completeness} == {"plant/line1/a": 0, "plant/line1/b": 2}


@pytest.mark.parametrize(
    ("intervals", "minutes", "bars"),
    [(1, 5, [1]), (96, 5, [1] * 96), (97, 10, [2] * 48 + [1]), (2000, 105, [21] * 95 + [5])],
)
def test_the_chart_has_equal_steps(intervals: int, minutes: int, bars: list[int]) -> None:
    timeline = {NOON + timedelta(minutes=5 * at): (1, 0) for at in range(intervals)}
    assert StationFigures("a", timeline=timeline).bars(96) == (minutes, [(parts, 0) for parts in bars])


def test_the_page_needs_nothing_else_and_runs_nothing(filled: Engine) -> None:
    with filled.connect() as connection:
        page = write_page(read_figures(connection, SHIFT), NOON)
    assert "<script" not in page and "&lt;script&gt;" in page
    assert not re.search(r'(?:src|href)="(?!data:)', page) and "http" not in page.replace("http-equiv", "")
    text = re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL))
    for words in ("plant/line1/a", "11.11 %", "missing #2 to #3", "glare", "dent", "hmi-2", "0.75", "12:00:10"):
        assert words in text, words


def test_the_report_of_a_time_without_parts_says_so(engine: Engine) -> None:
    with engine.connect() as connection:
        page = write_page(read_figures(connection, SHIFT), NOON)
    assert "No part was inspected" in page and "no part is missing" not in page


def test_the_report_says_what_is_missing_although_no_part_came(engine: Engine) -> None:
    Fed(engine).give([part(1, NOON - timedelta(hours=1)), part(5, NOON + timedelta(hours=9))])
    with engine.connect() as connection:
        page = write_page(read_figures(connection, SHIFT), NOON)
    assert "No part was inspected" in page and "missing #2 to #4" in page


def test_the_report_says_where_it_is_cut(filled: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = ("The first 2 of this time", "of the newest 4 of all stations")
    with filled.connect() as connection:
        page = write_page(read_figures(connection, SHIFT), NOON)
        assert not any(words in page for words in cut)
        for module in ("report_figures", "report_page"):
            monkeypatch.setattr(f"edge_inspect.edge.archive.{module}.MOST_EVENTS", 2)
            monkeypatch.setattr(f"edge_inspect.edge.archive.{module}.MOST_POSITIONS", 4)
        page = write_page(read_figures(connection, SHIFT), NOON)
    assert all(words in page for words in cut) and page.count("The first 2 of this time") == 1


def test_the_command_writes_the_last_shift(
    filled: Engine, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, file = tmp_path / "archive.yaml", tmp_path / "report.html"
    config.write_text(settings(database, tmp_path).model_dump_json(exclude_unset=True))
    assert main(["archive", "report", str(file), "--config", str(config)]) == 0
    assert "report.html: 0 parts" in capsys.readouterr().err and file.read_text().startswith("<!doctype html>")
    span = ["--since", "2026-11-30T12:00Z", "--until", "2026-11-30T20:00Z"]
    assert main(["archive", "report", str(file), "--config", str(config), *span]) == 0
    assert "report.html: 65 parts" in capsys.readouterr().err
    span[1] = "2026-11-30T12:01Z"
    assert main(["archive", "report", str(file), "--config", str(config), *span]) == 2
    assert "--since 2026-11-30T12:01:00+00:00: parts are counted by five minutes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("now", "since", "until"),
    [
        ("2026-11-30 07:00", "2026-11-29 22:00", "2026-11-30 06:00"),
        ("2026-11-30 14:00", "2026-11-30 06:00", "2026-11-30 14:00"),
        ("2026-11-30 02:00", "2026-11-29 14:00", "2026-11-29 22:00"),
    ],
)
def test_the_last_shift_is_the_one_that_has_ended(now: str, since: str, until: str) -> None:
    local = [datetime.fromisoformat(each).astimezone() for each in (now, since, until)]
    assert last_shift(local[0], [time(6), time(14), time(22)]) == (local[1], local[2])
