from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from bridge_parts import defect, read, resend_reply, verdict
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspect.edge.bridge.received_messages import ReceivedPart, StatusOrHealth
from edge_inspect.edge.bridge.reorder_buffer import ReorderBuffer, SequencePosition
from edge_inspect.edge.bridge.resend_requests import ResendRequests

TICK = 0.05


@dataclass
class Station:
    """A station with a history, and what becomes of its messages on their way."""

    total: int
    kept_from: int = 1
    loses: set[int] = field(default_factory=set)
    forgets: set[int] = field(default_factory=set)
    refuses: str | None = None
    silent: bool = False
    asked: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        made = [verdict(sequence, ok=sequence % 5 != 0) for sequence in range(1, self.total + 1)]
        self.parts = {one.sequence: [read(one)] + ([] if one.ok else [read(defect(one, 7))]) for one in made}
        self.buffer = ReorderBuffer(SequencePosition(first=1, next=1, boots={"b": 1}), 0.5)
        self.resends = ResendRequests("a", self.buffer)
        self.now = 0.0
        self.handed: list[int] = []

    def send(self, first: int, last: int) -> None:
        for sequence in range(first, last + 1):
            if sequence not in self.loses:
                for message in self.parts[sequence]:
                    self.take(message)
            # What was lost once comes the next time.
            self.loses.discard(sequence)

    def take(self, message: ReceivedPart) -> None:
        self.handed += [found.part.sequence for found in self.buffer.take(message, self.now)]

    def run(self, seconds: float) -> Station:
        for _ in range(int(seconds / TICK)):
            self.now += TICK
            self.handed += [found.part.sequence for found in self.buffer.release(self.now)]
            if (command := self.resends.ask(self.now)) is not None:
                self.answer(command)
        return self

    def answer(self, command: bytes) -> None:
        wanted = json.loads(command)
        self.asked.append((wanted["from_sequence"], wanted["to_sequence"]))
        if self.silent:
            return
        first, last = max(self.asked[-1][0], self.kept_from), min(self.asked[-1][1], self.total)
        refusal = self.refuses or ("impossible" if first > last else None)
        if refusal:
            self.resends.answer(resend_reply(command, refusal=refusal, reason="why"), self.now)
            return
        self.resends.answer(resend_reply(command, resend={"first": first, "last": last}), self.now)
        self.loses |= self.forgets
        self.send(first, last)


def test_a_gap_is_asked_for_once_and_closed() -> None:
    station = Station(10, loses={4, 5, 6})
    station.send(1, 10)
    station.run(3)
    assert station.handed == list(range(1, 11)) and station.asked == [(4, 6)]


def test_a_large_gap_is_asked_for_in_pieces_the_newest_first() -> None:
    station = Station(700, loses=set(range(2, 650)))
    station.send(1, 700)
    station.run(10)
    assert sorted(station.handed) == list(range(1, 701)) and station.buffer.lost == 0
    assert station.asked == [(400, 649), (150, 399), (2, 149)]


def test_what_the_history_does_not_reach_is_lost_and_said() -> None:
    station = Station(600, kept_from=500, loses=set(range(2, 590)))
    station.send(1, 600)
    station.run(10)
    assert station.buffer.lost == 498 and station.buffer.missing.total() == 0
    assert sorted(station.handed) == [1, *range(500, 601)]


def test_an_empty_history_is_asked_four_times(caplog: Any) -> None:
    station = Station(10, kept_from=99, loses={3})
    station.send(1, 10)
    station.run(6)
    assert station.buffer.lost == 0
    station.run(5)
    assert len(station.asked) == 4 and station.buffer.lost == 1
    assert "1 part(s) up to number 3 are lost: why" in caplog.text


def test_parts_that_the_station_has_dropped_are_lost_after_a_while() -> None:
    station = Station(10, loses={3}, forgets={3})
    station.send(1, 10)
    station.run(60)
    assert station.buffer.lost == 1 and len(station.asked) == 4


def test_a_refusal_that_can_be_mended_loses_nothing(caplog: Any) -> None:
    station = Station(10, loses={3}, refuses="unauthorised")
    station.send(1, 10)
    station.run(100)
    assert station.buffer.missing.total() == 1 and station.buffer.lost == 0
    assert "commands.allow must name resend" in caplog.text
    station.refuses = None
    station.run(40)
    assert sorted(station.handed) == list(range(1, 11)) and 5 < len(station.asked) < 12


def test_a_busy_station_is_asked_until_it_has_time(caplog: Any) -> None:
    station = Station(10, loses={3}, refuses="busy")
    station.send(1, 10)
    station.run(30)
    assert station.buffer.lost == 0 and 10 < len(station.asked) < 40
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    station.refuses = None
    station.run(10)
    assert sorted(station.handed) == list(range(1, 11))


