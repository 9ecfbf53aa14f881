from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from evidence_parts import REGION, save
from label_parts import KEY, label, picture, verdict
from mosquitto import wait_until

from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.messages import Defect, Verdict
from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.evidence import saved_part
from edge_inspect.edge.labels.label import PartKey
from edge_inspect.edge.labels.store import LabelStore
from edge_inspect.edge.page.part_filter import PartFilter
from edge_inspect.edge.page.part_store import PartStore
from edge_inspect.edge.page.received_parts import ReceivedParts


class Page:
    """A part store with its folders, which can be closed and opened again."""

    def __init__(self, folder: Path) -> None:
        self.evidence, self.data = folder / "evidence", folder / "data"
        self.data.mkdir()
        self.known: list[str] = []
        self.labels = LabelStore(self.data / "labels")
        self.open()

    def open(self, **more: Any) -> PartStore:
        values: dict[str, Any] = {"received_bytes": 2**20, "stations": lambda: self.known} | more
        roots = values.pop("evidence", [self.evidence])
        self.parts = PartStore(roots, self.data, values.pop("received_bytes"), self.labels, **values)
        self.parts.refresh()
        return self.parts

    def reopen(self, **more: Any) -> PartStore:
        self.parts.close()
        return self.open(**more)

    def ids(self, **wanted: Any) -> list[str]:
        self.parts.refresh()
        return [part.saved.verdict.id for part in self.parts.matching(PartFilter(**wanted))]

    def say(self, word: str | None, of: Verdict, kind: str | None = None) -> None:
        said = self.labels.add(label(word, of=of, defect_class=kind), picture(of.sequence))
        self.parts.labelled(said)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    page = Page(tmp_path)
    yield page
    page.parts.close()
    page.labels.close()


def test_evidence_is_listed_newest_first_with_its_picture_and_map(page: Page) -> None:
    shown = [verdict(number, 1.5) for number in range(1, 4)]
    for each in shown:
        folder = save(page.evidence, each, regions=(REGION,))
    assert page.ids() == [each.id for each in reversed(shown)]
    part = page.parts.find(PartKey(KEY, shown[0].id))
    assert part is not None and part.saved.regions == (REGION,) and part.folder == folder
    assert page.parts.picture(part.key) == (folder / "defects" / f"{shown[0].id}.png").read_bytes()
    map_ = page.parts.map(part.key)
    assert map_ is not None
    levels = cv2.imdecode(np.frombuffer(map_, np.uint8), cv2.IMREAD_UNCHANGED)
    assert levels.shape == (48, 64)
    assert levels.max() == 192  # 1.5 times the threshold, which is 128
    assert np.unravel_index(levels.argmax(), levels.shape)[0] in range(8, 14)


def test_evidence_comes_and_goes_while_the_page_runs(page: Page) -> None:
    first, second = verdict(1), verdict(2)
    save(page.evidence, first, day="2026-01-01")
    assert page.ids() == [first.id]
    folder = save(page.evidence, second)
    assert page.ids() == [second.id, first.id]
    shutil.rmtree(page.evidence / "2026-01-01")
    assert page.ids() == [second.id]
    for path in folder.rglob(f"{second.id}.*"):
        path.unlink()
    assert page.ids() == []
    assert page.parts.picture(PartKey(KEY, second.id)) is None


def test_its_thread_finds_parts_without_being_asked(page: Page) -> None:
    each = verdict(1)
    save(page.evidence, each)
    wait_until(lambda: page.parts.find(PartKey(KEY, each.id)) is not None)


