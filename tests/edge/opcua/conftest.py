"""Fixtures: the OPC UA server as a process between a real broker and clients, with a station that publishes."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mosquitto import Broker, wait_until
from opcua_parts import KEY, PATIENCE, Served, make_keys, write_opcua
from page_parts import Publisher, Station
from service_process import Process

ROOT = Path(__file__).parents[3]
Serve = Callable[..., contextlib.AbstractContextManager[Served]]


@contextlib.contextmanager
def serving(folder: Path, **settings: Any) -> Iterator[Served]:
    """Runs a broker, a station's publisher and the server, which has seen the station."""
    broker = Broker(folder)
    broker.start()
    publisher = Publisher(broker.port)
    station = Station(publisher, KEY)
    station.begin()
    config, chosen = write_opcua(folder, broker.port, **settings)
    command = [sys.executable, "-m", "edge_inspect.edge.cli", "opcua", "--config", str(config)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    try:
        with Process(command, folder / "said", cwd=folder, env=environment) as process:
            wait_until(lambda: f"{KEY} is shown" in process.said() or process.poll() is not None, PATIENCE, "it starts")
            assert process.poll() is None, process.said()
            yield Served(process, chosen, config, folder, broker.port, publisher, station)
            assert "Traceback" not in process.said()
    finally:
        publisher.close()
        broker.stop()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with its usual settings, for all tests of a module."""
    with serving(tmp_path_factory.mktemp("opcua")) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that lets in trusted programs only; anybody may read, and the user `mes` shows a certificate."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "trusted").mkdir()
    shutil.copy(make_keys(folder).certificate, folder / "trusted")
    mes = make_keys(folder, "mes", "urn:test:mes")
    users = [{"name": "mes", "role": "operator", "certificate": str(mes.certificate)}]
    more = {"trusted": str(folder / "trusted"), "anonymous_read": True, "certificate_users": users}
    with serving(folder, **more) as running:
        yield running
