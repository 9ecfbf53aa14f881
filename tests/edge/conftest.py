"""Fixtures: a real broker on a free loopback port, and subscribers that keep what they hear."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mosquitto import Broker, Subscriber

from edge.outbox.memory import MemoryOutbox


@pytest.fixture
def make_broker(tmp_path: Path) -> Iterator[Callable[..., Broker]]:
    made: list[Broker] = []

    def make(**settings: str) -> Broker:
        made.append(Broker(tmp_path, **settings))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def broker(make_broker: Callable[..., Broker]) -> Broker:
    """A running broker with `.port`, `.stop()` and `.start()`."""
    started = make_broker()
    started.start()
    return started


@pytest.fixture
def subscribe() -> Iterator[Callable[..., Subscriber]]:
    made: list[Subscriber] = []

    def make(port: int, topic: str = "edge-inspect/#", **login: str) -> Subscriber:
        made.append(Subscriber(port, topic, **login))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def outbox() -> Iterator[MemoryOutbox]:
    with MemoryOutbox() as made:
        yield made
