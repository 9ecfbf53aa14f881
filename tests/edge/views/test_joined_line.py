"""The joined line, killed at any of its steps: no part is lost, none is published twice with another content."""

from __future__ import annotations

import itertools
import json
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from station_parts import health as a_health
from station_parts import status
from views_parts import JOINT, accepts, messages, seen
from views_parts import settings as configuration

from edge_inspect.edge.contract.messages import Verdict
from edge_inspect.edge.errors import OutboxError
from edge_inspect.edge.mqtt.collecting_session import Heard
from edge_inspect.edge.outbox import Make, Outgoing
from edge_inspect.edge.outbox.memory import MemoryOutbox
from edge_inspect.edge.views import store as store_module
from edge_inspect.edge.views.joined_line import JoinedLine
from edge_inspect.edge.views.store import Step, ViewStore
from edge_inspect.edge.views.view import FollowedView


class Killed(Exception):
    """The process is killed here."""


class Killer:
    """Kills at the n-th point that it is asked at."""

    def __init__(self, points: Sequence[int]) -> None:
        self._points, self._count = set(points), itertools.count(1)

    def point(self) -> None:
        if next(self._count) in self._points:
            raise Killed


class MortalOutbox(MemoryOutbox):
    """An outbox that is still there after the process; a put may be the last thing that the process does."""

    killer = Killer(())

    def put(self, station: str, make: Make) -> int:
        self.killer.point()
        number = super().put(station, make)
        self.killer.point()
        return number


class MortalStore(ViewStore):
    killer = Killer(())

    def write(self, step: Step) -> None:
        self.killer.point()
        super().write(step)
        self.killer.point()


def heard(message: Outgoing) -> Heard:
    return Heard(message.address, message.payload, False)


def told(outbox: MemoryOutbox) -> list[dict[str, Any]]:
    return [json.loads(entry.payload) for entry in outbox.pending(JOINT.station, 0, 10_000) if entry.kind == "verdict"]


def drive(folder: Path, incoming: list[Heard], killer: Killer, at_once: int = 1) -> MortalOutbox:
    """Hand messages to the line, killed and started again; what was not acknowledged comes again."""
    chosen = configuration(1, folder)
    outbox, clock = MortalOutbox(), itertools.count(step=0.001)
    outbox.killer = killer
    unacknowledged = list(incoming)
    while True:
        with MortalStore(chosen.store) as store:
            store.killer = killer
            try:
                line = JoinedLine(chosen, outbox, store, "box", lambda verdict: None, next(clock))
                while unacknowledged:
                    batch = unacknowledged[:at_once]
                    line.work(batch, next(clock), decide=True)
                    del unacknowledged[: len(batch)]
                # What waits for a defect or for a view is decided at last.
                for later in (1e6, 2e6):
                    line.work([], later, decide=True)
                return outbox
            except Killed:
                continue


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 4)), min_size=1, max_size=8),
    st.lists(st.integers(1, 60), max_size=4),
    st.integers(1, 5),
)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_kill_at_any_step_loses_nothing_and_changes_nothing(
    tmp_path: Path, parts: list[tuple[bool, bool, int]], kills: list[int], at_once: int
) -> None:
    folder = tmp_path / "killed"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    chosen = configuration(1, folder)
    incoming: list[Heard] = []
    expected: dict[str, tuple[bool, set[str]]] = {}
    sequences = [0, 0]
    for number, (left, right, absent) in enumerate(parts):
        views = {view: ok for view, ok in enumerate((left, right)) if absent - 1 != view}
        for view, ok in views.items():
            sequences[view] += 1
            sent = messages(seen(sequences[view], ok=ok, part_id=f"P{number}"), chosen.followed[view][1])
            incoming += [heard(message) for message in (*sent, *sent[: number % 2])]  # every second one is repeated
        complete = len(views) == 2
        expected[f"P{number}"] = (
            complete and accepts({f"v{view}": ok for view, ok in views.items()}, ["v0", "v1"], 1),
            {f"v{view}" for view in views},
        )
    found = told(drive(folder, incoming, Killer(kills), at_once))
    assert [each["sequence"] for each in found] == list(range(1, len(parts) + 1))
    assert {
        each["part_id"]: (each["ok"], {view["name"] for view in each["views"] if view["id"]}) for each in found
    } == expected
    with ViewStore(chosen.store) as store:
        assert store.stored.received == []
        assert sorted(str(part.part_id) for part in store.stored.parts) == sorted(
            part_id for part_id, (_, views) in expected.items() if len(views) < 2
        )


