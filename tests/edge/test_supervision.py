"""The service supervised: real processes, a real NOTIFY_SOCKET, and a camera, an engine and a disk that hang."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tiny_bundle
from http_get import get
from mosquitto import Broker, Subscriber, free_port, wait_until
from service_process import PATIENCE, Configure, Launch, Process, write_settings

from edge_inspect.edge.health.supervisor import EXIT_STUCK

# A driver, and a network, that does not return: a thread that waits for ever, whenever the file `hang` is there.
HANGS = """
import os, sys, threading
import edge_inspect.edge.cameras.folder, edge_inspect.edge.engines.openvino_slot

def hang(kind, method, once):
    def wrapped(*arguments):
        if os.path.exists(kind):
            if once:
                os.unlink(kind)
            threading.Event().wait()
        return method(*arguments)
    return wrapped

once = "once" in sys.argv.pop(1)
camera, slot = edge_inspect.edge.cameras.folder.FolderCamera, edge_inspect.edge.engines.openvino_slot.Slot
camera.read = hang("camera", camera.read, once)
slot.compute = hang("engine", slot.compute, once)
slot.wait = hang("engine", slot.wait, once)
import edge_inspect.edge.cli
sys.exit(edge_inspect.edge.cli.main(sys.argv[1:]))
"""


class Systemd:
    """Listens as systemd does, and remembers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while (message := self._socket.recv(4096)) != b"end":
            self.heard.append(message.decode())

    def fed(self) -> int:
        return self.heard.count("WATCHDOG=1")

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", str(self.path))
        self._thread.join()
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    listening = Systemd(tmp_path / "notify")
    yield listening
    listening.close()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.write(tmp_path_factory.mktemp("bundles") / "tiny", threshold=100).path


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    folder = tmp_path / "frames"
    folder.mkdir()
    rng = np.random.default_rng(5)
    for i in range(6):
        cv2.imwrite(str(folder / f"{i:06d}.png"), rng.integers(0, 256, (48, 80, 3), np.uint8))
    return folder


@pytest.fixture
def configure(tmp_path: Path, bundle: Path, frames: Path) -> Configure:
    def write(port: int, more: dict[str, Any] | None = None, fps: int = 20, **station: Any) -> Path:
        looks = {"camera": f"folder:{frames}?fps={fps}&loop=true", "bundle": str(bundle)}
        limits = {"health": {"camera_limit_s": 3, "engine_limit_s": 3, "outbox_limit_s": 3}}
        return write_settings(tmp_path, port, looks | station, **(limits | (more or {})))

    return write


@pytest.fixture
def start(systemd: Systemd, launch: Launch) -> Launch:
    """Starts the service under systemd, and waits until it is ready."""

    def run(config: Path, hangs: str = "", **environment: str) -> Process:
        by = [sys.executable, "-c", HANGS, hangs] if hangs else []
        variables = {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "60000000", **environment}
        before = len(systemd.heard)
        process = launch(config, by=by, **variables)
        wait_until(lambda: "READY=1" in " ".join(systemd.heard[before:]), PATIENCE)
        return process

    return run


def goes_on(subscriber: Subscriber, after: Callable[[], object] = lambda: None) -> None:
    """Parts come that are newer than all before, where need be after something is done."""
    seen = subscriber.sequences()[-1]
    after()
    wait_until(lambda: subscriber.sequences()[-1] > seen + 5, PATIENCE)


def test_the_watchdog_is_fed_while_frames_flow_and_while_a_trigger_is_waited_for(
    broker: Broker, configure: Configure, start: Launch, systemd: Systemd
) -> None:
    flowing = start(configure(broker.port))
    wait_until(lambda: systemd.fed() >= 5, PATIENCE)
    assert flowing.end() == 0
    assert systemd.heard[-1] == "STOPPING=1"
    systemd.heard.clear()
    allowed = {"commands": {"allow": ["trigger"]}}
    start(configure(broker.port, allowed, trigger="command"))
    wait_until(lambda: systemd.fed() >= 8, PATIENCE)  # longer than the camera's limit
    assert not any("hangs" in message for message in systemd.heard)


