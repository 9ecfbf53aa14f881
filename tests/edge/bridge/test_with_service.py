"""The service and the bridge, each as its process: camera to register, and what a slow bridge missed comes again."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import tiny_bundle
from bridge_parts import Plc, settings
from mosquitto import Broker, wait_until
from service_process import PATIENCE, Launch, Process, write_settings
from station_parts import Subscribe

from edge_inspect.edge.bridge.registers import STATES


def test_from_the_camera_to_the_registers(
    make_broker: Callable[..., Broker],
    subscribe: Subscribe,
    launch: Launch,
    start: Callable[..., Process],
    plc: Callable[..., Plc],
    tmp_path: Path,
) -> None:
    broker = make_broker(settings="allow_anonymous true\nmax_queued_messages 50")
    broker.start()
    subscriber = subscribe(broker.port)
    tiny_bundle.write(tmp_path / "tiny")
    (tmp_path / "frames").mkdir()
    for i, level in enumerate((40, 200)):
        cv2.imwrite(str(tmp_path / "frames" / f"{i}.png"), np.full((32, 32, 3), level, np.uint8))
    station = {
        "name": "a",
        "camera": f"folder:{tmp_path}/frames?fps=100&loop=true",
        "bundle": str(tmp_path / "tiny"),
        "policy": "every",
    }
    config = write_settings(tmp_path, broker.port, station, commands={"allow": ["resend"]})
    chosen = settings(broker.port, tmp_path)
    bridge, reader = start(chosen), plc(chosen)
    service = launch(config)
    wait_until(lambda: reader.read()["parts"] > 50, PATIENCE, "parts")
    # Degraded, where the machine is too slow for the camera.
    assert reader.flags() <= {"gap"} and STATES[reader.read()["state"]] in ("online", "degraded")
    bridge.send_signal(signal.SIGSTOP)
    heard = len(subscriber.sequences())
    wait_until(lambda: len(subscriber.sequences()) > heard + 150, PATIENCE, "more than the broker keeps")
    bridge.send_signal(signal.SIGCONT)
    wait_until(lambda: "asking the station to send them again" in bridge.said(), PATIENCE, "a request")

    def complete() -> bool:
        """All parts from the first to the newest are there, each once."""
        found = reader.read()
        return heard + 150 < found["parts"] == found["sequence"]

    wait_until(complete, PATIENCE, "all parts")
    found = reader.read()
    assert (found["lost"], found["resets"]) == (0, 0)
    assert found["parts"] == found["accepted"] + found["rejected"]
    service.end()
    # Its last word may be among what the broker drops; then silence tells.
    wait_until(lambda: "stale" in reader.flags(), PATIENCE, "the station's end")
    bridge.end()
