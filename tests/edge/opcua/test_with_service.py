"""The inspection service and the OPC UA server, each as its process: from a client's method to the part's result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tiny_bundle
from asyncua import Client
from mosquitto import Broker, wait_until
from opcua_parts import PATIENCE, ask, make_keys, until, write_opcua
from service_process import Launch, write_settings

STATION = "plant/line1/station1"
PREFIX = f"ns=1;s={STATION}"


async def value(client: Client, name: str) -> Any:
    found = await client.get_node(f"{PREFIX}.{name}").read_data_value(raise_on_bad_status=False)
    return found.Value.Value


async def call(client: Client, name: str, *inputs: Any) -> Any:
    owner = f"{PREFIX}.{name}".rpartition(".")[0]
    return await client.get_node(owner).call_method(client.get_node(f"{PREFIX}.{name}").nodeid, *inputs)


def test_a_client_triggers_pauses_and_resumes_a_station(launch: Launch, broker: Broker, tmp_path: Path) -> None:
    tiny_bundle.write(tmp_path / "tiny")
    (tmp_path / "frames").mkdir()
    cv2.imwrite(str(tmp_path / "frames" / "0.png"), np.full((32, 32, 3), 40, np.uint8))
    station = {
        "camera": f"folder:{tmp_path}/frames?loop=true",
        "bundle": str(tmp_path / "tiny"),
        "trigger": "command",
    }
    allowed = {"allow": ["trigger", "pause", "resume"]}
    service = launch(write_settings(tmp_path, broker.port, station, commands=allowed))
    config, settings = write_opcua(tmp_path, broker.port)
    server = launch(config, "opcua")
    wait_until(lambda: f"{STATION} is shown" in server.said(), PATIENCE, "the station is shown")

    async def is_now(client: Client, name: str, wanted: Any) -> bool:
        return bool(await value(client, name) == wanted)

    async def work(client: Client) -> None:
        await until(lambda: is_now(client, "Inspection.State", "online"), "the station is online")
        assert await call(client, "Inspection.Trigger", "SN-1") == [0, ""]
        await until(lambda: is_now(client, "Inspection.PartId", "SN-1"), "the part's verdict")
        assert await value(client, "Inspection.Sequence") == 1
        assert await call(client, "Inspection.Pause") == [0, ""]
        await until(lambda: is_now(client, "VisionStateMachine.AutomaticModeStateMachine.CurrentState.Number", 6))
        error, reason = await call(client, "Inspection.Trigger", "SN-2")
        assert error == -3 and reason == "the station is paused; send resume first"
        assert await call(client, "Inspection.Resume") == [0, ""]
        await until(lambda: is_now(client, "VisionStateMachine.AutomaticModeStateMachine.CurrentState.Number", 8))
        assert (await call(client, "Inspection.SelectRecipe", "jar"))[0] < 0, "it has no recipes"

    ask(settings, make_keys(tmp_path), work)
    service.end()

    async def gone(client: Client) -> None:
        await until(lambda: is_now(client, "VisionStateMachine.CurrentState.Number", 2), "Halted")

    ask(settings, make_keys(tmp_path), gone)
    assert server.end() == 0 and "Traceback" not in server.said()
