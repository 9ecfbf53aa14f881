"""A sink is added by a module of its own and its line in the registry: a station then delivers everything to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from box_parts import make_box, make_settings
from line_sink import LineSink
from mosquitto import wait_until
from tiny_bundle import write

from edge_inspect.edge.check import check
from edge_inspect.edge.configuration.file import load_settings
from edge_inspect.edge.configuration.settings import Settings
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.doctor import examine
from edge_inspect.edge.engine_loop import EngineLoop
from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.frame.images import write_image
from edge_inspect.edge.outbox import Outbox
from edge_inspect.edge.outbox.memory import MemoryOutbox
from edge_inspect.edge.outbox.sqlite import SqliteOutbox
from edge_inspect.edge.sinks import SINKS, split_sink
from edge_inspect.edge.station.station import Station

PATIENCE = 60
PARTS = 6


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "a"
    write(folder, seed=21)
    return folder


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    for i in range(PARTS):
        write_image(tmp_path / "frames" / f"{i}.png", rng.integers(0, 256, (48, 80, 3), np.uint8))
    return tmp_path / "frames"


@pytest.fixture(params=["memory", "sqlite"])
def either_outbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outbox]:
    with MemoryOutbox() if request.param == "memory" else SqliteOutbox(tmp_path / "outbox.db") as outbox:
        yield outbox


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SINKS, "lines", "line_sink:open_sink")


def inspect_all(
    settings: Settings, outbox: Outbox, meanwhile: Callable[[Station], None] = lambda station: None
) -> None:
    """Have every frame of a folder inspected and delivered, and close the station."""
    loop = EngineLoop(stations := [])
    box = make_box(settings, outbox, loop.ready)
    stations.append(Station(settings, settings.stations[0], box))
    stations[0].start()
    loop.start()
    try:
        wait_until(lambda: stations[0].inspected == PARTS, PATIENCE)
        meanwhile(stations[0])
    finally:
        loop.close(20)
        stations[0].close(20)


def lines(path: Path, kind: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line for line in found if line["address"] == f"a:{kind}"]


def test_every_verdict_of_a_station_arrives_once_and_in_order(
    tmp_path: Path, bundle: Path, frames: Path, either_outbox: Outbox
) -> None:
    file = tmp_path / "lines"
    settings = make_settings(tmp_path, bundle, camera=f"folder:{frames}", policy="every", sink=f"lines:{file}")
    inspect_all(settings, either_outbox)
    verdicts = lines(file, "verdict")
    assert [verdict["sequence"] for verdict in verdicts] == list(range(1, PARTS + 1))
    rejected = [verdict["sequence"] for verdict in verdicts if not verdict["ok"]]
    assert [defect["sequence"] for defect in lines(file, "defect")] == rejected
    assert either_outbox.depth().entries == 0
    assert [status["state"] for status in lines(file, "status")][:2] == ["starting", "online"]
    assert lines(file, "health")[-1]["frames"]["inspected"] == PARTS


def test_verdicts_wait_in_the_outbox_until_the_receiver_is_there(
    tmp_path: Path, bundle: Path, frames: Path, either_outbox: Outbox
) -> None:
    away = tmp_path / "away"
    settings = make_settings(tmp_path, bundle, camera=f"folder:{frames}", policy="every", sink=f"lines:{away}/lines")

    def come_back(station: Station) -> None:
        assert either_outbox.depth().entries >= PARTS
        station.publish_health()
        health = station.report().health
        assert health is not None and not health.mqtt.connected
        away.mkdir()
        wait_until(lambda: not either_outbox.depth().entries, PATIENCE)

    inspect_all(settings, either_outbox, come_back)
    assert [verdict["sequence"] for verdict in lines(away / "lines", "verdict")] == list(range(1, PARTS + 1))


def test_commands_come_by_the_sink_and_are_answered_there(
    tmp_path: Path, bundle: Path, frames: Path, outbox: MemoryOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, opened = tmp_path / "lines", []
    monkeypatch.setattr("line_sink.open_sink", lambda context: opened.append(LineSink(context)) or opened[-1])
    settings = make_settings(
        tmp_path,
        bundle,
        camera=f"folder:{frames}",
        policy="every",
        sink=f"lines:{file}",
        commands={"allow": ["pause", "resend"]},
    )

    def command(station: Station) -> None:
        wait_until(lambda: not outbox.depth().entries, PATIENCE)
        for asked in ({"command": "pause"}, {"command": "resend", "from_sequence": 2}):
            opened[0].on_command(json.dumps({"id": uuid7(), **asked}).encode(), False, None)

    inspect_all(settings, outbox, command)
    assert [(reply["command"], reply["done"]) for reply in lines(file, "reply")] == [("pause", True), ("resend", True)]
    assert [verdict["sequence"] for verdict in lines(file, "verdict")][PARTS:] == list(range(2, PARTS + 1))


def test_without_a_word_in_the_configuration_it_is_the_broker(tmp_path: Path, bundle: Path) -> None:
    assert split_sink(make_settings(tmp_path, bundle).sink) == ("mqtt", "")


def test_the_schema_of_the_configuration_knows_it() -> None:
    assert Settings.model_json_schema()["properties"]["sink"]["pattern"] == "^(lines|mqtt)(:|$)"


def test_doctor_says_which_sinks_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SINKS, "lost", "no_such_module:open_sink")
    found = {finding.what: finding for finding in examine()}
    assert found["sink mqtt"].found and found["sink lines"].found
    assert not found["sink lost"].found and "No module named 'no_such_module'" in found["sink lost"].detail


def test_check_names_the_sink_and_tries_no_broker(tmp_path: Path, bundle: Path, frames: Path) -> None:
    path, sink = tmp_path / "config.yaml", f"lines:{tmp_path}/lines"
    station = {"name": "a", "camera": f"folder:{frames}", "bundle": str(bundle)}
    outbox = {"path": str(tmp_path / "outbox.db")}
    settings = {"site": "plant", "line": "line1", "sink": sink, "outbox": outbox, "stations": [station]}
    path.write_text(yaml.safe_dump(settings))
    said = list(check(path, "run", connect=True))
    assert f"sink {sink}: only a broker can be checked before the service runs" in said
    assert said[-1].endswith(f"good; 1 station(s), sink {sink}")


@pytest.mark.parametrize("sink", ["mqqt", ":", "webhook:https://example.com", "MQTT", "lines2:/x"])
def test_a_sink_that_is_not_there_is_a_mistake_of_the_configuration(tmp_path: Path, sink: str) -> None:
    path = tmp_path / "config.yaml"
    station = {"name": "a", "camera": "folder:/x", "bundle": "/x"}
    path.write_text(yaml.safe_dump({"site": "plant", "line": "line1", "sink": sink, "stations": [station]}))
    with pytest.raises(ConfigurationError, match="sink.*choose one of lines, mqtt"):
        load_settings(path)


def test_a_broker_is_named_in_its_own_section(tmp_path: Path, bundle: Path) -> None:
    with pytest.raises(
        ValueError, match="'mqtt:broker.local' names a broker; write sink: mqtt, and the broker as mqtt.host"
    ):
        make_settings(tmp_path, bundle, sink="mqtt:broker.local")