def test_a_verdict_that_waits_for_one_before_it_is_kept(tmp_path: Path) -> None:
    chosen, outbox = configuration(1, tmp_path), MemoryOutbox()
    (one, other) = (topics for _, topics in chosen.followed)

    def work(*sent: tuple[int, Any], now: float) -> None:
        with ViewStore(chosen.store) as store:
            line = JoinedLine(chosen, outbox, store, "box", lambda verdict: None, now)
            line.work([heard(messages(seen(n, part_id=f"P{n}"), where)[0]) for n, where in sent], now, decide=True)
            line.work([], now + 1.0, decide=True)

    def put_off(*sent: tuple[int, Any], now: float) -> None:
        with ViewStore(chosen.store) as store:
            line = JoinedLine(chosen, outbox, store, "box", lambda verdict: None, now)
            line.work([heard(messages(seen(n, part_id=f"P{n}"), where)[0]) for n, where in sent], now, decide=True)

    work((1, one), (1, other), now=0.0)
    put_off((3, one), now=1.0)
    work((2, other), (3, other), (2, one), now=2.0)
    assert {each["part_id"]: each["ok"] for each in told(outbox)} == {"P1": True, "P2": True, "P3": True}


def test_a_stored_message_that_meets_a_bug_does_not_prevent_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    chosen, outbox = configuration(1, tmp_path), MemoryOutbox()
    one, other = (topics for _, topics in chosen.followed)

    def work(*sent: Outgoing, now: float) -> None:
        with ViewStore(chosen.store) as store:
            line = JoinedLine(chosen, outbox, store, "box", lambda verdict: None, now)
            line.work([heard(each) for each in sent], now, decide=True)

    work(messages(seen(1, part_id="A"), one)[0], messages(seen(1, part_id="A"), other)[0], now=0.0)
    work(messages(seen(3, part_id="B"), one)[0], now=1.0)  # it waits for the one before it
    receive = FollowedView.receive

    def fail(view: FollowedView, kind: str, payload: bytes, now: float, *, retained: bool) -> list[Verdict]:
        if b'"B"' in payload:
            raise RuntimeError("a bug")
        return receive(view, kind, payload, now, retained=retained)

    monkeypatch.setattr(FollowedView, "receive", fail)
    work(messages(seen(2, part_id="C"), one)[0], messages(seen(2, part_id="C"), other)[0], now=2.0)
    assert [each["part_id"] for each in told(outbox)] == ["A", "C"]
    assert "view v0: a verdict is skipped because of an error here" in caplog.text


def test_what_was_decided_reaches_an_outbox_that_forgot_it(tmp_path: Path) -> None:
    """After a power cut the outbox may have lost verdicts that were sent already: they come again, unchanged."""
    chosen = configuration(1, tmp_path)
    (one, other), before = (topics for _, topics in chosen.followed), MemoryOutbox()
    with ViewStore(chosen.store) as store:
        line = JoinedLine(chosen, before, store, "box", lambda verdict: None, 0.0)
        for number in range(1, 4):
            parts = [messages(seen(number, part_id=str(number)), topics)[0] for topics in (one, other)]
            line.work([heard(message) for message in parts], float(number), decide=True)
    after = MemoryOutbox()
    after.put(JOINT.station, lambda sequence: [Outgoing(JOINT.verdict, b"{}", "verdict")])
    with ViewStore(chosen.store) as store:
        JoinedLine(chosen, after, store, "box", lambda verdict: None, 0.0)
    assert told(after)[1:] == told(before)[1:]


def test_a_new_outbox_is_numbered_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store_module, "KEPT_DECISIONS", 1)
    chosen = configuration(1, tmp_path)

    def work(outbox: MemoryOutbox, *numbers: int) -> None:
        with ViewStore(chosen.store) as store:
            line = JoinedLine(chosen, outbox, store, "box", lambda verdict: None, 0.0)
            for number in numbers:
                for _, topics in chosen.followed:
                    line.work([heard(messages(seen(number, part_id=str(number)), topics)[0])], 0.0, decide=True)

    work(MemoryOutbox(), 1, 2, 3)
    fresh = MemoryOutbox()
    work(fresh, 4)
    work(fresh, 5)
    assert [(each["sequence"], each["part_id"]) for each in told(fresh)] == [(1, "4"), (2, "5")]
    assert "the outbox was replaced" in caplog.text


