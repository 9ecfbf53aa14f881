"""Fixtures: the page as a process between a real broker and browsers that listen, and stations that publish."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mosquitto import Broker, wait_until
from page_parts import PATIENCE, Publisher, RunningPage, StartPage, Station, said_connected, write_page
from service_process import Launch


@pytest.fixture
def start_page(launch: Launch, broker: Broker, tmp_path: Path) -> StartPage:
    """Starts the page as a process, by default with its usual settings, and waits for its connection to the broker."""

    def start(config: Path | None = None, port: int = 0, **settings: Any) -> RunningPage:
        if config is None:
            config, port = write_page(tmp_path, broker.port, **settings)
        process = launch(config, "page")
        wait_until(lambda: said_connected(port) or process.poll() is not None, PATIENCE, "the page starts")
        assert process.poll() is None, process.said()
        return RunningPage(process, port, config)

    return start


@pytest.fixture
def publisher(broker: Broker) -> Iterator[Publisher]:
    made = Publisher(broker.port)
    yield made
    made.close()


@pytest.fixture
def station(publisher: Publisher) -> Station:
    """The station plant/line1/a, which has published its status and its health."""
    made = Station(publisher)
    made.begin()
    return made
