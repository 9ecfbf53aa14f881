"""The service as its process on a line whose lamp loses light: told at once, over MQTT and in the metrics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_bundle
import yaml
from http_get import get
from mosquitto import Broker, Subscriber, free_port, wait_until
from service_process import PATIENCE, Launch, write_settings

from edge_inspect.edge.bundle.manifest import MANIFEST
from edge_inspect.edge.frame.images import write_image


def write_bundle(path: Path, threshold: float) -> None:
    tiny_bundle.write(path)
    manifest = yaml.safe_load((path / MANIFEST).read_text())
    for limits in manifest["decision"]["thresholds"].values():
        limits["image"] = threshold
    (path / MANIFEST).write_text(yaml.safe_dump(manifest))


@pytest.mark.parametrize(("threshold", "warning"), [(1e6, "light_changed"), (-1e6, "many_rejects")])
def test_a_warning_is_told_without_waiting_for_the_next_health(
    broker: Broker,
    subscribe: Callable[..., Subscriber],
    launch: Launch,
    tmp_path: Path,
    threshold: float,
    warning: str,
) -> None:
    rng = np.random.default_rng(3)
    for i in range(600):
        light = 1.0 if i < 150 else 0.8
        frame = np.clip(rng.normal(120, 20, (32, 32, 3)) * light, 0, 255).astype(np.uint8)
        write_image(tmp_path / "frames" / f"{i:04d}.png", frame)
    write_bundle(tmp_path / "bundle", threshold)
    port = free_port()
    station: dict[str, Any] = {
        "camera": f"folder:{tmp_path}/frames?fps=50",
        "bundle": str(tmp_path / "bundle"),
        "policy": "every",
    }
    subscriber = subscribe(broker.port)
    launch(write_settings(tmp_path, broker.port, station, health={"http_port": port}, health_every_s=3600))

    def told() -> list[dict[str, Any]]:
        return [each for each in subscriber.payloads("health") if warning in each["warnings"]]

    wait_until(told, PATIENCE, "the warning")
    health = told()[0]
    assert health["cause"] in ("light", "parts") and health["remedy"]
    assert health["rejects"]["usual"] == pytest.approx(0.022)
    assert f'warning="{warning}"' in get(port, "/metrics")[1]
