"""The service and the bridge, each as its process: camera to register, and what a slow bridge missed comes again."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import tiny_bundle
import yaml
from bridge_parts import Plc
from mosquitto import Broker, free_port, wait_until
from station_parts import Subscribe

from edge.bridge.registers import STATES

PATIENCE = 120.0


@contextlib.contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file, subprocess.Popen(command, stderr=file) as process:
        try:
            yield process
        finally:
            # One that is stopped ends only when it goes on.
            process.send_signal(signal.SIGCONT)
            process.terminate()


def test_from_the_camera_to_the_registers(
    make_broker: Callable[..., Broker], subscribe: Subscribe, program: list[str], tmp_path: Path
) -> None:
    broker = make_broker(settings="allow_anonymous true\nmax_queued_messages 50")
    broker.start()
    subscriber = subscribe(broker.port)
    tiny_bundle.write(tmp_path / "tiny")
    (tmp_path / "frames").mkdir()
    for i, level in enumerate((40, 200)):
        cv2.imwrite(str(tmp_path / "frames" / f"{i}.png"), np.full((32, 32, 3), level, np.uint8))
    mqtt = {"host": "127.0.0.1", "port": broker.port, "backoff_cap_s": 0.2}
    station = {
        "name": "a",
        "camera": f"folder:{tmp_path}/frames?fps=100&loop=true",
        "bundle": str(tmp_path / "tiny"),
        "policy": "every",
    }
    service = {
        "site": "plant",
        "line": "line1",
        "stations": [station],
        "mqtt": mqtt,
        "outbox": {"path": str(tmp_path / "outbox.db")},
        "commands": {"allow": ["resend"]},
        "health_every_s": 0.5,
    }
    port = free_port()
    bridge = {
        "stations": [{"site": "plant", "line": "line1", "station": "a"}],
        "mqtt": mqtt,
        "modbus": {"port": port},
        "state": str(tmp_path / "state.json"),
    }
    for name, fields in (("service", service), ("bridge", bridge)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(fields))
    command = [*program, "edge.cli"]
    plc = Plc(port)
    with running([*command, "bridge", "--config", str(tmp_path / "bridge.yaml")], tmp_path / "bridge.log") as process:
        wait_until(lambda: plc.client.connect(), PATIENCE, "the bridge answers")
        with running([*command, "run", "--config", str(tmp_path / "service.yaml")], tmp_path / "service.log"):
            wait_until(lambda: plc.read()["parts"] > 50, PATIENCE, "parts")
            # Degraded, where the machine is too slow for the camera.
            assert plc.flags() <= {"gap"} and STATES[plc.read()["state"]] in ("online", "degraded")
            process.send_signal(signal.SIGSTOP)
            heard = len(subscriber.sequences())
            wait_until(lambda: len(subscriber.sequences()) > heard + 150, PATIENCE, "more than the broker keeps")
            process.send_signal(signal.SIGCONT)
            wait_until(lambda: "asked for" in (tmp_path / "bridge.log").read_text(), PATIENCE, "a request")

            def complete() -> bool:
                """All parts from the first to the newest are there, each once."""
                found = plc.read()
                return heard + 150 < found["parts"] == found["sequence"]

            wait_until(complete, PATIENCE, "all parts")
            found = plc.read()
            assert (found["lost"], found["resets"]) == (0, 0)
            assert found["parts"] == found["accepted"] + found["rejected"]
        # Its last word may be among what the broker drops; then silence tells.
        wait_until(lambda: "stale" in plc.flags(), PATIENCE, "the station's end")
    plc.client.close()
