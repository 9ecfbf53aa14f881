"""Fixtures: the page as a process between a real broker and browsers that listen, and stations that publish."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mosquitto import Broker, wait_until
from page_client import Browser
from page_parts import PATIENCE, Listener, Publisher, Station, write_page
from service_process import Launch, Process


class RunningPage(NamedTuple):
    """A page that runs, and where it can be reached."""

    process: Process
    port: int
    config: Path

    def listen(self) -> Listener:
        return Listener(self.port)

    def browser(self, user: str | None = None) -> Browser:
        browser = Browser(self.port)
        if user is not None:
            assert browser.log_in(user).status == 200
        return browser


def answers(port: int) -> bool:
    """Whether the page answers and is connected to the broker."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/api/stations")
        return b'"connected":true' in connection.getresponse().read()
    return False


StartPage = Callable[..., RunningPage]


@pytest.fixture
def start_page(launch: Launch, broker: Broker, tmp_path: Path) -> StartPage:
    """Starts the page as a process, by default with its usual settings, and waits for its connection to the broker."""

    def start(config: Path | None = None, port: int = 0, **settings: Any) -> RunningPage:
        if config is None:
            config, port = write_page(tmp_path, broker.port, **settings)
        process = launch(config, "page")
        wait_until(lambda: answers(port) or process.poll() is not None, PATIENCE, "the page starts")
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