def test_a_camera_that_hangs_is_left_behind_and_opened_again(
    broker: Broker, subscriber: Subscriber, configure: Configure, start: Launch, systemd: Systemd, tmp_path: Path
) -> None:
    service = start(configure(broker.port, fps=5), "once")
    wait_until(lambda: len(subscriber.payloads("verdict")) >= 3, PATIENCE)
    (tmp_path / "camera").touch()  # its next read does not return
    wait_until(lambda: any("camera hangs" in message for message in systemd.heard), PATIENCE)
    seen = len(subscriber.payloads("verdict"))
    wait_until(lambda: len(subscriber.payloads("verdict")) > seen + 10, PATIENCE)
    fed = systemd.fed()
    wait_until(lambda: systemd.fed() > fed, PATIENCE)
    assert service.poll() is None
    degraded = [status for status in subscriber.payloads("status") if status["state"] == "degraded"]
    assert any("the camera has been hanging" in status["reason"] for status in degraded)
    sequences = subscriber.sequences()
    assert sequences == list(range(1, len(sequences) + 1))
    assert service.end() == 0


@pytest.mark.parametrize("fps", [20, 2000])
def test_an_engine_that_hangs_is_built_again(
    fps: int,
    broker: Broker,
    subscriber: Subscriber,
    configure: Configure,
    start: Launch,
    systemd: Systemd,
    tmp_path: Path,
) -> None:
    """At 2,000 frames a second some always wait, and their maps have been begun when the engine hangs."""
    service = start(configure(broker.port, fps=fps), "once")
    wait_until(lambda: len(subscriber.payloads("verdict")) >= 10, PATIENCE)
    if fps == 2000:
        wait_until(lambda: "several at a time" in service.said(), PATIENCE)
    (tmp_path / "engine").touch()
    wait_until(lambda: any("engine hangs" in message for message in systemd.heard), PATIENCE)
    seen = len(subscriber.payloads("verdict"))
    wait_until(lambda: len(subscriber.payloads("verdict")) > seen + 10, PATIENCE)
    sequences = subscriber.sequences()
    assert sequences == list(range(1, len(sequences) + 1))
    assert service.end() == 0


@pytest.mark.parametrize("stage", ["camera", "engine"])
def test_what_hangs_for_good_ends_the_process_and_the_next_one_goes_on(
    stage: str, broker: Broker, subscriber: Subscriber, configure: Configure, start: Launch, tmp_path: Path
) -> None:
    config = configure(broker.port)
    service = start(config, "always")
    wait_until(lambda: len(subscriber.payloads("verdict")) >= 10, PATIENCE)
    (tmp_path / stage).touch()
    assert service.wait(PATIENCE) == EXIT_STUCK
    assert f"station1: {stage} hangs: the process ends with status 75" in service.said()
    wait_until(lambda: subscriber.states()[-1:] == ["offline"], PATIENCE)
    (tmp_path / stage).unlink()
    goes_on(subscriber, lambda: start(config))
    assert list(dict.fromkeys(subscriber.sequences())) == list(range(1, subscriber.sequences()[-1] + 1))


