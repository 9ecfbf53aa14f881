"""When a changed station is called wrong: by its rejects, its alarms, its bundle."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from bridge_parts import verdict
from station_parts import health, status

from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.health import EvidenceHealth, FrameCounts, RejectHealth, StageHealth
from edge_inspect.edge.contract.messages import BundleReference
from edge_inspect.edge.fleet.rollout_record import StationEntry
from edge_inspect.edge.fleet.station_watch import StationWatch, looks, usual_share

NEW, OLD = BundleReference(name="same", digest="a" * 64), BundleReference(name="same", digest="b" * 64)
NOW = utc_now()
ENTRY = StationEntry(station="p/l/a", state="watched", before=OLD, sequence=100, changed_at=NOW, usual=0.05)


def watched(rejects: list[bool], *, stations: int = 20, parts: int = 100, **entry: Any) -> StationWatch:
    watch = StationWatch(NEW.digest, ENTRY.model_copy(update=entry), parts, stations)
    for i, rejected in enumerate(rejects, 101):
        watch.take(verdict(i, ok=not rejected).model_copy(update={"bundle": NEW}))
    return watch


def later(message: Any, seconds: float = 5.0, **changes: Any) -> Any:
    return message.model_copy(update={"at": NOW + timedelta(seconds=seconds), **changes})


def test_parts_before_the_change_and_repeats_are_not_counted() -> None:
    watch = watched([True, False, True])
    for sequence in (99, 100, 101, 103):
        watch.take(verdict(sequence, ok=False).model_copy(update={"bundle": OLD}))
    watch.take(verdict(102, ok=False).model_copy(update={"bundle": NEW}))
    assert (watch.parts, watch.rejected) == (3, 2) and watch.problem(None, None) is None


@pytest.mark.parametrize(
    ("usual", "rejects", "within"),
    [(0.05, 0.3, 64), (0.02, 0.3, 32), (0.05, 1.0, 8), (0.2, 0.6, 64), (0.002, 0.15, 100)],
)
def test_a_bundle_that_rejects_more_is_found(usual: float, rejects: float, within: int) -> None:
    rng = np.random.default_rng(3)
    found = [
        watched(list(rng.random(within) < rejects), usual=usual).problem(None, None) is not None for _ in range(100)
    ]
    assert sum(found) > 80


def test_a_bundle_that_rejects_as_usual_is_not_stopped() -> None:
    """The risk of a false stop is 1 % for the whole roll-out; 2,000 roll-outs' worth of 20 stations would show more."""
    rng = np.random.default_rng(7)
    for usual in (0.002, 0.05, 0.3):
        stopped = sum(
            watched(list(rng.random(128) < usual), parts=128, usual=usual).problem(None, None) is not None
            for _ in range(600)
        )
        assert stopped <= 4, usual  # 0.3 are expected


def test_the_looks_end_with_the_last_part() -> None:
    assert looks(100) == [8, 16, 32, 64, 100]
    assert looks(64) == [8, 16, 32, 64]
    assert looks(5) == [5]


def test_the_message_names_the_figures() -> None:
    said = watched([True] * 8).problem(None, None)
    assert said is not None and "it rejects 100.0 % of 8 parts; 5.0 % is usual, and " in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bundle": OLD}, "it has gone back to same by itself"),
        ({"bundle": BundleReference(name="third", digest="c" * 64)}, "it uses third now, which somebody else"),
        (
            {"bundle": NEW, "warnings": ("score_drift",), "remedy": "see the lamp"},
            "it warns: score_drift; see the lamp",
        ),
        ({"bundle": NEW, "warnings": ("light_changed", "disk")}, "it warns: light_changed"),
        ({"bundle": NEW, "stages": {"engine": StageHealth(state="stuck", seconds=9, progress=1)}}, "engine stuck"),
        ({"bundle": NEW, "evidence": EvidenceHealth(saved=0, dropped=1, bytes=0, problem="full")}, "evidence problem"),
        ({"bundle": NEW, "uptime_s": 1.0}, "its service was started again"),
        ({"bundle": NEW, "warnings": ("disk",)}, None),
        ({"bundle": NEW}, None),
    ],
)
def test_what_the_health_says(changes: dict[str, Any], said: str | None) -> None:
    found = watched([False]).problem(status(), later(health(), **{"uptime_s": 900.0, **changes}))
    assert found == said if said is None else said in str(found)


def test_what_was_so_before_is_not_wrong() -> None:
    ill = later(health(), bundle=NEW, warnings=("score_drift",), uptime_s=900.0)
    state = later(status("degraded"), reason="dark pictures")
    assert watched([], alarms=("score_drift",), degraded=True).problem(state, ill) is None
    assert watched([], alarms=("score_drift",)).problem(state, ill) == "it is degraded: dark pictures"
    # Health from before the change is of the former bundle.
    assert watched([]).problem(None, later(health(), -5.0, bundle=OLD, warnings=("frozen",))) is None


def test_a_part_of_the_former_bundle_shows_that_the_station_went_back() -> None:
    watch = watched([False] * 3)
    watch.take(verdict(104).model_copy(update={"bundle": OLD}))
    assert not watch.is_in_force(None)
    said = watch.problem(later(status("degraded"), reason="new failed and was rolled back"), None)
    assert said == "it has gone back to same by itself: new failed and was rolled back"


def test_a_part_that_was_under_way_at_the_change_says_nothing() -> None:
    watch = watched([])
    watch.take(verdict(101).model_copy(update={"bundle": OLD}))
    assert watch.is_in_force(None) and watch.problem(None, None) is None
    # A later part of the former bundle counts more than a health from before it.
    watch.take(verdict(102).model_copy(update={"bundle": NEW}))
    watch.take(verdict(103).model_copy(update={"bundle": OLD}))
    assert not watch.is_in_force(later(health(), bundle=NEW))


@pytest.mark.parametrize(
    ("rejects", "inspected", "usual"),
    [
        (None, 500, 0.05),
        (RejectHealth(share=0.01, usual=0.04, evidence=0, limit=9), 500, 0.04),
        (RejectHealth(share=0.2, usual=0.04, evidence=0, limit=9), 500, 0.2),
        (RejectHealth(share=0.5, usual=0.04, evidence=0, limit=9), 2, 0.04),
        (RejectHealth(share=1.0, usual=0.04, evidence=0, limit=9), 500, 0.9),
    ],
)
def test_what_is_usual_is_what_the_station_did_before(
    rejects: RejectHealth | None, inspected: int, usual: float
) -> None:
    frames = FrameCounts(inspected=inspected, accepted=inspected, rejected=0, dropped=0)
    assert usual_share(health().model_copy(update={"rejects": rejects, "frames": frames})) == usual