def test_a_reviewer_may_move_a_picture_to_the_other_folder(page: Page) -> None:
    each = verdict(1)
    folder = save(page.evidence, each)
    (folder / "good").mkdir()
    (folder / "defects" / f"{each.id}.png").rename(folder / "good" / f"{each.id}.png")
    assert page.ids() == [each.id]
    assert page.parts.picture(PartKey(KEY, each.id)) is not None


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"\xff" * 100, b"[" * 100_000, b'{"station": "station1"}', b"x" * (2**20 + 1)],
    ids=["empty", "cut", "bytes", "nested", "fields", "long"],
)
def test_a_damaged_verdict_is_left_out_and_the_others_are_shown(
    page: Page, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = verdict(1), verdict(2)
    save(page.evidence, good)
    folder = save(page.evidence, bad)
    (folder / "verdicts" / f"{bad.id}.json").write_bytes(damage)
    assert page.ids() == [good.id]
    assert page.ids() == [good.id]
    assert caplog.text.count("is left out") == 1


def test_files_that_are_no_evidence_are_left_alone(page: Page, tmp_path: Path) -> None:
    each, other = verdict(1), verdict(2)
    folder = save(page.evidence, each)
    text = (folder / "verdicts" / f"{each.id}.json").read_text()
    (folder / "verdicts" / "notes.json").write_text(text)
    (folder / "verdicts" / f"{other.id}.json").write_text(text)  # the verdict of another part
    (page.evidence / "readme.txt").write_text("no folder")
    save(tmp_path / "elsewhere", other)
    (page.evidence / "2026-02-02").symlink_to(next((tmp_path / "elsewhere").iterdir()))
    assert page.ids() == [each.id]


def test_damaged_pictures_and_maps_cost_only_themselves(page: Page) -> None:
    each = verdict(1)
    folder = save(page.evidence, each)
    (folder / "maps" / f"{each.id}.png").write_bytes(b"\x89PNG damaged")
    assert page.ids() == [each.id]
    assert page.parts.map(PartKey(KEY, each.id)) is None
    (folder / "defects" / f"{each.id}.png").unlink()
    assert page.parts.picture(PartKey(KEY, each.id)) is None


def test_a_part_that_was_not_found_has_no_map(page: Page) -> None:
    each = verdict(1, 0.0, not_found="absent", reason="not_found", ok=False)
    save(page.evidence, each)
    assert page.ids(only="rejected") == [each.id]
    assert page.parts.map(PartKey(KEY, each.id)) is None


def test_evidence_of_earlier_releases_belongs_to_the_one_station_of_its_name(page: Page) -> None:
    each = verdict(1)
    save(page.evidence, each, site=None, line=None)
    assert page.ids() == []
    page.known = ["plant1/line2/other", KEY]
    assert page.ids(station=KEY) == [each.id]
    second = verdict(2)
    page.known.append("plant2/line1/station1")
    save(page.evidence, second, site=None, line=None)
    assert page.ids() == [each.id]  # it might be of either


def test_each_condition_of_the_filter(page: Page) -> None:
    accepted = verdict(1, 0.5)
    near, far = verdict(2, 0.98), verdict(3, 1.4)
    rejected = verdict(4, 3.0, area_name="rim")
    for each in (accepted, near, far):
        save(page.evidence, each)
    save(page.evidence, rejected, regions=(REGION.model_copy(update={"area_name": "bore"}),))
    assert page.ids(only="rejected") == [rejected.id, far.id]
    assert page.ids(only="accepted") == [near.id, accepted.id]
    assert page.ids(only="borderline") == [near.id]
    assert page.ids(area="rim") == page.ids(area="bore") == [rejected.id]
    assert page.ids(area="ri") == page.ids(area="rim' OR 1 --") == []
    assert page.ids(score_min=0.98, score_max=1.4) == [far.id, near.id]
    assert page.ids(since=near.decided_at, until=far.decided_at) == [far.id, near.id]
    assert page.ids(order="borderline") == [near.id, far.id, accepted.id, rejected.id]
    assert page.ids(order="borderline", after=far.id) == [accepted.id, rejected.id]
    assert page.ids(after=far.id) == [near.id, accepted.id]
    assert page.ids(limit=1) == [rejected.id]
    assert page.ids(station=KEY, limit=4) == page.ids() and page.ids(station="plant1/line1/other") == []


def test_words_filter_and_are_counted(page: Page) -> None:
    parts = [verdict(number) for number in range(1, 6)]
    for each in parts:
        save(page.evidence, each)
    page.parts.refresh()
    page.say("good", parts[0])
    page.say("defect", parts[1], "dent")
    page.say("defect", parts[2], "scratch")
    page.say("unsure", parts[3])
    assert page.ids(word="unlabelled") == [parts[4].id]
    assert page.ids(word="labelled") == [each.id for each in reversed(parts[:4])]
    assert page.ids(word="defect") == [parts[2].id, parts[1].id]
    assert page.ids(**{"class": "dent"}) == [parts[1].id]
    assert page.parts.counts(PartFilter(word="good")) == {"unlabelled": 1, "good": 1, "defect": 2, "unsure": 1}
    page.say(None, parts[0])
    undone = page.labels.undo("anna")  # the withdrawal
    assert undone is not None
    page.parts.labelled(undone)
    assert page.ids(word="good") == [parts[0].id]
    page.reopen()
    assert page.parts.counts(PartFilter(only="rejected")) == {"unlabelled": 1, "good": 1, "defect": 2, "unsure": 1}


def test_a_labelled_part_outlives_its_evidence(page: Page) -> None:
    kept, lost = verdict(1), verdict(2)
    for each in (kept, lost):
        save(page.evidence, each, regions=(REGION,))
    page.parts.refresh()
    page.say("good", kept)
    shutil.rmtree(page.evidence)
    for _ in range(2):
        assert page.ids() == [kept.id]
        part = page.parts.find(PartKey(KEY, kept.id))
        assert part is not None and part.folder is None and part.saved.regions == (REGION,)
        assert page.parts.picture(part.key) == picture(1)
        page.reopen()
    page.parts.close()
    (page.data / "parts.db").unlink()
    page.open()
    assert page.ids(word="good") == [kept.id]


@pytest.mark.parametrize("damage", [b"no database", b"SQLite format 3\0" + b"\0" * 9000])
def test_a_damaged_index_is_made_again(page: Page, damage: bytes) -> None:
    each = verdict(1)
    save(page.evidence, each)
    page.parts.close()
    (page.data / "parts.db").write_bytes(damage)
    page.open()
    assert page.ids() == [each.id]


def test_a_folder_that_cannot_be_written_is_said_with_the_remedy(page: Page) -> None:
    page.parts.close()
    (page.data / "parts.db").unlink()
    (page.data / "parts.db").mkdir()
    with pytest.raises(ConfigurationError, match=r"data: .*parts.db cannot be written: .*; free space"):
        page.open()
    (page.data / "parts.db").rmdir()
    page.open()


def test_a_full_disk_is_said_once_without_a_traceback(page: Page, caplog: pytest.LogCaptureFixture) -> None:
    database = page.parts._index._database  # noqa: SLF001 (a full disk cannot be made without it)
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages}")
    many = [verdict(number) for number in range(1, 60)]
    for each in many:
        save(page.evidence, each)
    for each in many[:3]:
        assert page.parts.fetch(PartKey(KEY, each.id)) is None
    said = [record for record in caplog.records if "cannot be listed" in record.getMessage()]
    assert len(said) == 1 and said[0].exc_info is None and "disk is full; free space" in said[0].getMessage()
    database.execute("PRAGMA max_page_count = 100000")
    for each in many:
        assert page.parts.fetch(PartKey(KEY, each.id)) is not None