@pytest.fixture(scope="module")
def hanging_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that lets writes hang."""
    library = tmp_path_factory.mktemp("hang") / "hang.so"
    source = Path(__file__).parents[1] / "hang.c"
    compile_ = ["g++", "-x", "c", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run(compile_, check=True)
    return library


@pytest.mark.parametrize(("durability", "call"), [("normal", "pwrite64"), ("full", "fdatasync")])
def test_a_disk_that_hangs_ends_the_process_and_no_verdict_is_lost(
    durability: str,
    call: str,
    broker: Broker,
    subscriber: Subscriber,
    configure: Configure,
    start: Launch,
    systemd: Systemd,
    tmp_path: Path,
    hanging_disk: Path,
) -> None:
    config = configure(broker.port, {"outbox": {"path": str(tmp_path / "outbox.db"), "durability": durability}})
    flag = tmp_path / "stuck"
    hang = {"HANG_CALL": call, "HANG_PATH": str(tmp_path / "outbox.db"), "HANG_FLAG": str(flag)}
    service = start(config, LD_PRELOAD=str(hanging_disk), **hang)
    wait_until(lambda: len(subscriber.payloads("verdict")) >= 10, PATIENCE)
    flag.touch()
    wait_until(lambda: any("outbox hangs" in message for message in systemd.heard) or service.poll(), PATIENCE)
    assert service.wait(PATIENCE) == EXIT_STUCK
    flag.unlink()
    goes_on(subscriber, lambda: start(config))
    assert list(dict.fromkeys(subscriber.sequences())) == list(range(1, subscriber.sequences()[-1] + 1))


def test_sigterm_under_load_loses_no_verdict(
    broker: Broker, subscriber: Subscriber, configure: Configure, start: Launch, tmp_path: Path
) -> None:
    config = configure(broker.port, fps=0, policy="every", queue=64)
    said = ""
    for _ in range(3):
        service = start(config)
        seen = len(subscriber.payloads("verdict"))
        wait_until(lambda before=seen: len(subscriber.payloads("verdict")) > before + 50, PATIENCE)
        assert service.end() == 0
        said += service.said()
    stopped = [line for line in said.splitlines() if "stopped after" in line]
    inspected = sum(int(line.split()[-2]) for line in stopped)
    service = start(configure(broker.port, trigger="command", more={"commands": {"allow": ["trigger"]}}))
    wait_until(lambda: subscriber.sequences()[-1] == inspected, PATIENCE)
    assert list(dict.fromkeys(subscriber.sequences())) == list(range(1, inspected + 1))


def test_sighup_loads_bundles_live_starts_anew_for_the_rest_and_takes_no_mistake(
    broker: Broker,
    subscriber: Subscriber,
    configure: Configure,
    start: Launch,
    systemd: Systemd,
    tmp_path: Path,
    bundle: Path,
) -> None:
    service = start(configure(broker.port))
    wait_until(lambda: len(subscriber.payloads("verdict")) >= 5, PATIENCE)
    first = subscriber.payloads("verdict")[0]["bundle"]["digest"]

    other = tiny_bundle.write(tmp_path / "other", tiles=(2, 1), threshold=100)
    configure(broker.port, bundle=str(other.path))
    service.send_signal(signal.SIGHUP)
    wait_until(lambda: subscriber.payloads("verdict")[-1]["bundle"]["digest"] == other.digest, PATIENCE)
    assert "offline" not in subscriber.states()
    assert any(message.startswith("RELOADING=1\nMONOTONIC_USEC=") for message in systemd.heard)

    (tmp_path / "config.yaml").write_text("site: [")
    service.send_signal(signal.SIGHUP)
    wait_until(lambda: "the new configuration cannot be used" in service.said(), PATIENCE)
    goes_on(subscriber)

    # What shows only when the stations have ended: the one before is started again.
    configure(broker.port, {"health": {"http_port": broker.port}})
    service.send_signal(signal.SIGHUP)
    wait_until(lambda: "stays in force: health.http_port" in service.said(), PATIENCE)
    goes_on(subscriber)
    assert subscriber.payloads("verdict")[-1]["bundle"]["digest"] == other.digest

    configure(broker.port, {"site": "elsewhere"})
    service.send_signal(signal.SIGHUP)
    topic = "edge-inspect/v1/elsewhere/line1/station1/verdict"
    wait_until(lambda: any(message.topic == topic for message in list(subscriber.messages)), PATIENCE)
    assert subscriber.payloads("verdict")[-1]["bundle"]["digest"] == first
    assert service.poll() is None
    assert systemd.heard.count("STOPPING=1") == 0, "a stop that is none must not be told"
    assert service.end() == 0


def test_health_is_told_over_http_and_says_what_hangs(
    broker: Broker, subscriber: Subscriber, configure: Configure, start: Launch, tmp_path: Path
) -> None:
    port = free_port()
    limits = {"camera_limit_s": 3, "engine_limit_s": 10, "outbox_limit_s": 3, "http_port": port}
    service = start(configure(broker.port, {"health": limits}), "always")
    wait_until(lambda: len(subscriber.payloads("verdict")) >= 5, PATIENCE)
    wait_until(lambda: get(port, "/healthz")[0] == 200, PATIENCE)
    wait_until(lambda: 'station="station1",stage="engine"}' in get(port, "/metrics")[1], PATIENCE)
    wait_until(lambda: subscriber.payloads("health")[-1]["picture"], PATIENCE)
    health = subscriber.payloads("health")[-1]
    assert set(health["stages"]) == {"camera", "engine", "outbox"}
    assert health["picture"]["level"] > 0 and health["disk_free_bytes"] > 0
    (tmp_path / "engine").touch()
    wait_until(lambda: get(port, "/healthz")[0] == 503, PATIENCE)
    assert json.loads(get(port, "/healthz")[1])["stuck"] == ["station1: engine"]
    assert service.poll() is None
