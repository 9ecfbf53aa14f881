"""Change-overs of the service as its process, with a real broker: every part is judged by the recipe asked for."""

from __future__ import annotations

import json
import random
import shutil
import signal
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from mosquitto import Broker, Subscriber, wait_until
from recipe_line import ACCEPTS, REJECTS, is_right, station, write_bundles, write_frames
from service_process import PATIENCE, Commander, Launch, Process, write_settings

from edge_inspect.edge.contract.ids import uuid7_of_now
from edge_inspect.edge.contract.topics import Topics

BOTH = (ACCEPTS, REJECTS)


class Line:
    """The service with two recipes, and the sender of triggers and commands."""

    def __init__(self, launch: Launch, subscriber: Subscriber, config: Path) -> None:
        self._launch, self._config, self.subscriber = launch, config, subscriber
        self._topic = Topics("plant", "line1", "a").command
        self.command = Commander(subscriber, "a")
        self.asked: dict[str, str | None] = {}
        self.start()

    def start(self) -> Process:
        starts = self.subscriber.states().count("online")
        self.process = self._launch(self._config)
        wait_until(lambda: self.subscriber.states().count("online") > starts, PATIENCE, "online")
        return self.process

    def send(self, verb: str, **fields: Any) -> str:
        """Send a command without waiting for its reply; returns its id."""
        identity = uuid7_of_now()
        self.subscriber.publish(self._topic, json.dumps({"command": verb, "id": identity, **fields}).encode())
        return identity

    def trigger(self, recipe: str | None, part: str) -> None:
        """Have a part inspected that this recipe must judge; `None`: either may."""
        self.asked[part] = recipe
        self.send("trigger", part_id=part)

    def reply(self, identity: str) -> dict[str, Any] | None:
        return next((each for each in self.subscriber.payloads("reply") if each["command_id"] == identity), None)

    def verdicts(self) -> dict[str, dict[str, Any]]:
        return {one["part_id"]: one for one in self.subscriber.payloads("verdict")}

    def check(self) -> None:
        """Every part that was asked for has its verdict, in order, by its recipe."""
        wait_until(lambda: len(self.verdicts()) >= len(self.asked), PATIENCE, "all verdicts")
        found = self.verdicts()
        assert list(found) == list(self.asked)
        for part, recipe in self.asked.items():
            assert is_right(found[part], recipe or found[part]["recipe"]), (part, recipe, found[part])
        sequences = self.subscriber.sequences()
        assert sequences == list(range(1, len(sequences) + 1))

    def health(self) -> dict[str, Any]:
        return dict(self.subscriber.payloads("health")[-1]["recipe"])


@pytest.fixture
def start(broker: Broker, subscriber: Subscriber, launch: Launch, tmp_path: Path) -> Callable[..., Line]:
    write_bundles(tmp_path / "bundles")
    write_frames(tmp_path / "frames")

    def run(**more: Any) -> Line:
        settings = station(tmp_path, **more)
        allowed = {"allow": ["recipe", "trigger", "threshold", "bundle"]}
        bundles = {"folder": str(tmp_path / "bundles")}
        config = write_settings(tmp_path, broker.port, settings, commands=allowed, bundles=bundles)
        return Line(launch, subscriber, config)

    return run


def test_commands_change_over_between_two_triggers(start: Callable[..., Line]) -> None:
    line, rng = start(), random.Random(1)
    for name in (REJECTS, ACCEPTS):  # from now on both are open
        assert line.command("recipe", name=name)["recipe"]["after"] == name
    in_force, ids = ACCEPTS, []
    for i in range(150):
        if rng.random() < 0.3:
            in_force = rng.choice(BOTH)
            ids.append(line.send("recipe", name=in_force))
        line.trigger(in_force, f"p{i}")
    line.check()
    wait_until(lambda: all(line.reply(each) for each in ids), PATIENCE, "all replies")
    assert all(line.reply(each)["done"] for each in ids)
    assert {one["recipe"] for one in line.verdicts().values()} == set(BOTH)
    assert line.subscriber.payloads("status")[-1]["recipe"] == in_force
    wait_until(lambda: line.health() == {**HEALTH, "requested": in_force, "active": in_force}, PATIENCE)
    assert line.process.end() == 0


HEALTH = {"state": "active", "error": None, "names": list(BOTH)}


def test_a_bundle_that_is_closed_is_opened_while_the_old_one_judges(start: Callable[..., Line]) -> None:
    line = start(recipe_memory_mb=0)
    in_force, part = ACCEPTS, 0
    for _ in range(6):
        following = next(name for name in BOTH if name != in_force)
        line.trigger(in_force, f"p{part}")
        identity = line.send("recipe", name=following)
        while line.reply(identity) is None:
            part += 1
            line.trigger(None, f"p{part}")
        assert line.reply(identity)["recipe"] == {"before": in_force, "after": following}
        in_force, part = following, part + 1
        line.trigger(in_force, f"p{part}")
        part += 1
    line.check()
    assert "is closed, to free memory" in line.process.said()


