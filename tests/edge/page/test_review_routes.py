from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from evidence_parts import REGION, save
from label_parts import KEY, verdict
from page_client import Answer, Browser
from page_server import make_people, serving

from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.messages import Verdict
from edge_inspect.edge.labels.store import LabelStore
from edge_inspect.edge.page.app import make_app
from edge_inspect.edge.page.bundle_folder import BundleFolder
from edge_inspect.edge.page.command_sender import CommandSender
from edge_inspect.edge.page.drawings import Drawings
from edge_inspect.edge.page.event_stream import EventStream
from edge_inspect.edge.page.likeness import Likeness
from edge_inspect.edge.page.line_view import LineView, Received
from edge_inspect.edge.page.page import Page
from edge_inspect.edge.page.part_store import PartStore
from edge_inspect.edge.page.review import Review
from edge_inspect.edge.page.settings import PageSettings
from edge_inspect.edge.page.teaching import Teaching


class Line:
    """A page on a socket, without a broker, with evidence on disk."""

    def __init__(self, folder: Path) -> None:
        self.evidence, self.data = folder / "evidence", folder / "data"
        self.data.mkdir()
        settings = PageSettings(data=self.data, evidence=[self.evidence])
        people = make_people(folder)
        self.labels = LabelStore(self.data / "labels")
        self.parts = PartStore([self.evidence], self.data, 2**20, self.labels)
        self.likeness = Likeness(self.parts, self.data, lambda digest: None)
        self.line = LineView(settings)
        self.events: list[tuple[str, dict[str, Any]]] = []
        stream = EventStream(self.line)
        stream.send = lambda name, data: self.events.append((name, data))  # type: ignore[method-assign]
        bundles = BundleFolder(None)
        self.page = Page(
            settings=settings,
            line=self.line,
            events=stream,
            commands=CommandSender(settings.mqtt),
            bundles=bundles,
            drawings=Drawings(),
            people=people,
            audit=people.audit,
            labels=self.labels,
            parts=self.parts,
            review=Review(self.parts, self.labels, people.audit, self.likeness),
            teaching=Teaching(settings, self.labels, bundles, lambda job: None),
        )

    def close(self) -> None:
        self.likeness.close()
        self.parts.close()
        self.labels.close()

    def audit(self) -> list[dict[str, Any]]:
        return [entry for entry in reversed(self.page.audit.newest()) if entry["action"] not in ("login",)]

    def save(self, *verdicts: Verdict) -> None:
        for each in verdicts:
            save(self.evidence, each, regions=(REGION,) if each.is_rejected else ())
        self.parts.refresh()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    line = Line(tmp_path)
    yield line
    line.close()


@pytest.fixture
def port(line: Line) -> Iterator[int]:
    with serving(make_app(line.page)) as server:
        yield server.port


@pytest.fixture
def otto(port: int) -> Browser:
    browser = Browser(port)
    assert browser.log_in("otto").status == 200
    return browser


def review(browser: Browser, **wanted: Any) -> Any:
    answer = browser.get(f"/api/review?{urlencode(wanted)}")
    assert answer.status == 200, answer.body
    return answer.json()


def say(browser: Browser, of: Verdict, word: str | None, **more: Any) -> Answer:
    return browser.post("/api/labels", {"station": KEY, "id": of.id, "word": word, **more})


def test_twenty_parts_are_reviewed_and_leave_the_queue(line: Line, otto: Browser) -> None:
    parts = [verdict(number) for number in range(1, 21)]
    line.save(*parts)
    queue = review(otto, word="unlabelled", limit=8)
    assert [part["id"] for part in queue["parts"]] == [each.id for each in reversed(parts[12:])]
    assert queue["more"] and queue["counts"] == {"unlabelled": 20, "good": 0, "defect": 0, "unsure": 0}
    first = queue["parts"][0]
    assert first["station"] == KEY and first["bundle"] == {"name": "flange", "digest": "d" * 64}
    assert first["label"] is None and first["picture"] and first["map"] and first["rejected"]
    assert first["regions"][0]["bbox"] == list(REGION.bbox)
    for number, each in enumerate(parts):
        word = ("good", "defect", "unsure")[number % 3]
        answer = say(otto, each, word, **({"class": "dent"} if word == "defect" else {}))
        assert answer.status == 200, answer.body
        label = answer.json()["label"]
        assert (label["word"], label["by"], label["class"]) == (word, "otto", "dent" if word == "defect" else None)
    done = review(otto, word="unlabelled")
    assert done["parts"] == [] and not done["more"]
    assert done["counts"] == {"unlabelled": 0, "good": 7, "defect": 7, "unsure": 6}
    assert otto.get("/api/review/classes").json() == {"classes": ["dent"]}
    assert [entry["id"] for entry in line.audit()] == [each.id for each in parts]
    assert [data["id"] for name, data in line.events if name == "label"] == [each.id for each in parts]


