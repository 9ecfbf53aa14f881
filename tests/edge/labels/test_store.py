from __future__ import annotations

import hashlib
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from label_parts import KEY, label, picture, verdict

from edge_inspect.edge.errors import LabelError
from edge_inspect.edge.labels.label import Label, PartKey
from edge_inspect.edge.labels.store import LabelStore


def words(store: LabelStore) -> dict[str, tuple[str | None, str | None, str]]:
    return {each.verdict.id: (each.word, each.defect_class, each.by) for each in store.current()}


def test_a_label_and_its_picture_survive_a_restart(tmp_path: Path) -> None:
    shown, map_ = picture(1, ".jpg"), picture(2)
    with LabelStore(tmp_path) as store:
        added = store.add(label("defect", defect_class="dent"), shown, map_)
    with LabelStore(tmp_path) as store:
        (kept,) = store.current()
        assert kept == added == store.history()[0]
        assert (kept.word, kept.defect_class, kept.by) == ("defect", "dent", "anna")
        assert kept.picture_sha256 == hashlib.sha256(shown).hexdigest()
        assert (store.pictures / kept.picture).read_bytes() == shown
        assert kept.map is not None
        assert (store.pictures / kept.map).read_bytes() == map_
        assert store.word(kept.key) == store.words()[PartKey(KEY, kept.verdict.id)]


def test_the_newest_word_holds_and_a_withdrawn_part_is_left_out(tmp_path: Path) -> None:
    part = verdict()
    with LabelStore(tmp_path) as store:
        store.add(label("good", of=part), picture())
        store.add(label("defect", by="bert", of=part, defect_class="dent"), None)
        assert words(store) == {part.id: ("defect", "dent", "bert")}
        store.add(label(None, of=part), None)
        assert store.current() == [] and store.words() == {}
        assert [each.word for each in store.history()] == ["good", "defect", None]
        assert store.undo("anna") is not None  # the withdrawal
        assert words(store) == {part.id: ("defect", "dent", "bert")}


def test_undo_takes_back_only_this_persons_labels_one_by_one(tmp_path: Path) -> None:
    first, second = verdict(1), verdict(2)
    with LabelStore(tmp_path) as store:
        store.add(label("good", of=first), picture(1))
        store.add(label("good", of=second), picture(2))
        store.add(label("unsure", by="bert", of=second), None)
        entry = store.undo("anna")
        assert entry is not None
        assert (entry.verdict.id, entry.word, entry.by) == (second.id, "unsure", "anna")  # what bert said stands
        entry = store.undo("anna")
        assert entry is not None
        assert (entry.verdict.id, entry.word) == (first.id, None)
        assert store.undo("anna") is None
        assert store.undo("carla") is None
        assert words(store) == {second.id: ("unsure", None, "bert")}


def test_each_station_has_its_own_parts(tmp_path: Path) -> None:
    with LabelStore(tmp_path) as store:
        store.add(label(), picture())
        store.add(label("unsure", station="station2"), picture())
        assert [each.station for each in store.current("plant1/line1/station2")] == ["station2"]
        assert [each.word for each in store.history("plant1/line1/station1")] == ["good"]
        assert store.current("plant1/line1/none") == store.current("no key") == []


def test_what_is_unpublished_is_given_again_after_a_restart(tmp_path: Path) -> None:
    with LabelStore(tmp_path) as store:
        sent = [store.add(label(of=verdict(number)), picture()) for number in range(1, 4)]
        store.undo("anna")
        store.mark_published([sent[0].id, sent[2].id])
    with LabelStore(tmp_path) as store:
        waiting = store.unpublished()
        assert [each.id for each in waiting][0] == sent[1].id
        assert waiting[1].undoes == sent[2].id
        store.mark_published(each.id for each in waiting)
        assert store.unpublished() == []


class Histories(RuleBasedStateMachine):
    """Adds, withdraws, undoes and reopens; a plain list says what must come out."""

    numbers = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.store = LabelStore(Path(self.folder.name))
        self.parts = [verdict(number) for number in range(1, 4)]
        self.said: list[list[object]] = []  # [part, word, by, counts]
        self.entries = 0

    @rule(part=st.integers(0, 2), word=st.sampled_from(["good", "defect", "unsure", None]), by=st.sampled_from("ab"))
    def add(self, part: int, word: str | None, by: str) -> None:
        self.store.add(label(word, by=by, of=self.parts[part]), picture(part))
        self.said.append([part, word, by, True])
        self.entries += 1

    @rule(by=st.sampled_from("abc"))
    def undo(self, by: str) -> None:
        mine = [each for each in self.said if each[2] == by and each[3]]
        entry = self.store.undo(by)
        assert (entry is None) == (not mine)
        if mine:
            mine[-1][3] = False
            self.entries += 1
            assert entry is not None
            assert entry.verdict == self.parts[mine[-1][0]]  # type: ignore[call-overload]
            assert entry.word == self.expected().get(entry.verdict.id, (None, ""))[0]

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = LabelStore(Path(self.folder.name))

    def expected(self) -> dict[str, tuple[object, object]]:
        last = {each[0]: each for each in self.said if each[3]}
        return {self.parts[part].id: (each[1], each[2]) for part, each in last.items() if each[1]}  # type: ignore[call-overload]

    @invariant()
    def agrees(self) -> None:
        assert {each.verdict.id: (each.word, each.by) for each in self.store.current()} == self.expected()
        assert {key.id: (each.word, each.by) for key, each in self.store.words().items()} == self.expected()
        assert len(self.store.history()) == len(self.store.unpublished(10**6)) == self.entries

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=15, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("damage", [b"no database at all", b"SQLite format 3\0" + b"\xff" * 5000, b"\0" * 4096])
def test_a_damaged_file_is_set_aside(tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "labels.db").write_bytes(damage)
    with LabelStore(tmp_path) as store:
        store.add(label(), picture())
        assert store.recovered_from is not None
        assert store.recovered_from.read_bytes() == damage
    assert "is damaged" in caplog.text and str(store.recovered_from) in caplog.text