@pytest.mark.parametrize("memory", [1024, 0])
def test_part_ids_choose_part_by_part(start: Callable[..., Line], memory: float) -> None:
    line, rng = start(pattern=True, recipe_memory_mb=memory), random.Random(2)
    for i in range(60 if memory else 12):
        recipe = rng.choice(BOTH)
        line.trigger(recipe, f"{recipe}-{i}")
        if i % 4 == 0:
            line.trigger(ACCEPTS, f"other-{i}")
    line.check()
    assert line.health()["active"] == ACCEPTS


def test_frames_of_a_free_running_camera_have_the_recipe_of_their_time(
    start: Callable[..., Line], tmp_path: Path
) -> None:
    line = start(trigger="camera", camera=f"folder:{tmp_path / 'frames'}?loop=true&fps=50")
    spans: list[tuple[str, datetime, datetime]] = []
    name = ACCEPTS
    for _ in range(20):
        following = next(each for each in BOTH if each != name)
        asked = datetime.now(timezone.utc)
        assert line.command("recipe", name=following)["done"]
        spans.append((following, asked, datetime.now(timezone.utc)))
        seen = len(line.subscriber.payloads("verdict"))
        wait_until(lambda: len(line.subscriber.payloads("verdict")) > seen + 3, PATIENCE, "parts")  # noqa: B023
        name = following
    line.process.end()
    certain = 0
    for verdict in line.subscriber.payloads("verdict"):
        taken = datetime.fromisoformat(verdict["captured_at"].replace("Z", "+00:00"))
        before = [recipe for recipe, _, replied in spans if taken >= replied]
        if any(asked <= taken <= replied for _, asked, replied in spans):
            assert is_right(verdict, verdict["recipe"])
            continue
        assert is_right(verdict, before[-1] if before else ACCEPTS)
        certain += 1
    assert certain > 20
    sequences = line.subscriber.sequences()
    assert sequences == list(range(1, len(sequences) + 1))


def test_a_broken_bundle_fails_and_the_old_recipe_judges_on(start: Callable[..., Line], tmp_path: Path) -> None:
    line = start(pattern=True)
    bundles = tmp_path / "bundles"
    line.process.end()
    (bundles / REJECTS / "model.int8.onnx").write_bytes(b"cut")
    line.start()
    said = line.command("recipe", name=REJECTS)
    assert said["refusal"] == "impossible" and said["recipe"] is None
    assert "model.int8.onnx was changed" in said["reason"] and f"{ACCEPTS} stays in force" in said["reason"]
    failed = {**HEALTH, "requested": REJECTS, "active": ACCEPTS, "state": "failed", "error": said["reason"]}
    wait_until(lambda: line.health() == failed, PATIENCE, "health says so")
    # A part of that product is refused, and never judged by the other bundle.
    wait_until(lambda: line.command("trigger", part_id=f"{REJECTS}-1")["refusal"] == "impossible", PATIENCE)
    assert "no bundle can inspect this part" in line.subscriber.payloads("reply")[-1]["reason"]
    line.trigger(ACCEPTS, "p1")
    line.check()


def test_recipe_and_threshold_survive_a_kill(start: Callable[..., Line]) -> None:
    line = start()
    assert line.command("recipe", name="box")["refusal"] == "impossible"
    assert line.command("recipe", name=REJECTS)["done"]
    assert line.command("threshold", value=0.6)["threshold"] == {"before": 0.5, "after": 0.6, "bundle": 0.5}
    line.process.end(signal.SIGKILL)
    line.start()
    line.trigger(REJECTS, "p1")
    line.check()
    assert line.verdicts()["p1"]["threshold"] == 0.6
    assert line.command("recipe", name=ACCEPTS)["done"]
    line.trigger(ACCEPTS, "p2")
    line.check()
    assert line.verdicts()["p2"]["threshold"] == 100.0


def test_the_command_bundle_changes_the_recipe_in_force(start: Callable[..., Line], tmp_path: Path) -> None:
    line = start()
    shutil.copytree(tmp_path / "bundles" / ACCEPTS, tmp_path / "bundles" / "next")
    assert line.command("recipe", name=REJECTS)["done"]
    assert line.command("bundle", name="next")["bundle"]["after"]["name"] == ACCEPTS
    line.send("trigger", part_id="p1")
    wait_until(lambda: "p1" in line.verdicts(), PATIENCE)
    verdict = line.verdicts()["p1"]
    assert (verdict["recipe"], verdict["bundle"]["name"], verdict["ok"]) == (REJECTS, ACCEPTS, True)
    assert line.command("bundle", name=None)["bundle"]["after"]["name"] == REJECTS
    line.send("trigger", part_id="p2")
    wait_until(lambda: "p2" in line.verdicts(), PATIENCE)
    assert is_right(line.verdicts()["p2"], REJECTS)
