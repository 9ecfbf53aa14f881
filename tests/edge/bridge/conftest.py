"""Fixtures: the bridge as its process, and PLCs that read from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from bridge_parts import Plc
from mosquitto import wait_until
from service_process import PATIENCE, Launch, Process

from edge_inspect.edge.bridge.settings import BridgeSettings


@pytest.fixture
def start(launch: Launch, plc: Callable[[BridgeSettings], Plc], tmp_path: Path) -> Callable[[BridgeSettings], Process]:
    """Starts `edge-inspect bridge` and waits until it answers and is connected."""

    def run(chosen: BridgeSettings) -> Process:
        config = tmp_path / "bridge.yaml"
        config.write_text(yaml.safe_dump(json.loads(chosen.model_dump_json(exclude_unset=True))))
        process, asking = launch(config, "bridge"), plc(chosen)
        wait_until(lambda: asking.client.connect(), PATIENCE, "the bridge answers")
        wait_until(lambda: "broker_lost" not in asking.flags(), PATIENCE, "the bridge is connected")
        asking.client.close()
        return process

    return run


@pytest.fixture
def plc() -> Iterator[Callable[[BridgeSettings], Plc]]:
    made: list[Plc] = []

    def make(chosen: BridgeSettings) -> Plc:
        made.append(Plc(chosen.modbus.port))
        return made[-1]

    yield make
    for one in made:
        one.client.close()