def test_paging_by_after_shows_every_part_once(line: Line, otto: Browser) -> None:
    line.save(*(verdict(number, 0.5 + number / 7) for number in range(1, 12)))
    for order in ("new", "borderline"):
        seen: list[str] = []
        more: dict[str, str] = {}
        while True:
            found = review(otto, limit=4, order=order, **more)
            seen += [part["id"] for part in found["parts"]]
            if not found["more"]:
                break
            more = {"after": seen[-1]}
        assert len(seen) == len(set(seen)) == 11


def test_undo_gives_the_part_back(line: Line, otto: Browser) -> None:
    part = verdict(1)
    line.save(part)
    say(otto, part, "good")
    say(otto, part, "defect")
    undone = otto.post("/api/labels/undo").json()
    assert (undone["station"], undone["id"], undone["label"]["word"]) == (KEY, part.id, "good")
    assert otto.post("/api/labels/undo").json()["label"] is None
    assert review(otto, word="unlabelled")["counts"]["unlabelled"] == 1
    nothing = otto.post("/api/labels/undo")
    assert nothing.status == 409 and "nothing that could be undone" in nothing.error
    assert [entry["action"] for entry in line.audit()] == ["label", "label", "undo label", "undo label"]


def test_null_withdraws(line: Line, otto: Browser) -> None:
    part = verdict(1)
    line.save(part)
    say(otto, part, "good")
    assert say(otto, part, None).json() == {"label": None}
    assert review(otto, word="labelled")["parts"] == []


def test_a_label_keeps_the_picture_when_the_evidence_is_deleted(line: Line, otto: Browser) -> None:
    part = verdict(1)
    line.save(part)
    say(otto, part, "good")
    for path in line.evidence.rglob(f"{part.id}.*"):
        path.unlink()
    line.parts.refresh()
    (found,) = review(otto, word="good")["parts"]
    assert found["picture"] and found["map"]
    address = f"{'/'.join(map(quote, KEY.split('/')))}/{part.id}"
    assert otto.get(f"/api/pictures/{address}").body.startswith(b"\xff\xd8\xff")
    assert otto.get(f"/api/maps/{address}").body.startswith(b"\x89PNG")
    assert say(otto, part, "defect").status == 200


def test_evidence_is_served_as_jpeg_of_a_width_although_no_station_speaks(line: Line, otto: Browser) -> None:
    part = verdict(1)
    line.save(part)
    for query in ("", "?width=32"):
        answer = otto.get(f"/api/pictures/{KEY}/{part.id}{query}")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "image/jpeg")
        assert answer.body.startswith(b"\xff\xd8\xff")
    for path in (
        f"pictures/{KEY}/{uuid7()}",
        f"pictures/a/b/c/{part.id}",
        f"maps/{KEY}/{part.id}x",
        f"pictures/{KEY}/x",
    ):
        assert otto.get(f"/api/{path}").status == 404


def test_the_slider_gets_scores_of_the_bundle_in_force_alone(line: Line, otto: Browser) -> None:
    old = verdict(1, 9.0, bundle={"name": "old", "digest": "o" * 64})
    other = verdict(2, 8.0, precision="int8")
    good, bad = verdict(3, 0.5), verdict(4, 1.5)
    absent = verdict(5, 0.0, not_found="absent", ok=False, reason="not_found")
    line.save(old, other, good, bad, absent)
    say(otto, bad, "good")
    found = otto.get(f"/api/review/scores?station={KEY}").json()
    assert found == {"threshold": 1.0, "parts": [[1.5, "good", True, bad.id], [0.5, None, False, good.id]]}
    assert otto.get("/api/review/scores?station=plant1/line1/none").json() == {"threshold": None, "parts": []}
    in_force = verdict(6, 7.0, 2.0, bundle=old.bundle)
    line.line.take([Received(KEY, in_force)])
    found = otto.get(f"/api/review/scores?station={KEY}").json()
    assert found == {"threshold": 2.0, "parts": [[9.0, None, True, old.id]]}


def test_similar_parts_are_found_by_their_pictures(line: Line, otto: Browser) -> None:
    parts = [verdict(number) for number in range(1, 5)]
    line.save(*parts)
    answer = otto.get(f"/api/review/similar?station={KEY}&id={parts[0].id}")
    assert answer.status == 200, answer.body
    found = answer.json()
    assert found["used"] == "picture" and found["pending"] == 0
    assert {part["id"] for part in found["parts"]} == {each.id for each in parts[1:]}
    distances = [part["distance"] for part in found["parts"]]
    assert distances == sorted(distances) and distances[0] >= 0
    assert otto.get(f"/api/review/similar?station={KEY}&id={uuid7()}").status == 404


def test_engineers_export_what_edge_train_reads(line: Line, otto: Browser, port: int) -> None:
    part = verdict(1)
    line.save(part)
    emma = Browser(port)
    emma.log_in("emma")
    assert emma.get("/api/labels/export").status == 404
    say(otto, part, "defect", **{"class": "a/b"})
    answer = emma.get(f"/api/labels/export?station={KEY}")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="labels-plant1.line1.station1.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.namelist() == [
            f"plant1.line1.station1/defects/a.b/{part.id}.png",
            "plant1.line1.station1/labels.jsonl",
        ]
    assert otto.get("/api/labels/export").status == 403
    assert line.audit()[-1]["action"] == "labels exported"


