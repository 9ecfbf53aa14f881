"""Stations that take parts at triggers: real cameras, a real engine and outbox; no broker."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from box_parts import make_box, make_settings
from mosquitto import wait_until
from sources import GigECamera, VideoFile
from tiny_bundle import write

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.configuration.settings import Settings
from edge_inspect.edge.contract.replies import RecipeChange
from edge_inspect.edge.engine_loop import EngineLoop
from edge_inspect.edge.frame.images import write_image
from edge_inspect.edge.outbox.memory import MemoryOutbox
from edge_inspect.edge.station.alarms import OVERLOAD
from edge_inspect.edge.station.change_records import RequestedBy
from edge_inspect.edge.station.station import Station


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write(tmp_path_factory.mktemp("bundles") / "tiny", threshold=100)


@pytest.fixture
def pictures(tmp_path: Path) -> str:
    for i in range(6):
        write_image(tmp_path / "frames" / f"{i}.png", np.full((48, 80, 3), 40 * i, np.uint8))
    return f"folder:{tmp_path / 'frames'}?loop=true"


Run = Callable[[Settings], tuple[Station, EngineLoop]]


@pytest.fixture
def run(outbox: MemoryOutbox) -> Iterator[Run]:
    ends: list[Callable[[], None]] = []

    def start(settings: Settings) -> tuple[Station, EngineLoop]:
        stations: list[Station] = []
        loop = EngineLoop(stations)
        stations.append(Station(settings, settings.stations[0], make_box(settings, outbox, loop.ready)))
        stations[0].start()
        ends.extend([lambda: loop.close(20), lambda: stations[0].close(4)])
        return stations[0], loop

    yield start
    for end in ends:
        end()


def verdicts(outbox: MemoryOutbox) -> list[dict[str, Any]]:
    return [json.loads(entry.payload) for entry in outbox.pending("a", 0, 10**6) if entry.kind == "verdict"]


def taken(verdict: dict[str, Any]) -> float:
    return datetime.fromisoformat(verdict["captured_at"].replace("Z", "+00:00")).timestamp()


def test_the_clock_takes_a_part_each_period(
    run: Run, bundle: Bundle, tmp_path: Path, pictures: str, outbox: MemoryOutbox
) -> None:
    started = time.time()
    _, loop = run(make_settings(tmp_path, bundle.path, camera=pictures, trigger="every 50 ms", policy="every"))
    loop.start()
    wait_until(lambda: len(verdicts(outbox)) >= 8, 60)
    found = verdicts(outbox)
    assert [verdict["part_id"] for verdict in found[:7]] == ["0", "1", "2", "3", "4", "5", "0"]
    assert all(taken(part) >= started + 0.05 * count for count, part in enumerate(found, 1)), "none is early"


def test_a_clock_too_fast_waits_with_every_and_raises_the_alarm(
    run: Run, bundle: Bundle, tmp_path: Path, pictures: str, outbox: MemoryOutbox
) -> None:
    """The engine has not started, so the ring fills up, then the requests for frames, and then the clock waits."""
    settings = make_settings(tmp_path, bundle.path, camera=pictures, trigger="every 1 ms", policy="every", queue=2)
    station, loop = run(settings)
    wait_until(lambda: station.ring.blocked, 60)
    time.sleep(0.2)
    station.publish_health()
    assert station.state.problem == OVERLOAD
    loop.start()
    wait_until(lambda: len(verdicts(outbox)) >= 30, 60)
    station.publish_health()
    assert station.health is not None and station.health.frames.dropped == 0
    assert [verdict["part_id"] for verdict in verdicts(outbox)][:8] == ["0", "1", "2", "3", "4", "5", "0", "1"]


def test_a_part_that_waited_for_room_has_the_recipe_of_its_trigger(
    run: Run, bundle: Bundle, tmp_path: Path, pictures: str, outbox: MemoryOutbox
) -> None:
    """The clock waits when the change-over comes, and triggers its part after the reply."""
    recipes = [{"name": name, "bundle": bundle.path} for name in ("one", "two")]
    settings = make_settings(
        tmp_path, bundle.path, recipes=recipes, camera=pictures, trigger="every 1 ms", policy="every", queue=1
    )
    station, loop = run(settings)
    wait_until(lambda: station.ring.blocked and station.recipes.bundle_of("two") is not None, 60)
    time.sleep(0.2)  # until the clock waits too, behind one part in the ring, one that waits for it, and one request
    change = station.recipes.change("two", RequestedBy(), lambda *answer: None)
    assert change == RecipeChange(before="one", after="two")
    loop.start()
    wait_until(lambda: len(verdicts(outbox)) >= 6, 60)
    assert [verdict["recipe"] for verdict in verdicts(outbox)][:6] == ["one"] * 3 + ["two"] * 3


def test_parts_that_a_line_lets_go_by_are_counted(run: Run, bundle: Bundle, tmp_path: Path, pictures: str) -> None:
    """A real edge needs a kernel with gpio-sim. So this test calls the station as the line's thread would."""
    pytest.importorskip("gpiod", reason="pip install gpiod")
    gpio = "gpio:/dev/gpiochip99/1"
    station, _ = run(make_settings(tmp_path, bundle.path, camera=pictures, trigger=gpio, policy="every", queue=1))
    wait_until(lambda: "gpiochip99" in (station.state.problem or ""), 60)
    station.request_part()  # into the ring; the engine has not begun
    wait_until(lambda: station.ring.waiting, 60)
    station.request_part()  # into the camera thread's hands
    wait_until(lambda: station.ring.blocked, 60)
    station.request_part()  # into the gate
    for _ in range(5):
        station.request_part()
    station.state.recover()  # as a verdict does: the line itself is lost too
    assert station.lost == 5 and station.state.problem == OVERLOAD
    station.state.pause("a test")
    station.request_part()
    assert station.lost == 5, "a paused station waits for no part"


