"""A station in shadow: what it says, what it collects, and that it goes on after a restart and ends."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from mosquitto import Broker, Subscriber, wait_until
from service_process import PATIENCE, Commander, Launch, write_settings

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.bundle.manifest import MANIFEST, THRESHOLD_SOURCE
from edge_inspect.edge.configuration.station_settings import ShadowSettings, StationSettings
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.messages import FrameSize, Verdict
from edge_inspect.edge.engines.openvino import OpenVinoEngine
from edge_inspect.edge.health.picture import PictureFigures
from edge_inspect.edge.station.loaded_bundle import LoadedBundle
from edge_inspect.edge.station.shadow import Shadow, read_collected

PICTURE = PictureFigures(level=60.5, saturated=0, sharpness=0.28, digest=2**32 - 1, x=0.5, y=0.51)
STATION = StationSettings(name="a", camera="folder:/x", bundle=Path("/x"))


@pytest.fixture(scope="module")
def loaded(bundles: Path) -> dict[str, LoadedBundle]:
    opened = {name: open_bundle(bundles / name) for name in "ab"}
    return {name: LoadedBundle(bundle, OpenVinoEngine(bundle, "fp32"), STATION) for name, bundle in opened.items()}


def verdict(loaded: LoadedBundle, sequence: int, score: float) -> Verdict:
    return Verdict(
        boot_id="b", id=uuid7(), sequence=sequence, captured_at=utc_now(), decided_at=utc_now(), ok=True, shadow=True,
        score=score, threshold=loaded.own_threshold, bundle=loaded.reference, precision="fp32", engine="openvino",
        latency_ms=1, frame=FrameSize(width=8, height=8),
    )  # fmt: skip


class Bench:
    def __init__(self, path: Path, loaded: LoadedBundle, parts: int | None = None, frames: int = 2) -> None:
        self.notes: list[str | None] = []
        settings = None if parts is None else ShadowSettings(parts=parts, frames=frames)
        self.path, self.loaded = path, loaded
        self.shadow = Shadow(path, "a", settings, self.notes.append)
        self.shadow.follow(loaded)

    def pass_by(self, *scores: float) -> list[bool]:
        """Parts; whether the frame of each was wanted."""
        wanted = []
        for i, score in enumerate(scores):
            wanted.append(self.shadow.wants_frame)
            self.shadow.take(verdict(self.loaded, i + 1, score), PICTURE._replace(level=100 * score))
        return wanted

    def scores(self) -> list[float]:
        return [each.score for each in read_collected(self.path).scores]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shadow.jsonl"


def test_it_ends_after_the_parts_that_are_wanted_and_stays_so(path: Path, loaded: dict[str, LoadedBundle]) -> None:
    bench = Bench(path, loaded["a"], 4)
    assert bench.shadow.is_on and "nothing is rejected" in str(bench.notes[-1])
    assert bench.pass_by(0.1, 0.9, 0.2) == [True, False, True], "two frames, evenly"
    health = bench.shadow.health()
    assert health is not None and (health.parts, health.wanted, health.above) == (3, 4, 1)
    bench.pass_by(0.3, 0.4)
    assert not bench.shadow.is_on and bench.shadow.health() is None and bench.notes[-1] is None
    assert bench.scores() == [0.1, 0.9, 0.2, 0.3]
    pictures = [each.picture for each in read_collected(path).scores]
    assert pictures == [PICTURE._replace(level=100 * score) for score in bench.scores()]
    assert not Bench(path, loaded["a"], 4).shadow.is_on
    assert Bench(path, loaded["a"], 6).shadow.is_on, "more are wanted now"
    assert not Bench(path, loaded["a"]).shadow.is_on, "the configuration does not ask for it any more"


def test_a_file_of_an_older_version_goes_on(path: Path, loaded: dict[str, LoadedBundle]) -> None:
    Bench(path, loaded["a"], 4).pass_by(0.1, 0.9)
    old = [{k: v for k, v in json.loads(line).items() if k != "picture"} for line in path.read_text().split()]
    path.write_text("\n".join(map(json.dumps, old)))
    again = Bench(path, loaded["a"], 4)
    again.pass_by(0.3)
    assert again.scores() == [0.1, 0.9, 0.3]
    assert [each.picture is None for each in read_collected(path).scores] == [True, True, False]


@pytest.mark.parametrize("spoil", [b"", b'{"id": "019f', b"\n\xff\xfe\n", b'{"of a later release": 1}\n'])
def test_a_restart_goes_on_whatever_a_power_cut_has_left(
    path: Path, loaded: dict[str, LoadedBundle], spoil: bytes
) -> None:
    Bench(path, loaded["a"], 4).pass_by(0.1, 0.9)
    path.write_bytes(path.read_bytes() + spoil)
    again = Bench(path, loaded["a"], 4)
    health = again.shadow.health()
    assert health is not None and (health.parts, health.above) == (2, 1)
    again.pass_by(0.3, 0.4)
    assert not again.shadow.is_on and again.scores() == [0.1, 0.9, 0.3, 0.4]


def test_a_file_that_is_none_of_ours_is_replaced(path: Path, loaded: dict[str, LoadedBundle]) -> None:
    for content in (b"", b"something else\n" * 9, bytes(range(256))):
        path.write_bytes(content)
        assert Bench(path, loaded["a"], 2).pass_by(0.1) == [True]
        assert read_collected(path).start.parts == 2


def test_another_bundle_begins_anew(path: Path, loaded: dict[str, LoadedBundle]) -> None:
    bench = Bench(path, loaded["a"], 3)
    bench.pass_by(0.1)
    bench.shadow.follow(loaded["b"])
    health = bench.shadow.health()
    assert health is not None and health.parts == 0
    assert read_collected(path).start.bundle.digest == loaded["b"].reference.digest


def test_a_bundle_with_the_lines_own_threshold_is_live_at_once(
    path: Path, bundles: Path, tmp_path: Path, loaded: dict[str, LoadedBundle]
) -> None:
    shutil.copytree(bundles / "a", tmp_path / "next")
    manifest = yaml.safe_load((tmp_path / "next" / MANIFEST).read_text())
    manifest["provenance"][THRESHOLD_SOURCE] = {"parts": 5}
    (tmp_path / "next" / MANIFEST).write_text(yaml.safe_dump(manifest))
    bundle = open_bundle(tmp_path / "next")
    bench = Bench(path, LoadedBundle(bundle, OpenVinoEngine(bundle, "fp32"), STATION), 3)
    assert not bench.shadow.is_on
    bench.shadow.begin(2)
    assert bench.shadow.is_on, "a command does it all the same"


def test_a_command_begins_it_over_restarts_and_ends_it(path: Path, loaded: dict[str, LoadedBundle]) -> None:
    bench = Bench(path, loaded["a"])
    assert not bench.shadow.is_on and not path.exists()
    bench.shadow.begin(3)
    bench.pass_by(0.1)
    again = Bench(path, loaded["a"])
    assert again.shadow.is_on
    again.pass_by(0.2)
    again.shadow.end()
    assert not again.shadow.is_on and again.scores() == [0.1, 0.2]
    assert not Bench(path, loaded["a"]).shadow.is_on
    assert not Bench(path, loaded["a"], 50).shadow.is_on, "what a command has ended does not come back"


def test_a_disk_that_takes_nothing_still_lets_nothing_be_rejected(
    tmp_path: Path, loaded: dict[str, LoadedBundle]
) -> None:
    (tmp_path / "file").touch()
    bench = Bench(tmp_path / "file" / "below", loaded["a"], 2)
    assert bench.shadow.is_on
    bench.pass_by(0.1, 0.2)
    assert not bench.shadow.is_on
    with pytest.raises(OSError):
        bench.shadow.begin(5)
    assert not bench.shadow.is_on
    other = Bench(tmp_path / "file" / "below", loaded["a"], 2)
    other.shadow.end()
    assert not other.shadow.is_on


def test_the_service_rejects_nothing_and_then_everything(
    broker: Broker, subscribe: Callable[..., Subscriber], launch: Launch, bundles: Path, tmp_path: Path
) -> None:
    """The threshold lies below every score, so that only the shadow keeps parts from being rejected."""
    shutil.copytree(bundles / "a", tmp_path / "bundle")
    manifest = yaml.safe_load((tmp_path / "bundle" / MANIFEST).read_text())
    for limits in manifest["decision"]["thresholds"].values():
        limits.update(image=-1.0, pixel=-1.0)
    (tmp_path / "bundle" / MANIFEST).write_text(yaml.safe_dump(manifest))
    (tmp_path / "frames").mkdir()
    for i, level in enumerate((40, 120, 200)):
        cv2.imwrite(str(tmp_path / "frames" / f"{i}.png"), np.full((32, 32, 3), level, np.uint8))
    station: dict[str, Any] = {
        "camera": f"folder:{tmp_path}/frames?fps=20&loop=true",
        "bundle": str(tmp_path / "bundle"),
        "policy": "every",
        "shadow": {"parts": 30, "frames": 10},
    }
    evidence = {"folder": str(tmp_path / "evidence")}
    config = write_settings(tmp_path, broker.port, station, commands={"allow": ["shadow"]}, evidence=evidence)
    subscriber = subscribe(broker.port)
    command = Commander(subscriber)
    first = launch(config)
    wait_until(lambda: len(subscriber.payloads("verdict")) >= 5, PATIENCE, "verdicts in shadow")
    wait_until(lambda: any("in shadow" in str(each["reason"]) for each in subscriber.payloads("status")), PATIENCE)
    assert first.end() == 0
    launch(config)
    wait_until(lambda: subscriber.payloads("defect"), PATIENCE, "the end of the shadow")
    verdicts = {each["sequence"]: each for each in subscriber.payloads("verdict")}
    judged = [verdicts[sequence] for sequence in sorted(verdicts)]
    assert all(each["ok"] and each["shadow"] and each["score"] > each["threshold"] for each in judged[:30])
    assert not any(each["ok"] or each["shadow"] for each in judged[30:])
    assert {each["sequence"] for each in subscriber.payloads("defect")} <= set(range(31, 10**6))
    collected = read_collected(tmp_path / "outbox.shadow-station1.jsonl").scores
    assert len(collected) == 30 and {each.picture.level for each in collected if each.picture} == {40, 120, 200}
    reply = command("shadow", parts=500)
    assert reply["done"] and reply["shadow"]["wanted"] == 500
    wait_until(lambda: any(each["shadow"] for each in subscriber.payloads("health")), PATIENCE, "health in shadow")
    assert command("shadow", parts=0)["shadow"] is None
