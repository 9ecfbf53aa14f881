"""What a terminal shows of a roll-out, and what a file gets."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.contract.messages import BundleReference
from edge_inspect.edge.fleet.connection import FleetConnection
from edge_inspect.edge.fleet.known_stations import KnownStations
from edge_inspect.edge.fleet.progress import Progress, summary
from edge_inspect.edge.fleet.rollout import Rollout
from edge_inspect.edge.fleet.rollout_record import Plan, RolloutRecord
from edge_inspect.edge.fleet.selector import Selectors
from edge_inspect.edge.fleet.waves import plan_waves


class Terminal(io.StringIO):
    """A file that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def rollout(tmp_path: Path) -> Rollout:
    stations = [f"plant/line/{name}" for name in ("a", "b", "c")]
    plan = Plan(
        name="new.zip",
        digest="0" * 64,
        url=None,
        by="me",
        to=("plant/*/*",),
        waves=plan_waves(stations, 1, 0.5),
        watch_parts=50,
        watch_seconds=60,
        reply_seconds=10,
    )
    record = RolloutRecord.create(tmp_path / "r.jsonl", plan)
    before = BundleReference(name="old", digest="1" * 64)
    record.set_station("plant/line/a", state="good", detail="50 parts, 0.0 % rejected", parts=50, before=before)
    record.set_station("plant/line/b", state="watched", before=before)
    said: list[str] = []
    return Rollout(record, KnownStations(Selectors()), FleetConnection(MqttSettings(), []), said.append)


def test_a_terminal_shows_a_table_that_is_drawn_anew(rollout: Rollout) -> None:
    terminal = Terminal()
    progress = Progress(terminal)
    progress.show(rollout)
    shown = terminal.getvalue()
    assert "1 of 3 stations are good" in shown and "plant/line/b" in shown and "is watched" in shown
    progress.say("plant/line/b: good")
    progress.show(rollout)
    assert terminal.getvalue().startswith(f"{shown}\x1b[4F\x1b[J")


def test_a_file_gets_lines_only(rollout: Rollout) -> None:
    file = io.StringIO()
    progress = Progress(file)
    progress.show(rollout)
    assert not file.getvalue()
    for paused in (False, True, True, False):
        progress.say_paused(paused=paused)
    assert [line.split("  ", 1)[1] for line in file.getvalue().splitlines()] == [
        "paused; no further station is changed",
        "goes on",
    ]


def test_the_summary_names_every_station(rollout: Rollout) -> None:
    assert [" ".join(line.split()) for line in summary(rollout)] == [
        "plant/line/a good: 50 parts, 0.0 % rejected",
        "plant/line/b is watched",
        "plant/line/c waits",
    ]