def test_a_message_that_is_no_message_costs_only_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    chosen, outbox = configuration(1, tmp_path), MemoryOutbox()
    topics = [topics for _, topics in chosen.followed]
    with ViewStore(chosen.store) as store:
        line = JoinedLine(chosen, outbox, store, "box", lambda verdict: None, 0.0)
        broken = [
            Heard(topic, payload, False) for topic in (*line.topics, "other") for payload in (b"", b"{}", b"\xff")
        ]
        good = [heard(messages(seen(1, part_id="A"), each)[0]) for each in topics]
        line.work([*broken, *good], 1.0, decide=True)
    assert [each["part_id"] for each in told(outbox)] == ["A"]
    assert "view v0: a verdict cannot be read" in caplog.text


def test_a_clock_that_a_box_has_set_puts_its_view_out_of_step(tmp_path: Path) -> None:
    chosen, outbox = configuration(1, tmp_path, match="position", window_s=0.01), MemoryOutbox()
    topics = [topics for _, topics in chosen.followed]
    with ViewStore(chosen.store) as store:
        line = JoinedLine(chosen, outbox, store, "box", lambda verdict: None, 0.0)

        def part(number: int, now: float) -> None:
            sent = [seen(number, at=float(number), boot_id=f"box{view}") for view in (0, 1)]
            both = zip(sent, topics, strict=True)
            line.work([heard(messages(one, where)[0]) for one, where in both], now, decide=True)

        def beat(steps: int, newest: int) -> None:
            told = a_health().model_copy(update={"boot_id": "box1", "sequence": newest})
            told = told.model_copy(update={"clock": told.clock.model_copy(update={"steps": steps, "last_step_s": 3.0})})
            line.work([Heard(topics[1].health, told.to_json(), False)], 1.0, decide=True)

        beat(2, 0)
        part(1, 1.0)
        beat(2, 1)
        part(2, 1.1)
        beat(3, 2)
        part(3, 1.2)
        part(4, 100.0)
        part(5, 100.1)
    assert [each["reason"] for each in told(outbox)] == [None, None, "view_unmatched", None, None]
    assert told(outbox)[2]["views"][1]["problem"] == "it is out of step: its box has set its clock by 3.0 s"


def test_what_the_status_says_is_known(tmp_path: Path) -> None:
    chosen = configuration(1, tmp_path)
    (topics, _), outbox = (topics for _, topics in chosen.followed), MemoryOutbox()
    with ViewStore(chosen.store) as store:
        line = JoinedLine(chosen, outbox, store, "box", lambda verdict: None, 0.0)
        line.work([Heard(topics.status, status("offline").to_json(), True)], 1.0, decide=True)
        assert [view.state for view in line.views] == ["offline", "unknown"]
        line.disconnect()
        assert {view.state for view in line.views} == {"unknown"}


def test_the_store_that_cannot_be_written_ends_the_work(tmp_path: Path) -> None:
    chosen, outbox = configuration(1, tmp_path), MemoryOutbox()
    topics = chosen.followed[0][1]
    with ViewStore(chosen.store) as store:
        line = JoinedLine(chosen, outbox, store, "box", lambda verdict: None, 0.0)
        with closing(sqlite3.connect(chosen.store)) as other:
            other.execute("DROP TABLE received")
        with pytest.raises(OutboxError, match="cannot be written"):
            line.work([heard(messages(seen(1, part_id="A"), topics)[0])], 1.0, decide=True)


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(b"x" * 9000), lambda path: path.write_bytes(b"")])
def test_a_damaged_store_is_set_aside(tmp_path: Path, spoil: Callable[[Path], Any]) -> None:
    path = tmp_path / "joint.views.db"
    with ViewStore(path):
        pass
    spoil(path)
    with ViewStore(path) as store:
        assert store.stored.parts == []


def test_only_one_process_uses_the_store(tmp_path: Path) -> None:
    path = tmp_path / "joint.views.db"
    with ViewStore(path), pytest.raises(OutboxError, match="uses it; stop that process"):
        ViewStore(path)
    with pytest.raises(OutboxError, match="let this user write to"):
        ViewStore(tmp_path / "none" / "a.db")
