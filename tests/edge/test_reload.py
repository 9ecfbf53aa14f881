"""SIGHUP with a configuration whose stations cannot start: the service as its process, and a trigger that cannot be."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_bundle
from mosquitto import Broker, Subscriber, wait_until
from service_process import PATIENCE, Commander, Configure, Launch, write_settings

from edge_inspect.edge.frame.images import write_image

GPIO = "gpio:/dev/gpiochip99/1"
REMEDY = "pip install 'edge-inspect[gpio]'"

# The service where the package gpiod is not installed; once there is the file `blind`, nobody looks for it before.
WITHOUT_GPIOD = """
import os, sys
sys.modules["gpiod"] = None
import edge_inspect.edge.cli, edge_inspect.edge.service
check = edge_inspect.edge.service.check_trigger
edge_inspect.edge.service.check_trigger = lambda text: None if os.path.exists("blind") else check(text)
sys.exit(edge_inspect.edge.cli.main(sys.argv[1:]))
"""
BY = [sys.executable, "-c", WITHOUT_GPIOD]


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    bundle = tiny_bundle.write(tmp_path / "tiny", threshold=100)
    for i in range(3):
        write_image(tmp_path / "frames" / f"{i}.png", np.full((48, 80, 3), 80 * i, np.uint8))

    def write(port: int, *triggers: str, **more: Any) -> Path:
        looks = {"camera": f"folder:{tmp_path}/frames?fps=20&loop=true", "bundle": more.pop("bundle", str(bundle.path))}
        stations: list[dict[str, Any]] = [
            {"name": f"station{i}", **looks, "trigger": trigger} for i, trigger in enumerate(triggers, 1)
        ]
        return write_settings(tmp_path, port, {}, stations=stations, **more)

    return write


def wait_for_more(subscriber: Subscriber) -> None:
    seen = len(subscriber.sequences())
    wait_until(lambda: len(subscriber.sequences()) > seen + 5, PATIENCE)


@pytest.mark.parametrize(("by", "said"), [([], "/dev/gpiochip99 is not a GPIO chip; gpiodetect"), (BY, REMEDY)])
def test_a_trigger_that_cannot_be_is_not_taken(
    by: list[str], said: str, broker: Broker, subscriber: Subscriber, configure: Configure, launch: Launch
) -> None:
    if not by:
        pytest.importorskip("gpiod", reason="pip install gpiod")
    service = launch(configure(broker.port, "camera"), by=by)
    wait_for_more(subscriber)
    configure(broker.port, GPIO)
    service.send_signal(signal.SIGHUP)
    wait_until(
        lambda: "the new configuration cannot be used, the previous one stays in force: trigger" in service.said(),
        PATIENCE,
    )
    assert said in service.said()
    wait_for_more(subscriber)
    assert set(subscriber.states()) <= {"starting", "online"}
    assert service.end() == 0


def test_a_key_that_is_there_twice_is_not_taken(
    broker: Broker, subscriber: Subscriber, configure: Configure, launch: Launch
) -> None:
    config = configure(broker.port, "camera")
    service = launch(config)
    wait_for_more(subscriber)
    config.write_text(config.read_text() + "mqtt: {host: localhost}\n")
    service.send_signal(signal.SIGHUP)
    wait_until(lambda: "mqtt: is given twice, lines " in service.said(), PATIENCE)
    assert "the new configuration cannot be used, the previous one stays in force" in service.said()
    wait_for_more(subscriber)
    assert service.end() == 0


def test_where_a_station_does_not_start_the_configuration_before_is_started_again(
    broker: Broker, subscriber: Subscriber, configure: Configure, launch: Launch, tmp_path: Path
) -> None:
    service = launch(configure(broker.port, "camera"), by=BY)
    wait_for_more(subscriber)
    (tmp_path / "blind").touch()
    configure(broker.port, "camera", "camera", GPIO)
    service.send_signal(signal.SIGHUP)
    wait_until(lambda: "previous one stays in force: trigger gpio" in service.said(), PATIENCE)
    wait_for_more(subscriber)
    others = [m.topic.split("/")[-2] for m in list(subscriber.messages) if m.topic.endswith("/verdict")]
    assert set(others) == {"station1"}
    assert subscriber.sequences() == list(range(1, len(subscriber.sequences()) + 1))

    configure(broker.port, "camera", "every 50 ms")
    service.send_signal(signal.SIGHUP)
    wait_until(lambda: any("station2/verdict" in m.topic for m in list(subscriber.messages)), PATIENCE)
    assert service.end() == 0
    assert "Traceback" not in service.said()


def test_a_bundle_loaded_by_command_outlives_a_configuration_that_cannot_be_started(
    broker: Broker, subscriber: Subscriber, configure: Configure, launch: Launch, tmp_path: Path
) -> None:
    loaded = tiny_bundle.write(tmp_path / "bundles" / "loaded", threshold=100, seed=22)
    other = tiny_bundle.write(tmp_path / "other", threshold=100, seed=23)
    allowed = {"bundles": {"folder": str(tmp_path / "bundles")}, "commands": {"allow": ["bundle"]}}

    def judged_by(name: str) -> None:
        seen = len(subscriber.payloads("verdict"))
        wait_until(lambda: len(subscriber.payloads("verdict")) > seen + 5, PATIENCE)
        assert subscriber.payloads("verdict")[-1]["bundle"]["name"] == name

    service = launch(configure(broker.port, "camera", **allowed), by=BY)
    wait_for_more(subscriber)
    assert Commander(subscriber)("bundle", name="loaded")["done"]
    judged_by("loaded")
    # The first station of the new configuration would start, with another bundle; its second cannot.
    (tmp_path / "blind").touch()
    configure(broker.port, "camera", GPIO, bundle=str(other.path), **allowed)
    service.send_signal(signal.SIGHUP)
    wait_until(lambda: "previous one stays in force: trigger gpio" in service.said(), PATIENCE)
    judged_by(loaded.manifest.name)
    assert service.end() == 0
    again = launch(configure(broker.port, "camera", **allowed), by=BY)
    wait_until(lambda: "inspects with" in again.said(), PATIENCE)
    judged_by("loaded")
    assert again.end() == 0


def test_where_there_is_none_before_it_ends_with_status_2(configure: Configure, launch: Launch) -> None:
    service = launch(configure(1, "camera", GPIO), by=BY)
    assert service.wait(PATIENCE) == 2
    assert REMEDY in service.said() and "Traceback" not in service.said()