def test_a_silent_station_is_asked_again_and_a_new_connection_at_once() -> None:
    station = Station(10, loses={3}, silent=True)
    station.send(1, 10)
    station.run(100)
    assert station.buffer.lost == 0 and 3 < len(station.asked) < 12
    station.silent = False
    station.resends.forget()
    station.run(40)
    assert sorted(station.handed) == list(range(1, 11))


def test_the_newest_parts_are_missed_by_what_the_station_says() -> None:
    station = Station(300, loses=set(range(6, 301)))
    station.send(1, 300)
    assert station.run(5).asked == []
    station.buffer.announce(StatusOrHealth(boot_id="b", sequence=300), retained=True)
    station.run(10)
    assert station.handed == list(range(1, 301)) and station.asked == [(6, 255), (256, 300)]


def test_announced_parts_that_do_not_come_are_overdue_until_they_have() -> None:
    station = Station(300, loses=set(range(6, 301)), silent=True)
    station.send(1, 5)
    station.buffer.announce(StatusOrHealth(boot_id="b", sequence=299), retained=False)
    assert station.run(0.9).resends.overdue == 0
    assert station.run(0.3).resends.overdue == 294
    # A new connection changes nothing, nor that it goes on counting.
    station.resends.forget()
    station.buffer.announce(StatusOrHealth(boot_id="b", sequence=300), retained=False)
    assert station.run(0.1).resends.overdue == 295
    station.silent = False
    station.run(40)
    assert station.resends.overdue == 0 and station.handed == list(range(1, 301))


def test_parts_on_their_way_are_neither_overdue_nor_asked_for() -> None:
    station = Station(40, loses={6, 7})
    station.send(1, 7)
    station.buffer.announce(StatusOrHealth(boot_id="b", sequence=7), retained=False)
    station.run(5)
    assert station.asked == [(6, 7)]
    # One part every ten seconds, whose health is faster than its verdict; then an outbox that drains slowly.
    for sequence in range(8, 41):
        station.buffer.announce(StatusOrHealth(boot_id="b", sequence=sequence if sequence < 20 else 40), retained=False)
        assert station.run(0.8).resends.overdue == 0
        station.send(sequence, sequence)
        station.run(9.2 if sequence < 19 else 0)
    assert station.asked == [(6, 7)] and station.handed == list(range(1, 41))


def test_the_next_part_is_not_overdue_because_those_before_it_were() -> None:
    station = Station(20)
    station.send(1, 5)
    station.buffer.announce(StatusOrHealth(boot_id="b", sequence=10), retained=False)
    while station.buffer.behind:
        station.run(TICK)
    # With its next turn the station sees that its request is over.
    station.run(TICK).buffer.announce(StatusOrHealth(boot_id="b", sequence=11), retained=False)
    assert station.run(0.8).resends.overdue == 0 and station.asked == [(6, 10)]


def test_parts_that_come_again_after_the_outbox_has_drained_are_not_lost() -> None:
    station = Station(1200, loses={3}, forgets={3})
    station.send(1, 10)
    station.buffer.announce(StatusOrHealth(boot_id="b", sequence=1200), retained=False)
    for sequence in range(11, 1201):
        station.run(TICK).send(sequence, sequence)
    assert station.asked == [(3, 3)] and station.buffer.lost == 0
    station.send(3, 3)
    assert sorted(station.handed) == list(range(1, 1201))


def test_parts_that_wait_in_the_outbox_are_not_lost() -> None:
    station = Station(10, kept_from=99, loses={9, 10})
    station.send(1, 10)
    station.buffer.announce(StatusOrHealth(boot_id="b", sequence=10), retained=False)
    station.run(200)
    assert len(station.asked) > 5 and station.buffer.lost == 0
    station.send(9, 10)
    assert station.handed == list(range(1, 11))


@settings(deadline=None)
@given(st.sets(st.integers(1, 59)), st.integers(1, 60), st.sets(st.integers(1, 59), max_size=3))
def test_all_comes_or_is_counted(loses: set[int], kept_from: int, forgets: set[int]) -> None:
    station = Station(60, kept_from=kept_from, loses=set(loses), forgets=forgets & loses)
    station.send(1, 60)
    station.run(300)
    came = set(station.handed)
    assert len(station.handed) == len(came) and station.buffer.missing.total() == 0
    assert len(came) + station.buffer.lost == 60
    assert {sequence for sequence in loses if sequence >= kept_from} - forgets <= came
