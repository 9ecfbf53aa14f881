"""The service as its process: MQTT, Sparkplug, /healthz and /metrics say the same of a station."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_bundle
from http_get import get
from mosquitto import Broker, Subscriber, free_port, wait_until
from prometheus_client.parser import text_string_to_metric_families
from promtool import promtool
from service_process import PATIENCE, Commander, Launch, write_settings
from sparkplug_parts import Host

from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.demo.line import write_stream

Told = tuple[str | None, str | None]


def by_health(port: int) -> tuple[int, Told]:
    """What /healthz answers: its status, and the station's state and reason."""
    code, text = get(port, "/healthz")
    told = json.loads(text)["stations"]["station1"] if text else {}
    return code, (told.get("state"), told.get("reason"))


def by_metrics(port: int) -> str | None:
    """The state that /metrics says."""
    families = {family.name: family for family in text_string_to_metric_families(get(port, "/metrics")[1])}
    family = families.get("edge_inspect_station_state")
    return next((sample.labels["state"] for sample in family.samples if sample.value), None) if family else None


def by_mqtt(subscriber: Subscriber) -> Told:
    told = [(one["state"], one["reason"]) for one in subscriber.payloads("status")]
    return told[-1] if told else (None, None)


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    write_stream(tmp_path / "frames", frames=6, defect_share=0, seed=5)
    return tmp_path / "frames"


@pytest.fixture
def start(broker: Broker, tmp_path: Path, launch: Launch) -> Callable[..., int]:
    """Starts the service with a camera; returns the port of /healthz."""
    tiny_bundle.write(tmp_path / "bundle", threshold=100)

    def begin(camera: str, **mqtt: Any) -> int:
        port = free_port()
        station = {"camera": camera, "bundle": str(tmp_path / "bundle"), "policy": "every"}
        more = {"health": {"http_port": port}, "commands": {"allow": ["pause", "resume"]}, "mqtt": mqtt}
        launch(write_settings(tmp_path, broker.port, station, **more))
        return port

    return begin


@pytest.mark.parametrize("camera", ["folder:{0}/none?fps=10", "v4l2:/dev/video93", "video:{0}/none.avi"])
def test_a_camera_that_cannot_be_reached(
    start: Callable[..., int], subscriber: Subscriber, tmp_path: Path, camera: str
) -> None:
    port = start(camera.format(tmp_path))
    wait_until(lambda: by_mqtt(subscriber)[0] == "degraded", PATIENCE)
    wait_until(lambda: by_health(port) == (503, by_mqtt(subscriber)), PATIENCE)
    assert by_metrics(port) == "degraded"
    stages = [line for line in get(port, "/metrics")[1].splitlines() if 'stage="camera",state="failed"' in line]
    assert stages and stages[0].endswith(" 1.0")
    assert get(port, "/livez")[0] == 200, "to start the box again does not bring the camera back"


def test_a_pause_and_a_camera_that_goes_and_comes_back(
    start: Callable[..., int], subscriber: Subscriber, stream: Path, tmp_path: Path
) -> None:
    port = start(f"folder:{stream}?fps=10&loop=true")
    tell = Commander(subscriber)

    def all_say(state: str, code: int) -> bool:
        said = by_mqtt(subscriber)
        return said[0] == state and by_health(port) == (code, said) and by_metrics(port) == state

    wait_until(lambda: all_say("online", 200), PATIENCE)
    tell("pause", by="hmi")
    wait_until(lambda: all_say("paused", 200), PATIENCE)
    assert "of hmi" in str(by_health(port)[1][1])
    tell("resume")
    wait_until(lambda: all_say("online", 200), PATIENCE)
    away = tmp_path / "away"
    shutil.move(stream, away)
    wait_until(lambda: all_say("degraded", 503), PATIENCE)
    shutil.move(away, stream)
    wait_until(lambda: all_say("online", 200), PATIENCE)
    wait_until(lambda: "edge_inspect_outbox_entries" in get(port, "/metrics")[1], PATIENCE)
    checked = promtool("check", "metrics", given=get(port, "/metrics")[1])
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.fixture
def host(broker: Broker) -> Iterator[Host]:
    listening = Host(broker.port)
    yield listening
    listening.close()


def test_a_sparkplug_host_hears_the_same(start: Callable[..., int], host: Host, stream: Path, tmp_path: Path) -> None:
    port = start(f"folder:{stream}?fps=10&loop=true", encoding="sparkplug_b")

    def says() -> Told:
        return host.last("status/state"), host.last("status/reason")

    for verb, state, code in (("", "online", 200), ("pause", "paused", 200), ("resume", "online", 200)):
        if verb:
            command = json.dumps({"command": verb, "id": uuid7()})
            host.write("Node Control/Command", command, "line1:station1")
        wait_until(lambda state=state: says()[0] == state and by_metrics(port) == state, PATIENCE)
        assert by_health(port) == (code, says())
    shutil.move(stream, tmp_path / "away")
    wait_until(lambda: says()[0] == "degraded" and by_health(port) == (503, says()), PATIENCE)
    assert by_metrics(port) == "degraded"
