"""The shift report says what the parts say, in one file that needs nothing else."""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from archive_parts import NOON, Fed, part, parts, settings
from bridge_parts import defect
from sqlalchemy import Engine
from station_parts import status

from edge_inspect.edge.archive.message_rows import Row
from edge_inspect.edge.archive.picture_place import PicturePlace
from edge_inspect.edge.archive.report_figures import MOST_OF_ROUTINE, StationFigures, read_figures
from edge_inspect.edge.archive.report_page import write_page
from edge_inspect.edge.archive.report_pictures import read_pictures
from edge_inspect.edge.archive.span import Span, last_shift
from edge_inspect.edge.archive.writer import StoredMessage
from edge_inspect.edge.cli import main
from edge_inspect.edge.contract.examples import examples
from edge_inspect.edge.contract.ids import format_uuid7
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
    cut = ("The newest 2 of this time", "of the newest 4 of all stations")
    with filled.connect() as connection:
        page = write_page(read_figures(connection, SHIFT), NOON)
        assert not any(words in page for words in cut)
        for module in ("report_figures", "report_page"):
            monkeypatch.setattr(f"edge_inspect.edge.archive.{module}.MOST_EVENTS", 2)
            monkeypatch.setattr(f"edge_inspect.edge.archive.{module}.MOST_POSITIONS", 4)
        page = write_page(read_figures(connection, SHIFT), NOON)
    assert all(words in page for words in cut) and page.count("The newest 2 of this time") == 1


def test_the_command_writes_the_last_shift(
    filled: Engine,
    database: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, file = tmp_path / "archive.yaml", tmp_path / "report.html"
    config.write_text(settings(database, tmp_path).model_dump_json(exclude_unset=True))
    # The parts have times of their own, and the last shift depends on the day on which the test runs.
    shift = NOON - timedelta(hours=8), NOON
    monkeypatch.setattr("edge_inspect.edge.archive.span.last_shift", lambda now, times: shift)
    assert main(["archive", "report", str(file), "--config", str(config)]) == 0
    assert "report.html: 1 parts" in capsys.readouterr().err and file.read_text().startswith("<!doctype html>")
    span = ["--since", "2026-11-30T12:00Z", "--until", "2026-11-30T20:00Z"]
    assert main(["archive", "report", str(file), "--config", str(config), *span]) == 0
    assert "report.html: 65 parts" in capsys.readouterr().err
    span[1] = "2026-11-30T12:01Z"
    assert main(["archive", "report", str(file), "--config", str(config), *span]) == 2
    assert "--since 2026-11-30T12:01:00+00:00: parts are counted by five minutes" in capsys.readouterr().err


def _text_of(page: str) -> str:
    return re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL))


def _command(second: int, **fields: Any) -> list[tuple[str, bytes]]:
    """A command and its answer."""
    at = NOON + timedelta(seconds=second)
    identity = format_uuid7(round(at.timestamp() * 1000), second)
    done = fields.pop("done", True)
    reply = Reply(
        boot_id="b", sequence=1, command_id=identity, command=fields["command"], at=at, done=done,
        refusal=None if done else "busy", reason=None if done else f"refused {second}",
    )  # fmt: skip
    command = {"id": identity, "by": "plc", **fields}
    return [("command", json.dumps(command).encode()), ("reply", reply.to_json())]


def test_commands_are_shown_with_their_argument_and_triggers_hide_none(engine: Engine) -> None:
    sent: list[tuple[str, bytes]] = []
    sent += _command(1, command="recipe", name="bolt-7")
    sent += _command(2, command="threshold", value=0.625)
    sent += _command(3, command="threshold", value=None)
    sent += _command(4, command="bundle", name="flange-2", digest="ab" * 32)
    sent += _command(5, command="shadow", parts=300)
    for second in range(10, 260):
        sent += _command(second, command="trigger", part_id="SN-1")
        sent += _command(second + 1000, command="trigger", done=False)
    Fed(engine).give_raw(sent)
    with engine.connect() as connection:
        figures = read_figures(connection, SHIFT)
    assert [row.command for row in figures.commands[:5]] == ["recipe", "threshold", "threshold", "bundle", "shadow"]
    assert [row.reason for row in figures.commands[5:]] == [
        f"refused {1260 - n}" for n in range(MOST_OF_ROUTINE, 0, -1)
    ]
    text = _text_of(write_page(figures, NOON))
    for words in ("bolt-7", "0.625", "the bundle's own", f"flange-2, digest {'ab' * 6} ", "parts 300", "left out"):
        assert words.replace("'", "&#x27;") in text, words