def test_what_can_be_read_of_a_damaged_file_is_kept(tmp_path: Path) -> None:
    with LabelStore(tmp_path) as store:
        for number in range(1, 200):
            store.add(label(of=verdict(number)), picture())
    data = bytearray((tmp_path / "labels.db").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4096] = b"\xff" * 4096
    (tmp_path / "labels.db").write_bytes(data)
    with LabelStore(tmp_path) as store:
        assert store.recovered_from is not None
        assert 0 < len(store.current()) < 199


def test_the_file_of_another_program_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "labels.db") as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(LabelError, match="another program"):
        LabelStore(tmp_path)
    assert not list(tmp_path.glob("*.corrupt*"))


def test_a_later_format_is_refused(tmp_path: Path) -> None:
    LabelStore(tmp_path).close()
    with sqlite3.connect(tmp_path / "labels.db") as database:
        database.execute("PRAGMA user_version = 9")
    with pytest.raises(LabelError, match="format 9, but this version knows format 1"):
        LabelStore(tmp_path)


def test_a_second_process_is_told_who_writes_and_may_read(tmp_path: Path) -> None:
    with LabelStore(tmp_path) as store:
        store.add(label(), picture())
        code = (
            "import sys; from pathlib import Path; from edge_inspect.edge.labels.store import LabelStore\n"
            "reader = LabelStore(Path(sys.argv[1]), read_only=True); print(len(reader.current()), flush=True)\n"
            "LabelStore(Path(sys.argv[1]))"
        )
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.stdout == "1\n"
    assert f"process {os.getpid()} uses them" in done.stderr


def test_reading_needs_a_store_and_changes_nothing(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="no such file"):
        LabelStore(tmp_path, read_only=True)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "labels.db").write_bytes(b"damaged" * 1000)
    with pytest.raises(LabelError, match="labels.db"):
        LabelStore(tmp_path, read_only=True)
    assert [path.name for path in tmp_path.iterdir()] == ["labels.db"]


def test_killed_in_the_middle_of_writing_no_confirmed_label_is_lost(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); from pathlib import Path; from label_parts import *\n"
        "from edge_inspect.edge.labels.store import LabelStore\n"
        "store = LabelStore(Path(sys.argv[1]))\n"
        "for number in range(1, 10**6):\n"
        "    print(store.add(label(of=verdict(number)), picture(number), picture(-number % 7)).id, flush=True)"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parents[2])]
    for _ in range(3):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            confirmed = [writer.stdout.readline().strip() for _ in range(25)]
            writer.send_signal(signal.SIGKILL)
            confirmed += [line.strip() for line in writer.stdout.read().split("\n")[:-1]]
        with LabelStore(tmp_path) as store:
            kept = {each.id: each for each in store.history()}
            assert set(confirmed) <= set(kept)
            for each in kept.values():
                data = (store.pictures / each.picture).read_bytes()
                assert hashlib.sha256(data).hexdigest() == each.picture_sha256
            assert not list(store.pictures.glob(".*"))


def test_a_full_disk_is_said_and_the_label_is_not_kept(tmp_path: Path) -> None:
    with LabelStore(tmp_path) as store:
        store.pictures.rmdir()
        store.pictures.write_text("a file where the folder should be")
        with pytest.raises(LabelError, match=r"the label is not saved; free space"):
            store.add(label(), picture())
        assert store.history() == [] and store.words() == {}


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"<svg/>"])
def test_what_is_no_picture_is_refused(tmp_path: Path, data: bytes) -> None:
    with LabelStore(tmp_path) as store, pytest.raises(LabelError, match="neither PNG nor JPEG"):
        store.add(label(), data)


def test_a_part_that_was_never_seen_cannot_be_labelled_without_its_picture(tmp_path: Path) -> None:
    with LabelStore(tmp_path) as store, pytest.raises(LabelError, match="its picture is gone"):
        store.add(label(), None)


def test_threads_may_label_at_once(tmp_path: Path) -> None:
    with LabelStore(tmp_path) as store:

        def work(by: str) -> None:
            for number in range(1, 11):
                store.add(label(by=by, of=verdict(number)), picture())
            store.undo(by)

        threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b", "c", "d")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(store.current()) == 36
        assert len(store.history()) == 44


@pytest.mark.parametrize("word", ["good", "unsure", None])
def test_only_a_defect_has_a_class(word: str | None) -> None:
    with pytest.raises(ValueError, match="has no class"):
        label(word, defect_class="dent")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("  big \n dent ", "big dent"),
        ("u\u0308ber", "über"),
        ("a\u202eb", "a\\u202eb"),
        (" ", None),
        ("\ud800", "\\ud800"),
    ],
)
def test_class_names_that_look_the_same_are_the_same(given: str, kept: str | None) -> None:
    assert label("defect", defect_class=given).defect_class == kept


def test_too_long_names_and_names_that_are_no_topic_level_are_refused() -> None:
    with pytest.raises(ValueError, match="64"):
        label("defect", defect_class="x" * 65)
    with pytest.raises(ValueError, match="station"):
        label(station="../../etc")
    assert isinstance(label(station="..").key, PartKey)
    assert isinstance(label(), Label)
