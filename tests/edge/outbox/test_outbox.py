from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from mosquitto import wait_until
from outbox_parts import PAYLOAD, both, one, sequences

from edge_inspect.edge.contract import ids
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.outbox import Entry, Kind, Outbox, Outgoing
from edge_inspect.edge.outbox.memory import MemoryOutbox
from edge_inspect.edge.outbox.sqlite import SqliteOutbox

NOW = 1_800_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class FlushedOutbox(SqliteOutbox):
    """With full durability a message is given out once it is on the disk: some milliseconds later, or here at once."""

    def pending(self, station: str, after: int, limit: int) -> list[Entry]:
        self.flush()
        return super().pending(station, after, limit)


@pytest.fixture(params=["memory", "sqlite", "sqlite, full durability"])
def make_outbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    numbers = itertools.count()
    made: list[Any] = []

    def make(**bounds: Any) -> Any:
        if request.param == "memory":
            made.append(MemoryOutbox(**bounds))
        else:
            full = "full" in request.param
            kind, durability = (FlushedOutbox, "full") if full else (SqliteOutbox, "normal")
            made.append(kind(tmp_path / f"{next(numbers)}.db", durability=durability, **bounds))
        return made[-1]

    yield make
    for outbox in made:
        outbox.close()


def test_entries_come_in_order_with_rising_sequences(make_outbox: Callable[..., Outbox]) -> None:
    outbox = make_outbox()
    assert [outbox.put("a", both) for _ in range(3)] == [1, 2, 3]
    entries = outbox.pending("a", 0, 100)
    assert [(entry.sequence, entry.kind) for entry in entries] == [
        (number, kind) for number in (1, 2, 3) for kind in ("verdict", "defect")
    ]
    assert [json.loads(entry.payload)["sequence"] for entry in entries] == [1, 1, 2, 2, 3, 3]
    assert sorted(entry.id for entry in entries) == [entry.id for entry in entries]
    assert outbox.recovered_from is None


def test_stations_are_apart(make_outbox: Callable[..., Outbox]) -> None:
    outbox = make_outbox()
    assert [outbox.put(station, one()) for station in "abab"] == [1, 1, 2, 2]
    assert sequences(outbox, "a") == sequences(outbox, "b") == [1, 2]
    assert {entry.station for entry in outbox.pending("b", 0, 9)} == {"b"}
    assert outbox.pending("c", 0, 9) == []


def test_pending_goes_on_after_an_id(make_outbox: Callable[..., Outbox]) -> None:
    outbox = make_outbox()
    for _ in range(5):
        outbox.put("a", one())
    first = outbox.pending("a", 0, 2)
    assert [entry.sequence for entry in outbox.pending("a", first[-1].id, 2)] == [3, 4]


def test_remove_is_idempotent(make_outbox: Callable[..., Outbox]) -> None:
    outbox = make_outbox()
    for _ in range(3):
        outbox.put("a", one())
    ids = [entry.id for entry in outbox.pending("a", 0, 2)]
    outbox.remove(ids)
    outbox.remove([*ids, 12345])
    assert sequences(outbox) == [3]
    assert outbox.depth() == (1, 100)
    assert outbox.dropped() == {"verdict": 0, "defect": 0}
    assert outbox.put("a", one()) == 4


def test_drop_is_counted_once(make_outbox: Callable[..., Outbox]) -> None:
    outbox = make_outbox()
    outbox.put("a", both)
    ids = [entry.id for entry in outbox.pending("a", 0, 2)]
    outbox.drop(ids[1:])
    outbox.drop(ids[1:])
    assert outbox.dropped() == {"verdict": 0, "defect": 1}


def test_an_error_in_make_burns_no_number(make_outbox: Callable[..., Outbox]) -> None:
    outbox = make_outbox()
    outbox.put("a", one())

    def fails(sequence: int) -> list[Outgoing]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        outbox.put("a", fails)
    with pytest.raises(ValueError, match="gap"):
        outbox.put("a", lambda sequence: [])
    assert outbox.put("a", one()) == 2
    assert sequences(outbox) == [1, 2]