@pytest.mark.skipif(bool(GigECamera.lacking()), reason=GigECamera.lacking())
def test_a_camera_exposes_when_the_clock_says(run: Run, bundle: Bundle, tmp_path: Path, outbox: MemoryOutbox) -> None:
    camera = GigECamera("?trigger=software&size=80x48&timeout=10")
    camera.start()
    try:
        started = time.time()
        _, loop = run(make_settings(tmp_path, bundle.path, camera=camera.uri, trigger="every 100 ms", policy="every"))
        loop.start()
        wait_until(lambda: len(verdicts(outbox)) >= 5, 60)
        found = verdicts(outbox)
        assert all(taken(part) >= started + 0.1 * count for count, part in enumerate(found, 1)), "none is early"
        assert found[0]["frame"] == {"width": 80, "height": 48}
    finally:
        camera.stop()


def test_a_station_goes_on_after_each_outage_and_counts_what_it_missed(
    run: Run, bundle: Bundle, tmp_path: Path, outbox: MemoryOutbox
) -> None:
    source = VideoFile(tmp_path, "&fps=60", frames=30)
    station, loop = run(make_settings(tmp_path, bundle.path, camera=source.uri))
    loop.start()
    for outage in range(3):
        source.start()
        count = len(verdicts(outbox))
        wait_until(lambda count=count: len(verdicts(outbox)) > count + 5, 60, f"verdicts before outage {outage}")
        source.kill()
        # A disk that is nearly full is a problem too: only what was missed tells that the outage was seen.
        wait_until(lambda outage=outage: station.lost - station.ring.dropped > outage, 60, f"outage {outage}")
        # A part that was under way may end after the camera was lost, and is good news for a moment.
        wait_until(lambda: "line.avi" in (station.state.problem or ""), 60, f"the reason of outage {outage}")
        station.publish_health()
        assert station.health is not None
        assert station.health.stages["camera"].progress >= station.health.frames.inspected
    assert station.health is not None and station.health.frames.dropped >= 3
