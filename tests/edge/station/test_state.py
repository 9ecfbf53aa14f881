from __future__ import annotations

import logging

import pytest

from edge_inspect.edge.contract.messages import State
from edge_inspect.edge.station.state import StationState

LOST, HANGS, DARK, FULL = "the camera is lost", "the engine hangs", "the picture is dark", "the disk is full"


class Said(StationState):
    """A state that is online, and what it has said since."""

    def __init__(self) -> None:
        self.all: list[tuple[State, str | None]] = []
        super().__init__("a", lambda state, reason: self.all.append((state, reason)))
        self.start()
        assert self.take() == [("online", None)]

    def take(self) -> list[tuple[State, str | None]]:
        taken = self.all.copy()
        self.all.clear()
        return taken


@pytest.fixture
def state() -> Said:
    return Said()


def test_a_fault_is_said_once_a_reason_until_a_part_has_its_verdict(state: Said) -> None:
    for reason in (LOST, LOST, HANGS, HANGS):
        state.degrade(reason)
    assert state.take() == [("degraded", LOST), ("degraded", HANGS)]
    state.recover()
    state.recover()
    assert state.take() == [("online", None)]


def test_an_alarm_lasts_while_parts_are_inspected(state: Said) -> None:
    for reason in (DARK, DARK, FULL):
        state.alarm(reason)
        state.recover()
    assert state.take() == [("degraded", DARK), ("degraded", FULL)]
    state.alarm(None)
    state.alarm(None)
    assert state.take() == [("online", None)]


def test_a_fault_is_said_before_an_alarm_and_its_end_shows_the_alarm_again(state: Said) -> None:
    state.alarm(DARK)
    for _ in range(3):  # each at its own pace
        state.degrade(LOST)
        state.alarm(DARK)
    assert state.problem == LOST
    state.recover()
    assert state.problem == DARK
    assert state.take() == [("degraded", DARK), ("degraded", LOST), ("degraded", DARK)]


def test_what_becomes_of_an_alarm_under_a_fault_is_not_said(state: Said) -> None:
    state.degrade(LOST)
    state.alarm(DARK)
    state.alarm(FULL)
    state.alarm(None)
    state.recover()
    assert state.take() == [("degraded", LOST), ("online", None)]


def test_a_fault_and_an_alarm_of_one_reason_are_one_to_who_hears_it(state: Said) -> None:
    state.alarm(FULL)
    state.degrade(FULL)
    state.recover()
    assert state.take() == [("degraded", FULL)] and state.problem == FULL


def test_during_a_pause_nothing_else_is_said(state: Said) -> None:
    state.pause("by command")
    state.degrade(LOST)
    state.alarm(DARK)
    state.recover()
    assert state.take() == [("paused", "by command")]
    state.resume()
    assert state.take() == [("degraded", DARK)]


def test_a_station_that_has_not_started_is_not_online(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    said: list[tuple[State, str | None]] = []
    state = StationState("a", lambda *all_: said.append(all_))
    state.alarm(None)
    state.recover()
    assert said == []
    state.degrade(LOST)
    state.start()
    assert said == [("degraded", LOST)] and caplog.messages == [f"a: {LOST}"]


def test_the_log_says_what_the_status_says(state: Said, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    state.alarm(DARK)
    state.degrade(LOST)
    state.alarm(None)
    state.recover()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", f"a: {DARK}"),
        ("WARNING", f"a: {LOST}"),
        ("INFO", "a: inspects again"),
    ]