def test_a_long_list_is_cut_at_its_earliest(filled: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_inspect.edge.archive.report_figures.MOST_EVENTS", 1)
    with filled.connect() as connection:
        figures = read_figures(connection, SHIFT)
    assert [(row.before, row.after) for row in figures.changes] == [("0.75", "0.5")]


def test_outcomes_are_said_in_plain_words_and_nothing_missing_is_0(engine: Engine) -> None:
    lone = part(1, ok=False, score=0.1, reason="view_missing")
    Fed(engine).give([lone, defect(lone), part(2, ok=False, score=0.0, not_found="upside_down", reason="not_found")])
    with engine.connect() as connection:
        page = write_page(read_figures(connection, SHIFT), NOON)
    text = _text_of(page)
    assert "view_missing" not in text and "upside_down" not in text
    assert text.count("a view was missing") == text.count("the part was upside down") == 2
    assert page.count('<td class="number">0</td></tr>') == 1


def _store_picture(engine: Engine, place: PicturePlace, identity: str, *, mapped: bool = True) -> None:
    """Store a grey picture of 640x480, and a map that is high in its right half."""
    levels = np.zeros((240, 320), np.uint8)
    levels[:, 160:] = 255
    grey = np.full((480, 640, 3), 128, np.uint8)
    files = [("picture", cv2.imencode(".jpg", grey)), ("map", cv2.imencode(".png", levels))][: 1 + mapped]
    rows = []
    for kind, (_, data) in files:
        place.write(f"{identity}.{kind}", bytes(data))
        rows.append(Row("pictures", {"id": identity, "kind": kind, "place": f"{identity}.{kind}", "bytes": len(data)}))
    Fed(engine).writer.write([StoredMessage("plant/line1/a", rows)], lambda key: {"newest": 1})


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_stored_pictures_are_shown_small_with_their_map(engine: Engine, tmp_path: Path, kind: str) -> None:
    place = str(tmp_path / "pictures") if kind == "folder" else f"memory://{tmp_path.name}"
    made = [part(number, ok=False, score=0.9 - number / 100) for number in range(1, 6)]
    fed = Fed(engine)
    view = {"name": "top", "id": made[1].id, "ok": False}
    joint = part(6, ok=False, score=0.95).model_dump(mode="json") | {"views": [{"id": "x'"}, 7, view]}
    own = defect(made[3]).model_copy(update={"thumbnail": base64.b64encode(b"own").decode()})
    fed.give([*made, own])
    fed.give_raw([("verdict", json.dumps(joint).encode())], "plant/line1/joint")
    opened = PicturePlace(place)
    _store_picture(engine, opened, made[0].id)
    _store_picture(engine, opened, made[1].id, mapped=False)
    _store_picture(engine, opened, made[2].id)
    opened.write(f"{made[2].id}.picture", b"damaged")
    with engine.connect() as connection:
        figures = read_figures(connection, SHIFT)
        pictures = read_pictures(connection, place, figures.rejects)
    assert {key: len(found) for key, found in pictures.of_parts.items()} == {
        made[0].id: 2, made[1].id: 1, joint["id"]: 1,
    }  # fmt: skip
    plain, mapped = (cv2.imdecode(np.frombuffer(each, np.uint8), 1) for each in pictures.of_parts[made[0].id])
    assert plain.shape == mapped.shape == (264, 352, 3)
    assert mapped[100, 300, 2] > 180 > 150 > mapped[100, 50, 2]
    page = write_page(figures, NOON, pictures)
    assert page.count("<img") == 5 and base64.b64encode(b"own").decode() in page
    assert "No picture of 2 of these 6 parts is shown" in page and f"{made[2].id}.picture: " in page


def test_without_pictures_one_sentence_says_why(filled: Engine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = {}
    _store_picture(filled, PicturePlace(str(tmp_path)), part(10).id)
    with filled.connect() as connection:
        figures = read_figures(connection, SHIFT)
        for place in (None, str(tmp_path / "file"), "nowhere://a"):
            page = write_page(figures, NOON, read_pictures(connection, place, figures.rejects))
            assert "<img" not in page
            said[place] = re.findall("No picture of these parts is shown: ([^<]*)", page)
    assert ["no key &#x27;pictures&#x27;" in each for each in said[None]] == [True]
    assert said[str(tmp_path / "file")] == [f"{tmp_path}/file cannot be read: Not a directory."]
    assert len(said["nowhere://a"]) == 1


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