def test_a_full_outbox_drops_the_oldest_verdicts_before_defects(make_outbox: Callable[..., Outbox]) -> None:
    outbox = make_outbox(max_bytes=400)
    for kind in ("defect", "verdict", "verdict", "defect"):
        outbox.put("a", one(kind))
    outbox.put("a", one("verdict"))
    assert sequences(outbox) == [1, 3, 4, 5]
    for _ in range(3):
        outbox.put("a", one("defect"))
    assert sequences(outbox) == [4, 6, 7, 8]
    assert outbox.put("a", one("verdict")) == 9
    assert sequences(outbox) == [4, 6, 7, 8]
    assert outbox.dropped() == {"verdict": 4, "defect": 1}
    assert outbox.depth() == (4, 400)


def test_a_message_above_the_bound_is_dropped_not_refused(make_outbox: Callable[..., Outbox]) -> None:
    outbox = make_outbox(max_bytes=50)
    assert outbox.put("a", one("defect")) == 1
    assert (outbox.depth(), outbox.dropped()["defect"]) == ((0, 0), 1)


def test_the_policy_may_drop_the_newest_verdicts_instead(make_outbox: Callable[..., Outbox]) -> None:
    outbox = make_outbox(max_bytes=400, when_full="drop_newest")
    for kind in ("defect", "verdict", "verdict", "defect", "verdict"):
        outbox.put("a", one(kind))
    assert sequences(outbox) == [1, 2, 3, 4]
    for _ in range(3):
        outbox.put("a", one("defect"))
    assert sequences(outbox) == [1, 4, 6, 7]
    assert outbox.dropped() == {"verdict": 3, "defect": 1}


def history(outbox: Outbox, first: int = 1, last: int = 10**6, after: int = 0, limit: int = 100) -> list[int]:
    return [entry.sequence for entry in outbox.history("a", first, last, after, limit)]


def acknowledge(outbox: Outbox, count: int, station: str = "a") -> list[Entry]:
    entries = outbox.pending(station, 0, count)
    outbox.remove([entry.id for entry in entries])
    return entries


def test_what_was_acknowledged_can_be_had_again(make_outbox: Callable[..., Outbox]) -> None:
    outbox = make_outbox()
    assert outbox.history_range("a") is None
    for _ in range(6):
        outbox.put("a", one())
        outbox.put("b", one())
    sent = acknowledge(outbox, 4)
    acknowledge(outbox, 6, "b")
    assert outbox.history("a", 1, 9, 0, 100) == sent
    assert history(outbox, 2, 3) == [2, 3]
    assert history(outbox, 2, 9, after=sent[1].id, limit=1) == [3]
    assert (outbox.history_range("a"), outbox.history_range("b"), outbox.history_range("c")) == ((1, 4), (1, 6), None)
    # It waits no more, and acknowledging it again changes nothing.
    outbox.remove([entry.id for entry in sent])
    assert (sequences(outbox), outbox.depth()) == ([5, 6], (2, 200))
    assert history(outbox) == [1, 2, 3, 4]


def test_the_history_is_bounded_and_no_bound_of_what_waits(make_outbox: Callable[..., Outbox]) -> None:
    outbox = make_outbox(max_bytes=400, history_bytes=300)
    for _ in range(5):
        outbox.put("a", one("defect"))
        acknowledge(outbox, 1)
    assert history(outbox) == [3, 4, 5]
    for _ in range(4):
        outbox.put("a", one())
    assert (sequences(outbox), outbox.dropped()["verdict"]) == ([6, 7, 8, 9], 0)
    assert history(outbox) == [3, 4, 5]


def test_what_was_dropped_is_no_history(make_outbox: Callable[..., Outbox]) -> None:
    outbox = make_outbox(history_bytes=10**6)
    outbox.put("a", one())
    outbox.drop([entry.id for entry in outbox.pending("a", 0, 1)])
    assert history(outbox) == []
    without = make_outbox(history_bytes=0)
    without.put("a", one())
    acknowledge(without, 1)
    assert history(without) == []


def test_what_is_too_old_goes_at_the_next_put(make_outbox: Callable[..., Outbox]) -> None:
    clock = Clock()
    outbox = make_outbox(max_age_s=60, clock=clock)
    outbox.put("a", both)
    clock.now += 50
    outbox.put("a", one())
    clock.now += 20
    outbox.put("a", one())
    assert sequences(outbox) == [2, 3]
    assert outbox.dropped() == {"verdict": 1, "defect": 1}


