"""The command `bundle` on the service as its process: a real broker, real restarts."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mosquitto import Broker, Subscriber, wait_until
from service_process import PATIENCE, Commander, Launch, write_settings
from tiny_bundle import write

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.frame.images import write_image


class Service:
    """The process, and its subscriber."""

    def __init__(self, launch: Launch, config: Path, subscriber: Subscriber) -> None:
        self._launch, self._config = launch, config
        self.subscriber = subscriber
        self.command = Commander(subscriber, "a")
        self.start()

    def start(self) -> None:
        seen = len(self.subscriber.payloads("verdict"))
        self.process = self._launch(self._config)
        wait_until(lambda: len(self.subscriber.payloads("verdict")) > seen + 3, PATIENCE)

    def bundle(self) -> str:
        return str(self.subscriber.payloads("verdict")[-1]["bundle"]["name"])

    def threshold(self) -> float:
        return float(self.subscriber.payloads("verdict")[-1]["threshold"])

    def load(self, name: str | None) -> dict[str, Any]:
        return self.command("bundle", name=name)


@pytest.fixture
def service(broker: Broker, subscriber: Subscriber, launch: Launch, tmp_path: Path) -> Service:
    rng = np.random.default_rng(3)
    for i in range(5):
        write_image(tmp_path / "frames" / f"{i}.png", rng.integers(0, 256, (48, 80, 3), np.uint8))
    bundles = tmp_path / "bundles"
    write(bundles / "v1", seed=21)
    write(bundles / "v2", seed=22)
    shutil.copytree(bundles / "v2", bundles / "cut")
    (bundles / "cut" / "model.fp32.onnx").write_bytes(b"cut")
    config = write_settings(
        tmp_path,
        broker.port,
        {
            "name": "a",
            "camera": f"folder:{tmp_path / 'frames'}?loop=true&fps=20",
            "bundle": str(bundles / "v1"),
            "policy": "every",
        },
        bundles={"folder": str(bundles)},
        commands={"allow": ["bundle", "threshold"]},
        evidence={"folder": str(tmp_path / "evidence"), "keep_free_bytes": 0},
    )
    return Service(launch, config, subscriber)


def test_a_bundle_is_loaded_remembered_and_rolled_back(service: Service, tmp_path: Path) -> None:
    assert service.bundle() == "v1"
    assert "holds no '../bundles'" in service.load("../bundles")["reason"]
    damaged = service.load("cut")
    assert damaged["refusal"] == "impossible" and "was changed after" in damaged["reason"]

    done = service.load("v2")
    assert done["done"] and done["bundle"]["before"]["name"] == "v1"
    assert done["bundle"]["after"] == {"name": "v2", "digest": open_bundle(tmp_path / "bundles" / "v2").digest}
    wait_until(lambda: service.bundle() == "v2", 60)
    wait_until(lambda: service.subscriber.payloads("health")[-1]["bundle"]["name"] == "v2", 60)
    assert service.command("threshold", value=0.6)["threshold"]["bundle"] == 0.5
    service.process.end(signal.SIGKILL)
    service.start()
    assert service.bundle() == "v2" and service.threshold() == 0.6

    assert service.load(None)["bundle"]["after"]["name"] == "v1"
    wait_until(lambda: service.bundle() == "v1", 60)
    assert service.threshold() == 0.5
    assert "there is no bundle before v1" in service.load(None)["reason"]
    assert service.process.end() == 0
    service.start()
    assert service.bundle() == "v1"

    # A verdict for every part, in order, and none by a bundle that was not loaded.
    verdicts = {one["sequence"]: one for one in service.subscriber.payloads("verdict")}
    assert list(verdicts) == list(range(1, len(verdicts) + 1))
    names = [one["bundle"]["name"] for one in verdicts.values()]
    changes = [names[0], *(b for a, b in zip(names, names[1:], strict=False) if a != b)]
    assert changes == ["v1", "v2", "v1"]
    health = service.subscriber.payloads("health")[-1]["evidence"]
    assert health["problem"] is None and health["bytes"] > 0
    pictures = {path.stem for path in (tmp_path / "evidence").glob("*/a/defects/*.png")}
    assert pictures and pictures <= {one["id"] for one in verdicts.values()}