def test_who_may_do_what(line: Line, port: int) -> None:
    part = verdict(1)
    line.save(part)
    nobody, vera, otto = Browser(port), Browser(port), Browser(port)
    vera.log_in("vera")
    otto.log_in("otto")
    reads = ["", "/classes", f"/scores?station={KEY}", f"/similar?station={KEY}&id={part.id}"]
    assert [nobody.get(f"/api/review{path}").status for path in reads] == [401] * 4
    assert [vera.get(f"/api/review{path}").status for path in reads] == [200] * 4
    assert say(vera, part, "good").status == vera.post("/api/labels/undo").status == 403
    assert say(nobody, part, "good").status == 401
    otto.csrf = "wrong"
    assert say(otto, part, "good").status == 403
    assert line.labels.history() == []


WRONG_LABELS: list[tuple[dict[str, Any], int, str]] = [
    ({"word": "bad"}, 400, "word:"),
    ({"word": 1}, 400, "word:"),
    ({"word": ["good"]}, 400, "word:"),
    ({"word": "good", "class": "dent"}, 400, "has no class"),
    ({"word": "defect", "class": "x" * 65}, 400, "class:"),
    ({"word": "defect", "class": 7}, 400, "class:"),
    ({"word": "good", "id": "../../../etc/passwd"}, 400, "id:"),
    ({"word": "good", "id": 5}, 400, "id:"),
    ({"word": "good", "id": uuid7()}, 404, "not on the disk"),
    ({"word": "good", "station": "a/b"}, 400, "station:"),
    ({"word": "good", "station": "../../.."}, 404, "not on the disk"),
    ({"word": "good", "station": "a/b/c\n"}, 400, "station"),
    ({"word": "good", "station": "a/b/#"}, 400, "station"),
    ({"word": "good", "station": None}, 400, "station:"),
]


def test_a_wrong_label_is_refused_with_the_reason(line: Line, otto: Browser) -> None:
    part = verdict(1)
    line.save(part)
    for sent, status, said in WRONG_LABELS:
        answer = otto.post("/api/labels", {"station": KEY, "id": part.id, **sent})
        assert (answer.status, said in answer.error) == (status, True), (sent, answer.body)
    for body in (b"", b"[]", b"null", b"{", b"[" * 20_000, b'"good"', b"\xff"):
        answer = otto.post("/api/labels", body)
        assert answer.status == 400 and "JSON object" in answer.error, body
    assert line.labels.history() == [] and line.audit() == []


WRONG_FILTERS = [
    "word=bad", "only=x", "limit=0", "limit=99999", "limit=x", "score_min=nan", "score_max=1e999", "after=x",
    "since=yesterday", "since=2026-01-01T00:00:00", "station=x", "station=a/b/%2B", "order=random", "colour=red",
    f"area={'x' * 300}",
]  # fmt: skip


def test_a_wrong_filter_is_refused_with_its_name(otto: Browser) -> None:
    for query in WRONG_FILTERS:
        answer = otto.get(f"/api/review?{query}")
        assert answer.status == 400, query
        assert answer.error.startswith(query.split("=")[0])


def test_text_from_outside_finds_nothing_and_breaks_nothing(line: Line, otto: Browser) -> None:
    part = verdict(1, part_id="'; DROP TABLE parts; --<script>\x1d")
    line.save(part)
    say(otto, part, "defect", **{"class": "<img src=x onerror=alert(1)>"})
    for text in ("' OR '1'='1", "%", "<img", "\\", "a\nb"):
        assert review(otto, **{"class": text})["parts"] == []
        assert review(otto, area=text)["parts"] == []
    (found,) = review(otto, **{"class": "<img src=x onerror=alert(1)>"})["parts"]
    assert found["part_id"] == "'; DROP TABLE parts; --<script>\x1d"
    assert review(otto, since="2026-01-01T00:00:00+01:00", area="rim")["counts"]["defect"] == 1
    assert review(otto, since="")["counts"]["defect"] == 1


def test_a_label_that_cannot_be_written_is_said_and_not_kept(line: Line, otto: Browser) -> None:
    part = verdict(1)
    line.save(part)
    line.labels.pictures.rmdir()
    line.labels.pictures.write_text("a full disk")
    answer = say(otto, part, "good")
    assert answer.status == 507 and "the label is not saved" in answer.error
    assert review(otto)["counts"]["unlabelled"] == 1


def test_nothing_is_said_without_an_entry_in_the_audit_log(
    line: Line, otto: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = verdict(1)
    line.save(part)
    monkeypatch.setattr("os.write", _full)
    assert say(otto, part, "good").status == 507
    monkeypatch.undo()
    assert line.labels.history() == []


def _full(*_: Any) -> int:
    raise OSError(28, "No space left on device")


def test_browsers_get_json_that_every_parser_reads(line: Line, otto: Browser) -> None:
    line.save(verdict(1, 1e30), verdict(2, -1e30), verdict(3, 0.0, 0.0))
    answer = otto.get("/api/review?order=borderline")
    assert len(json.loads(answer.body, parse_constant=pytest.fail)["parts"]) == 3
