"""Fixtures: a web server with a signed bundle, and a box that may fetch from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import FileServer
from pull_parts import Plant


@pytest.fixture
def server() -> Iterator[FileServer]:
    made = FileServer()
    yield made
    made.close()


@pytest.fixture
def plant(tmp_path: Path, server: FileServer) -> Plant:
    return Plant(tmp_path, server)
