"""A PLC changes the recipe of a station by register: service, bridge and broker as their processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from bridge_parts import Plc, settings
from mosquitto import Broker, Subscriber, wait_until
from recipe_line import ACCEPTS, REJECTS, is_right, station, write_bundles, write_frames
from service_process import PATIENCE, Launch, Process, write_settings

from edge_inspect.edge.bridge.registers import RECIPE_REQUESTED
from edge_inspect.edge.contract.ids import uuid7_of_now
from edge_inspect.edge.contract.topics import Topics

NAMES = (ACCEPTS, REJECTS)


def test_a_register_changes_over(
    broker: Broker,
    subscriber: Subscriber,
    launch: Launch,
    start: Callable[..., Process],
    plc: Callable[..., Plc],
    tmp_path: Path,
) -> None:
    write_bundles(tmp_path / "bundles")
    write_frames(tmp_path / "frames")
    allowed = {"allow": ["recipe", "trigger", "resend"]}
    config = write_settings(tmp_path, broker.port, station(tmp_path), commands=allowed)
    names = {"site": "plant", "line": "line1", "station": "a", "recipes": [*NAMES, "unknown"]}
    chosen = settings(broker.port, tmp_path, stations=[names])
    service, bridge, reader = launch(config), start(chosen), plc(chosen)
    wait_until(lambda: reader.recipe()[1:3] == (1, "active"), PATIENCE, "the station's recipe")

    def change(number: int) -> tuple[int, int, str, str]:
        """Write the request, and wait as a PLC does until it is answered."""
        assert not reader.client.write_register(RECIPE_REQUESTED, number).isError()
        assert reader.recipe()[0] == number
        wait_until(lambda: reader.recipe()[2] != "changing", PATIENCE, "an answer")
        return reader.recipe()

    asked: dict[str, str] = {}
    for i in range(20):
        number = (2, 1, 1, 2)[i % 4]
        assert change(number) == (number, number, "active", "none")
        for part in (f"{i}a", f"{i}b"):
            asked[part] = NAMES[number - 1]
            command = {"command": "trigger", "id": uuid7_of_now(), "part_id": part}
            subscriber.publish(Topics("plant", "line1", "a").command, json.dumps(command).encode())
    wait_until(lambda: len(subscriber.payloads("verdict")) >= len(asked), PATIENCE, "all verdicts")
    found = {one["part_id"]: one for one in subscriber.payloads("verdict")}
    assert list(found) == list(asked) and all(is_right(found[part], recipe) for part, recipe in asked.items())
    wait_until(lambda: reader.read()["parts"] == len(asked), PATIENCE, "all parts in the registers")
    assert [slot["recipe"] for slot in sorted(reader.slots(), key=lambda slot: slot["number"])] == [
        NAMES.index(recipe) + 1 for recipe in list(asked.values())[-16:]
    ]

    # One that the station does not know, then the station is gone, then a number without a recipe.
    assert change(3) == (3, 2, "failed", "impossible")
    service.end()
    wait_until(lambda: "offline" in reader.flags(), PATIENCE, "offline")
    assert change(1)[2:] == ("failed", "no_answer")
    assert reader.client.write_register(RECIPE_REQUESTED, 4).isError()
    assert reader.recipe()[0] == 1
    bridge.end()
