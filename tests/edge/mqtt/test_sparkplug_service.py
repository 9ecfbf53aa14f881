"""The service as its process, as a Sparkplug edge node."""

from __future__ import annotations

from pathlib import Path

import tiny_bundle
from mosquitto import Broker, wait_until
from service_process import Launch, write_settings
from sparkplug_parts import Host

from edge_inspect.edge.demo.line import write_stream

FRAMES = 12


def test_every_part_of_the_service_reaches_the_host(broker: Broker, tmp_path: Path, launch: Launch) -> None:
    tiny_bundle.write(tmp_path / "bundle")
    write_stream(tmp_path / "stream", frames=FRAMES, defect_share=0.3, seed=5)
    station = {
        "policy": "every",
        "name": "a",
        "camera": f"folder:{tmp_path / 'stream'}",
        "bundle": str(tmp_path / "bundle"),
    }
    config = write_settings(tmp_path, broker.port, station, mqtt={"encoding": "sparkplug_b"})
    host = Host(broker.port)
    try:
        assert launch(config).wait(200) == 0
        wait_until(lambda: host.heard("NDEATH"), 60)
    finally:
        host.close()
    assert host.parts() == list(range(1, FRAMES + 1))
    assert host.last("status/state") == "stopping" and host.last("health/frames/inspected") == FRAMES
    assert host.last("verdict/bundle/digest") and host.last("verdict/frame/width") > 0
