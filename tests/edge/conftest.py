"""Fixtures: a real broker on a free loopback port, subscribers that keep what they hear, edge-inspect as a process."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from mosquitto import Broker, Subscriber
from service_process import Launch, Process

from edge_inspect.edge.outbox.memory import MemoryOutbox


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
def subscriber(broker: Broker, subscribe: Callable[..., Subscriber]) -> Subscriber:
    """Hears everything of the running broker."""
    return subscribe(broker.port)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a CA and certificates for the broker and a box."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with: apt-get install openssl")
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA", "-days", "2")
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1")
    for name in ("broker", "box"):
        openssl("req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "san")
        openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem")
    return folder


@pytest.fixture
def tls_broker(make_broker: Callable[..., Broker], authority: Path) -> Broker:
    """A running broker that lets in only who shows a certificate of the authority."""
    files = {"cafile": "ca.pem", "certfile": "broker.pem", "keyfile": "broker.key"}
    lines = [f"{key} {authority / name}" for key, name in files.items()]
    started = make_broker(settings="\n".join(["allow_anonymous true", "require_certificate true", *lines]))
    started.start()
    return started


@pytest.fixture
def launch(program: list[str], tmp_path: Path) -> Iterator[Launch]:
    """Starts `edge-inspect COMMAND --config FILE` as a process in the test's folder, and ends it with the test."""
    numbers = itertools.count(1)
    # From that folder it finds the packages where this process does.
    variables = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    with contextlib.ExitStack() as ends:

        def start(config: Path, command: str = "run", by: Sequence[str] = (), **environment: str) -> Process:
            whole = [*(by or [*program, "edge_inspect.edge.cli"]), command, "--config", str(config)]
            log = tmp_path / f"said-{next(numbers)}"
            return ends.enter_context(Process(whole, log, cwd=tmp_path, env=variables | environment))

        yield start


@pytest.fixture
def outbox() -> Iterator[MemoryOutbox]:
    with MemoryOutbox() as made:
        yield made
