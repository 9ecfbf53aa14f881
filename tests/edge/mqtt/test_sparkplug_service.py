"""The service as its process, as a Sparkplug edge node."""

from __future__ import annotations

import subprocess
from pathlib import Path

import tiny_bundle
import yaml
from mosquitto import Broker, wait_until
from sparkplug_parts import Host

from edge.demo.line import write_stream

FRAMES = 12


def test_every_part_of_the_service_reaches_the_host(broker: Broker, tmp_path: Path, program: list[str]) -> None:
    tiny_bundle.write(tmp_path / "bundle")
    write_stream(tmp_path / "stream", frames=FRAMES, defect_share=0.3, seed=5)
    station = {
        "policy": "every",
        "name": "a",
        "camera": f"folder:{tmp_path / 'stream'}",
        "bundle": str(tmp_path / "bundle"),
    }
    settings = {
        "site": "plant",
        "line": "line1",
        "stations": [station],
        "mqtt": {"host": "127.0.0.1", "port": broker.port, "encoding": "sparkplug_b"},
        "outbox": {"path": str(tmp_path / "outbox.db")},
    }
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(settings))
    host = Host(broker.port)
    try:
        done = subprocess.run([*program, "edge.cli", "run", "--config", str(config)], capture_output=True, timeout=200)
        assert done.returncode == 0, done.stderr.decode()
        wait_until(lambda: host.heard("NDEATH"), 60)
    finally:
        host.close()
    assert host.parts() == list(range(1, FRAMES + 1))
    assert host.last("status/state") == "stopping" and host.last("health/frames/inspected") == FRAMES
    assert host.last("verdict/bundle/digest") and host.last("verdict/frame/width") > 0