def test_what_is_dropped_unsent_is_logged_with_its_reason(
    make_outbox: Callable[..., Outbox], caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    outbox = make_outbox(max_age_s=60, max_bytes=400, clock=clock)
    outbox.put("a", one())
    assert outbox.why_dropped == "" and not caplog.records
    clock.now += 61
    outbox.put("a", one("defect"))
    assert "drops messages unsent: they waited for longer than outbox.max_age_s, 60 s" in caplog.text
    assert "outbox.max_age_s" in outbox.why_dropped and outbox.dropped() == {"verdict": 1, "defect": 0}
    for _ in range(8):
        outbox.put("a", one("defect"))
    assert outbox.dropped()["defect"] > 1
    assert caplog.text.count("drops messages unsent: outbox.max_bytes, 400, is reached") == 1  # not once a part
    assert "outbox.max_bytes" in outbox.why_dropped
    outbox.drop([outbox.pending("a", 0, 1)[0].id])
    assert outbox.why_dropped == "the broker does not accept them; see the log for the reason"


def test_the_wall_clock_has_no_part_in_an_age(
    make_outbox: Callable[..., Outbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = make_outbox(max_age_s=60)
    for wall in (12.0, NOW, NOW + 21 * 86400, NOW - 7200, 2 * NOW):
        monkeypatch.setattr(time, "time", lambda wall=wall: wall)
        monkeypatch.setattr(time, "time_ns", lambda wall=wall: int(wall * 1e9))
        outbox.put("a", both)
    assert sequences(outbox) == [number for number in range(1, 6) for _ in range(2)]
    assert outbox.dropped() == {"verdict": 0, "defect": 0}


def test_a_put_wakes_the_station_until_it_unsubscribes(make_outbox: Callable[..., Outbox]) -> None:
    outbox = make_outbox()
    heard: list[int] = []
    stop = outbox.subscribe("a", lambda: heard.append(len(outbox.pending("a", 0, 9))))
    outbox.put("b", one())
    outbox.put("a", one())
    wait_until(lambda: 1 in heard)
    stop()
    outbox.put("a", one())
    time.sleep(0.05)
    assert 2 not in heard


def test_threads_put_and_remove_at_once(make_outbox: Callable[..., Outbox]) -> None:
    outbox = make_outbox()
    seen: list[Entry] = []

    def drain() -> None:
        while len(seen) < 200:
            entries = outbox.pending("a", seen[-1].id if seen else 0, 16)
            seen.extend(entries)
            outbox.remove(entry.id for entry in entries)

    reader = threading.Thread(target=drain)
    writers = [threading.Thread(target=lambda: [outbox.put("a", one()) for _ in range(50)]) for _ in range(4)]
    for thread in [reader, *writers]:
        thread.start()
    for thread in [reader, *writers]:
        thread.join(30)
    assert [entry.sequence for entry in seen] == list(range(1, 201))
    assert outbox.depth() == (0, 0)


class Model(RuleBasedStateMachine):
    """Any order of puts, removals and reopening, against a list."""

    folder: Path
    names = itertools.count()

    @initialize(
        durable=st.booleans(),
        max_bytes=st.integers(100, 900),
        history_bytes=st.integers(0, 500),
        when_full=st.sampled_from(["drop_oldest", "drop_newest"]),
    )
    def start(self, durable: bool, **bounds: Any) -> None:
        self.path = self.folder / f"{next(self.names)}.db" if durable else None
        self.bounds = bounds
        self.sent: list[Entry] = []
        self.outbox: Any = self.open()
        self.last = {"a": 0, "b": 0}
        self.stored: list[tuple[str, int, Kind, str]] = []
        self.lost: dict[Kind, int] = {"verdict": 0, "defect": 0}

    def open(self) -> Any:
        if self.path is None:
            return MemoryOutbox(**self.bounds)
        return SqliteOutbox(self.path, **self.bounds)

    @rule(station=st.sampled_from("ab"), kinds=st.lists(st.sampled_from(["verdict", "defect"]), min_size=1, max_size=3))
    def put(self, station: str, kinds: list[Kind]) -> None:
        self.last[station] += 1
        messages = [Outgoing(f"top{number:02}", PAYLOAD, kind) for number, kind in enumerate(kinds)]
        sequence = self.outbox.put(station, lambda sequence: messages)
        assert sequence == self.last[station]
        self.stored += [(station, sequence, message.kind, message.address) for message in messages]
        while 100 * len(self.stored) > self.bounds["max_bytes"]:
            verdicts = [item for item in self.stored if item[2] == "verdict"]
            goes = (verdicts or self.stored)[0 if self.bounds["when_full"] == "drop_oldest" else -1]
            self.stored.remove(goes)
            self.lost[goes[2]] += 1

    @rule(station=st.sampled_from("ab"), skip=st.integers(0, 2), limit=st.integers(1, 4))
    def remove(self, station: str, skip: int, limit: int) -> None:
        entries = self.outbox.pending(station, 0, skip + limit)[skip:]
        self.outbox.remove([entry.id for entry in entries])
        for entry in entries:
            self.stored.remove((entry.station, entry.sequence, entry.kind, entry.address))
        self.sent += entries
        while 100 * len(self.sent) > self.bounds["history_bytes"]:
            self.sent.remove(min(self.sent, key=lambda entry: entry.id))

    @rule()
    def reopen(self) -> None:
        if self.path is not None:
            self.outbox.close()
            self.outbox = self.open()

    @invariant()
    def agrees(self) -> None:
        for station in "ab":
            entries = self.outbox.pending(station, 0, 99)
            found = [(entry.station, entry.sequence, entry.kind, entry.address) for entry in entries]
            assert found == [item for item in self.stored if item[0] == station]
            kept = self.outbox.history(station, 1, 10**6, 0, 99)
            assert kept == sorted(
                (entry for entry in self.sent if entry.station == station), key=lambda entry: entry.id
            )
        assert self.outbox.depth() == (len(self.stored), 100 * len(self.stored))
        assert self.outbox.depth().bytes <= self.bounds["max_bytes"]
        assert self.outbox.dropped() == self.lost

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            self.outbox.close()


def test_any_order_of_operations(tmp_path: Path) -> None:
    machine = type("Machine", (Model,), {"folder": tmp_path})
    run_state_machine_as_test(machine, settings=settings(max_examples=30, stateful_step_count=20, deadline=None))


class Aging(RuleBasedStateMachine):
    """Any order of puts, sends, time that passes, steps of the wall clock, and starts of the process or the box."""

    folder: Path
    names = itertools.count()
    max_age_s = 100.0

    @initialize()
    def start(self) -> None:
        self.path = self.folder / f"{next(self.names)}.db"
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(ids, "newest_uuid7", (0, 0))
        self.step(NOW)
        self.steady, self.ran = 5.0, 0.0
        self.outbox = self.open()
        self.waiting: list[tuple[int, float]] = []
        """Number of each part that waits, and for how long an outbox was open before it."""
        self.newest = 0.0
        self.ids: list[str] = []

    def open(self) -> SqliteOutbox:
        return SqliteOutbox(self.path, max_age_s=self.max_age_s, clock=lambda: self.steady)

    @rule()
    def put(self) -> None:
        def make(sequence: int) -> list[Outgoing]:
            self.ids.append(uuid7())
            return [Outgoing("v", json.dumps({"id": self.ids[-1]}).encode(), "verdict")]

        self.waiting.append((self.outbox.put("a", make), self.ran))
        self.newest = self.ran
        self.waiting = [(number, at) for number, at in self.waiting if self.ran - at <= self.max_age_s]

    @rule()
    def send(self) -> None:
        entries = self.outbox.pending("a", 0, 1)
        self.outbox.remove([entry.id for entry in entries])
        del self.waiting[: len(entries)]

    @rule(seconds=st.integers(1, 80))
    def run(self, seconds: int) -> None:
        self.steady += seconds
        self.ran += seconds

    @rule(wall=st.floats(0, 2 * NOW))
    def step(self, wall: float) -> None:
        self.patch.setattr(time, "time", lambda: wall)
        self.patch.setattr(time, "time_ns", lambda: int(wall * 1e9))

    @rule(booted=st.booleans(), off_s=st.integers(1, 10**7))
    def start_again(self, booted: bool, off_s: int) -> None:
        self.outbox.close()
        self.steady = 3.0 if booted else self.steady + off_s
        # Nobody noted for how long the last process ran after its last part.
        self.ran = self.newest
        self.patch.setattr(ids, "newest_uuid7", (0, 0))
        self.outbox = self.open()

    @invariant()
    def agrees(self) -> None:
        assert sequences(self.outbox) == [number for number, _ in self.waiting]
        assert sorted(self.ids) == self.ids and len(set(self.ids)) == len(self.ids)

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            self.outbox.close()
            self.patch.undo()


def test_no_step_of_the_clock_and_no_start_drops_anything_or_turns_ids_round(tmp_path: Path) -> None:
    machine = type("Machine", (Aging,), {"folder": tmp_path})
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=25, deadline=None))