def test_evidence_replaces_what_somebody_published_under_its_id(page: Page) -> None:
    true = verdict(1, 2.0)
    page.parts.receive(KEY, true.model_copy(update={"score": 0.1, "reason": None}))
    page.parts.receive_picture(KEY, true.id, picture(1, ".jpg"))
    page.reopen()
    assert page.ids(only="rejected") == []
    save(page.evidence, true)
    assert page.ids(only="rejected", score_min=2.0) == [true.id]


def test_evidence_that_the_configuration_names_no_more_is_forgotten(page: Page) -> None:
    save(page.evidence, verdict(1))
    assert len(page.ids()) == 1
    page.reopen(evidence=[])
    assert page.ids() == []


def test_two_thousand_parts_are_listed_without_opening_them_again(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    page.parts.close()
    folder = save(page.evidence, verdict(1))
    text = json.loads(next((folder / "verdicts").iterdir()).read_text())
    for path in folder.rglob("*.*"):
        path.unlink()
    for _ in range(2000):
        text["verdict"]["id"] = uuid7()
        with open(folder / "verdicts" / f"{text['verdict']['id']}.json", "w") as file:
            json.dump(text, file)
    opened: list[str] = []
    read = saved_part.read_part

    def counting(folder: Path, identity: str) -> Any:
        opened.append(identity)
        return read(folder, identity)

    monkeypatch.setattr("edge_inspect.edge.page.part_store.read_part", counting)
    page.open()
    assert len(opened) == 2000
    listed: list[str] = []
    while more := page.ids(limit=200, after=listed[-1] if listed else None):
        listed += more
        if len(listed) > 2000:
            break
    assert listed == sorted(opened, reverse=True)[: len(listed)]
    page.reopen()
    new = verdict(1)
    save(page.evidence, new)
    assert page.ids(limit=1) == [new.id]
    assert opened[2000:] == [new.id]
    assert page.parts.counts(PartFilter())["unlabelled"] == 2001


def test_a_folder_that_did_not_change_is_not_read_again(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save(page.evidence, verdict(1))
    os.utime(folder / "verdicts", (0, 0))
    assert len(page.ids()) == 1
    read: list[Any] = []
    listdir: Callable[..., list[str]] = os.listdir
    monkeypatch.setattr(os, "listdir", lambda *path: read.append(path) or listdir(*path))
    assert len(page.ids()) == 1
    assert read == []


# Received over MQTT.


def received_map(threshold_at: tuple[int, int] = (10, 20)) -> bytes:
    levels = np.zeros((48, 64), np.uint8)
    levels[threshold_at] = 128
    levels[30, 40] = 200
    return bytes(cv2.imencode(".png", levels)[1].tobytes())


def test_a_received_part_is_kept_with_its_map_and_regions(page: Page) -> None:
    each = verdict(1, 1.5)
    jpeg = picture(1, ".jpg")
    page.parts.receive_picture(KEY, each.id, jpeg)
    page.parts.receive(KEY, each)
    page.parts.receive_map(KEY, each.id, received_map())
    page.parts.receive(KEY, Defect.of(each, (REGION,)))
    assert page.ids(only="rejected") == [each.id]
    key = PartKey(KEY, each.id)
    part = page.parts.find(key)
    assert part is not None and part.saved.regions == (REGION,) and type(part.saved.verdict) is Verdict
    assert page.parts.picture(key) == jpeg
    map_ = page.parts.map(key)
    assert map_ is not None
    levels = cv2.imdecode(np.frombuffer(map_, np.uint8), cv2.IMREAD_UNCHANGED)
    assert (levels == cv2.imdecode(np.frombuffer(received_map(), np.uint8), cv2.IMREAD_UNCHANGED)).all()
    page.reopen()
    assert page.ids() == [each.id]


def test_what_has_arrived_is_kept_when_the_page_ends(page: Page) -> None:
    each, without = verdict(1), verdict(2)
    page.parts.receive(KEY, each)
    page.parts.receive_picture(KEY, each.id, picture(1, ".jpg"))
    page.parts.receive(KEY, without)
    page.parts.receive_picture(KEY, uuid7(), picture(2, ".jpg"))  # a snapshot, which has no verdict
    page.reopen()
    assert page.ids() == [each.id]
    assert page.parts.map(PartKey(KEY, each.id)) is None


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xd8\xff", picture(1, ".png"), picture(1, ".jpg", (32, 32)), picture(1, ".jpg")[:-200]],
    ids=["empty", "start", "png", "size", "cut"],
)
def test_a_picture_that_does_not_fit_is_not_kept(page: Page, data: bytes) -> None:
    each = verdict(1)
    page.parts.receive(KEY, each)
    page.parts.receive_picture(KEY, each.id, data)
    page.reopen()
    assert page.ids() == []


@pytest.mark.parametrize(
    "data",
    [b"no map", picture(1), bytes(cv2.imencode(".png", np.zeros((9, 2000), np.uint8))[1]), received_map()[:-30]],
    ids=["text", "colours", "wide", "cut"],
)
def test_a_map_that_does_not_fit_is_not_kept(page: Page, data: bytes) -> None:
    each = verdict(1)
    page.parts.receive(KEY, each)
    page.parts.receive_picture(KEY, each.id, picture(1, ".jpg"))
    page.parts.receive_map(KEY, each.id, data)
    page.reopen()
    assert page.ids() == []


@pytest.mark.parametrize("key", ["../../x/y", "a/b/..", "./././", "a%2F/b/c", "a/ü b/c~", "a/b/" + "x" * 64])
def test_names_from_the_wire_stay_inside_the_folder(page: Page, key: str, tmp_path: Path) -> None:
    if len(key.split("/")) != 3:
        key = "../../.."
    each = verdict(1)
    before = {path for path in tmp_path.rglob("*") if "received" not in path.parts}
    page.parts.receive(key, each)
    page.parts.receive_picture(key, each.id, picture(1, ".jpg"))
    page.parts.receive_picture(key, "../../escape", picture(1, ".jpg"))
    page.reopen()
    assert page.ids() == [each.id]
    assert page.parts.picture(PartKey(key, each.id)) == picture(1, ".jpg")
    after = {path for path in tmp_path.rglob("*") if "received" not in path.parts}
    assert {path.name for path in after - before} <= {"parts.db", "parts.db-wal", "parts.db-shm"}
    assert all(len(path.relative_to(page.data / "received").parts) <= 4 for path in (page.data / "received").rglob("*"))


def test_received_pictures_are_bounded_and_the_oldest_go(page: Page) -> None:
    page.reopen(received_bytes=2**16)
    parts = [verdict(number) for number in range(1, 31)]
    for each in parts:
        page.parts.receive(KEY, each)
        page.parts.receive_picture(KEY, each.id, picture(each.sequence, ".jpg"))
    page.reopen(received_bytes=2**16)
    kept = page.ids()
    assert 1 < len(kept) < 30
    assert kept == [each.id for each in reversed(parts)][: len(kept)]
    size = sum(path.stat().st_size for path in (page.data / "received").rglob("*") if path.is_file())
    assert size <= 2**16


def test_a_repeat_changes_nothing(page: Page) -> None:
    each = verdict(1)
    for seed in (1, 2):
        page.parts.receive(KEY, each)
        page.parts.receive_picture(KEY, each.id, picture(seed, ".jpg"))
        page.reopen()
    assert page.ids() == [each.id]
    assert page.parts.picture(PartKey(KEY, each.id)) == picture(1, ".jpg")


def test_evidence_stands_in_for_what_was_received(page: Page) -> None:
    each = verdict(1)
    page.parts.receive(KEY, each)
    page.parts.receive_picture(KEY, each.id, picture(1, ".jpg"))
    page.reopen()
    folder = save(page.evidence, each)
    assert page.ids() == [each.id]
    png = (folder / "defects" / f"{each.id}.png").read_bytes()
    assert page.parts.picture(PartKey(KEY, each.id)) == png
    page.reopen()
    assert page.parts.picture(PartKey(KEY, each.id)) == png


def test_much_that_never_becomes_a_part_takes_little_memory(page: Page) -> None:
    data = b"\xff\xd8\xff" + bytes(2**20)
    received = ReceivedParts(page.data / "received", 2**20)
    for _ in range(200):
        received.picture(KEY, uuid7(), data)
    assert 2**25 < received.waiting_bytes <= 2**26
    for number in range(5000):
        received.verdict(KEY, verdict(number + 1))
    assert received.waiting_bytes == 0


def test_receiving_never_waits_for_the_disk(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    held, entered = threading.Event(), threading.Event()

    def hang(*_: Any) -> None:
        entered.set()
        held.wait(20)

    monkeypatch.setattr("edge_inspect.edge.evidence.folder.write_atomically", hang)
    each = verdict(1, 0.5)
    try:
        page.parts.receive(KEY, each)
        page.parts.receive_picture(KEY, each.id, picture(1, ".jpg"))
        page.parts.receive_map(KEY, each.id, received_map())
        assert entered.wait(20)
        page.parts.receive(KEY, verdict(2))  # returns, although the thread hangs in the disk
        page.parts.receive_picture(KEY, uuid7(), picture(1, ".jpg"))
    finally:
        held.set()
