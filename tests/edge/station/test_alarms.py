from __future__ import annotations

import threading

import numpy as np
import pytest
from outbox_parts import one

from edge_inspect.edge.cameras import Capture
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.health.calibration_watch import SENTENCES
from edge_inspect.edge.outbox import REFUSED
from edge_inspect.edge.outbox.memory import MemoryOutbox
from edge_inspect.edge.station.alarms import OVERLOAD, Alarms
from edge_inspect.edge.station.ring import FrameRing
from edge_inspect.edge.station.state import StationState


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
    station.outbox.problem = "takes nothing: Input/output error"
    station.alarms.let_pass()
    station.alarms.look([SENTENCES["dark"]], hurried=True)
    assert station.state.problem == "the outbox's file takes nothing: Input/output error"
    station.outbox.problem = None
    station.alarms.let_pass()
    station.alarms.look([SENTENCES["dark"]], hurried=True)
    assert station.state.problem == OVERLOAD
    station.alarms.look([SENTENCES["dark"], SENTENCES["disk"]], hurried=True)
    assert station.state.problem == SENTENCES["dark"]
    station.alarms.look([SENTENCES["disk"]], hurried=True)
    assert station.state.problem == SENTENCES["disk"]
    station.alarms.look([], hurried=True)
    assert station.state.problem is None
    assert len(station.said) == 6


def test_a_fault_is_none_of_theirs(station: Station) -> None:
    station.state.degrade("the camera is lost")
    station.alarms.look([], hurried=True)
    assert station.state.problem == "the camera is lost"


def test_what_the_outbox_dropped_is_said_until_a_look_finds_no_more(station: Station) -> None:
    for _ in range(3):
        station.outbox.put("a", one())
    station.alarms.look([], hurried=True)
    assert station.state.problem is None
    station.outbox.drop(entry.id for entry in station.outbox.pending("a", 0, 2))
    station.alarms.look([SENTENCES["dark"]], hurried=True)
    assert station.state.problem == f"the outbox dropped 2 messages that were not sent: {REFUSED}"
    station.alarms.look([], hurried=True)
    assert station.state.problem is None
