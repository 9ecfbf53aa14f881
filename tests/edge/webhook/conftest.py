"""Fixtures: a web server as its process, and the webhook as its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from mosquitto import free_port, wait_until
from service_process import PATIENCE, Launch, Process
from webhook_server import WebhookServer


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., WebhookServer]]:
    made: list[WebhookServer] = []

    def make(*tls: Path) -> WebhookServer:
        made.append(WebhookServer(tmp_path / f"server{len(made)}", tls))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def server(make_server: Callable[..., WebhookServer]) -> WebhookServer:
    return make_server()


Start = Callable[..., Process]


@pytest.fixture
def health_port() -> int:
    return free_port()


@pytest.fixture
def start(launch: Launch, tmp_path: Path, health_port: int) -> Start:
    """Starts `edge-inspect webhook` for the stations of the line, and waits until it hears them."""

    def run(port: int, *targets: dict[str, Any], stations: Sequence[str] = ("plant/line1/+",)) -> Process:
        config = tmp_path / "webhook.yaml"
        fields = {
            "stations": list(stations),
            "targets": [{"backoff_cap_s": 0.5, **target} for target in targets],
            "mqtt": {"host": "127.0.0.1", "port": port, "backoff_cap_s": 0.2},
            "health": {"http_port": health_port},
            "outbox": {"path": str(tmp_path / "webhook.db")},
        }
        config.write_text(yaml.safe_dump(fields))
        process = launch(config, "webhook")
        wait_until(lambda: "subscriber: connected to" in process.said(), PATIENCE, "the webhook is connected")
        return process

    return run
