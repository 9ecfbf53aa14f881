"""Fixtures: the joiner as its process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from mosquitto import wait_until
from service_process import PATIENCE, Launch, Process

from edge_inspect.edge.views.settings import ViewsSettings


@pytest.fixture
def start(launch: Launch, tmp_path: Path) -> Callable[[ViewsSettings], Process]:
    """Starts `edge-inspect views` and waits until it hears the views."""

    def run(chosen: ViewsSettings) -> Process:
        config = tmp_path / "views.yaml"
        config.write_text(yaml.safe_dump(json.loads(chosen.model_dump_json(exclude_unset=True))))
        process = launch(config, "views")
        wait_until(lambda: "subscriber: connected to" in process.said(), PATIENCE, "the joiner is connected")
        return process

    return run
