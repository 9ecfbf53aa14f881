from __future__ import annotations

import threading

import numpy as np
import pytest

from edge.cameras import Capture
from edge.health.vitals import SAID
from edge.messages import utc_now
from edge.outbox.memory import MemoryOutbox
from edge.station.alarms import OVERLOAD, Alarms
from edge.station.ring import FrameRing
from edge.station.state import StationState


class Station:
    """The alarms of a station with its ring; the camera is at a rate of its own."""

    def __init__(self, outbox: MemoryOutbox) -> None:
        self.outbox = outbox
        self.said: list[str | None] = []
        self.state = StationState("a", lambda _, reason: self.said.append(reason))
        self.ring = FrameRing(4, "every", threading.Event())
        self.alarms = Alarms(self.state, outbox, self.ring)
        self.state.start()

    def lose_frames(self) -> None:
        self.ring.offer(Capture(np.zeros((2, 3, 3), np.uint8), utc_now(), missed=2))
        self.ring.take()


@pytest.fixture
def station(outbox: MemoryOutbox) -> Station:
    return Station(outbox)


def test_an_overload_lasts_until_a_look_finds_no_more_of_it(station: Station) -> None:
    for _ in range(2):
        station.lose_frames()
        station.alarms.look([], hurried=True)
        station.state.recover()
        assert station.state.problem == OVERLOAD
    station.alarms.look([], hurried=True)
    assert station.said == [None, OVERLOAD, None]


def test_a_recorded_source_may_wait(station: Station) -> None:
    station.lose_frames()
    station.alarms.look([], hurried=False)
    assert station.state.problem is None


def test_a_part_that_goes_by_is_said_at_once_and_as_long_as_more_do(station: Station) -> None:
    for _ in range(3):
        station.alarms.let_pass()
        station.state.recover()
        assert station.state.problem == OVERLOAD
        station.alarms.look([], hurried=True)
    assert station.said == [None, OVERLOAD]
    station.alarms.look([], hurried=True)
    assert station.said == [None, OVERLOAD, None]


def test_the_worst_is_said(station: Station) -> None:
    station.outbox.problem = "Input/output error"
    station.alarms.let_pass()
    station.alarms.look(["dark"], hurried=True)
    assert station.state.problem is not None and "outbox's disk" in station.state.problem
    station.outbox.problem = None
    station.alarms.let_pass()
    station.alarms.look(["dark"], hurried=True)
    assert station.state.problem == OVERLOAD
    station.alarms.look(["dark", "disk"], hurried=True)
    assert station.state.problem == SAID["dark"]
    station.alarms.look(["disk"], hurried=True)
    assert station.state.problem == SAID["disk"]
    station.alarms.look([], hurried=True)
    assert station.state.problem is None
    assert len(station.said) == 6


def test_a_fault_is_none_of_theirs(station: Station) -> None:
    station.state.degrade("the camera is lost")
    station.alarms.look([], hurried=True)
    assert station.state.problem == "the camera is lost"
