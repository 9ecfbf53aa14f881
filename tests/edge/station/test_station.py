"""Stations of one box in one engine thread: real cameras, engines, outbox; no broker."""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from box_parts import inspect_next, make_box, make_settings
from mosquitto import wait_until
from tiny_bundle import write

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.configuration.settings import Settings
from edge_inspect.edge.engine_loop import EngineLoop
from edge_inspect.edge.engines import AnomalyMap, second_engine
from edge_inspect.edge.engines.opening import open_engine
from edge_inspect.edge.engines.openvino import BegunSlot
from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.evidence.writer import EvidenceWriter
from edge_inspect.edge.frame.images import read_image, write_image
from edge_inspect.edge.health.calibration_watch import SENTENCES, CalibrationWatch
from edge_inspect.edge.outbox.memory import MemoryOutbox
from edge_inspect.edge.station import state
from edge_inspect.edge.station.box_resources import BoxResources
from edge_inspect.edge.station.loaded_bundle import LoadedBundle
from edge_inspect.edge.station.part import InspectedPart
from edge_inspect.edge.station.station import FAILURES, Station


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    write(folder / "a", seed=21)
    write(folder / "b", seed=22)
    shutil.copytree(folder / "b", folder / "cut")
    (folder / "cut" / "golden.npz").write_bytes(b"cut")
    return folder


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    return write_frames(tmp_path / "frames")


def write_frames(folder: Path) -> Path:
    rng = np.random.default_rng(3)
    for i in range(6):
        write_image(folder / f"{i}.png", rng.integers(0, 256, (48, 80, 3), np.uint8))
    return folder


@pytest.fixture
def run(outbox: MemoryOutbox) -> Iterator[Callable[[Settings], tuple[list[Station], BoxResources]]]:
    ends: list[Callable[[], None]] = []

    def start(settings: Settings) -> tuple[list[Station], BoxResources]:
        stations: list[Station] = []
        loop = EngineLoop(stations)
        box = make_box(settings, outbox, loop.ready)
        stations += [Station(settings, station, box) for station in settings.stations]
        for station in stations:
            station.start()
        loop.start()
        ends.append(lambda: loop.close(20))
        ends.extend(lambda station=station: station.close(1) for station in stations)
        if box.evidence is not None:
            ends.append(lambda: box.evidence.close(20))
        return stations, box

    yield start
    for end in ends:
        end()


def verdicts(outbox: MemoryOutbox, station: str) -> list[dict[str, Any]]:
    entries = outbox.pending(station, 0, 10**6)
    return [json.loads(entry.payload) for entry in entries if entry.kind == "verdict"]


@pytest.fixture
def problems(caplog: pytest.LogCaptureFixture) -> Callable[[Station], list[str]]:
    """Reasons for which a station was degraded, as the log has them: one line whenever the status changes."""

    def read(station: Station) -> list[str]:
        said = [
            record.getMessage()
            for record in caplog.records
            if record.name == state.__name__ and record.levelno >= logging.WARNING
        ]
        return [text.removeprefix(f"{station.name}: ") for text in said if text.startswith(f"{station.name}: ")]

    return read


def test_a_camera_that_dies_does_not_touch_the_others(
    run: Callable[..., Any],
    problems: Callable[[Station], list[str]],
    outbox: MemoryOutbox,
    bundles: Path,
    frames: Path,
    tmp_path: Path,
) -> None:
    settings = make_settings(tmp_path, bundles / "a", names="ab", policy="every")
    dying = write_frames(tmp_path / "dying")
    cameras = {"a": f"folder:{frames}?loop=true&fps=50", "b": f"folder:{dying}?loop=true&fps=50"}
    stations = [one.model_copy(update={"camera": cameras[one.name]}) for one in settings.stations]
    (living, dead), _ = run(settings.model_copy(update={"stations": stations}))
    wait_until(lambda: dead.inspected >= 3, 60)
    shutil.rmtree(dying)
    wait_until(lambda: any("no such folder" in problem for problem in problems(dead)), 60)
    inspected, parts = dead.inspected, living.inspected
    wait_until(lambda: living.inspected >= parts + 30, 60)
    assert dead.inspected == inspected
    assert not problems(living)
    assert [one["sequence"] for one in verdicts(outbox, "a")[:parts]] == list(range(1, parts + 1))
    write_frames(dying)
    wait_until(lambda: dead.inspected >= inspected + 3, 60)


@pytest.mark.parametrize("names", ["a", "abc"])
def test_frames_that_wait_get_the_verdicts_that_they_get_alone(
    names: str,
    run: Callable[..., Any],
    outbox: MemoryOutbox,
    bundles: Path,
    frames: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(second_engine, "OFTEN", 1)
    begun: list[int] = []
    wait = BegunSlot.wait

    def count(self: BegunSlot) -> AnomalyMap:
        begun.append(self.at_a_time)
        return wait(self)

    monkeypatch.setattr(BegunSlot, "wait", count)
    settings = make_settings(tmp_path, bundles / "a", names=names, policy="every", camera=f"folder:{frames}?loop=true")
    stations, _ = run(settings)
    wait_until(lambda: len(begun) >= 60 and all(station.inspected >= 30 for station in stations), 60)
    engine = stations[0].engine
    for station in stations:
        station.stop()
    wait_until(lambda: not any(station.ring.waiting for station in stations), 60)
    time.sleep(0.5)
    wanted = [engine.infer(read_image(path)).score for path in sorted(frames.iterdir())]
    for station in stations:
        told = verdicts(outbox, station.name)
        assert [one["part_id"] for one in told] == [str(i % 6) for i in range(len(told))]
        assert [one["sequence"] for one in told] == list(range(1, len(told) + 1))
        assert [one["score"] for one in told] == pytest.approx([wanted[i % 6] for i in range(len(told))], abs=1e-5)
        assert station.lost == 0


def test_a_bundle_that_changes_while_frames_are_begun_judges_them_from_the_change_on(
    run: Callable[..., Any],
    outbox: MemoryOutbox,
    bundles: Path,
    frames: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(second_engine, "OFTEN", 1)
    camera = f"folder:{frames}?loop=true"
    settings = make_settings(tmp_path, bundles / "a", names="ab", policy="every", camera=camera)
    stations, _ = run(settings)
    first = stations[0]
    scores = {}
    for name in ("a", "b"):
        with open_engine(open_bundle(bundles / name)) as engine:
            scores[name] = [engine.infer(read_image(path)).score for path in sorted(frames.iterdir())]
    for _ in range(3):
        for name in ("b", "a"):
            first.load_bundle(bundles / name)
            wait_until(lambda name=name: first.recipes.current.reference.name == name, 60)
            seen = first.inspected
            wait_until(lambda seen=seen: first.inspected > seen + 20, 60)
    told = verdicts(outbox, "a")
    assert [one["sequence"] for one in told] == list(range(1, len(told) + 1))
    for i, one in enumerate(told):
        assert one["score"] == pytest.approx(scores[one["bundle"]["name"]][i % 6], abs=1e-5)
    assert first.lost == 0


def test_a_lost_camera_and_a_warning_that_lasts_are_each_said_once(
    run: Callable[..., Any], problems: Callable[[Station], list[str]], bundles: Path, frames: Path, tmp_path: Path
) -> None:
    settings = make_settings(tmp_path, bundles / "a", policy="every", camera=f"folder:{frames}?loop=true&fps=50")
    larger_than_any_disk = settings.outbox.model_copy(update={"max_bytes": 2**60})
    (station,), _ = run(settings.model_copy(update={"outbox": larger_than_any_disk}))
    station.recipes.current.decider.threshold = 1e9  # many rejects would be said first

    def says_no_more(problem: str) -> None:
        wait_until(lambda: problem in str(problems(station)[-1:]), 60)
        said = problems(station)
        for _ in range(3):
            station.publish_health()
        assert problems(station) == said

    station.publish_health()
    wait_until(lambda: station.inspected >= 3, 60)
    says_no_more(SENTENCES["disk"])
    shutil.rmtree(frames)
    engine = station.stages["engine"]
    wait_until(lambda: not station.ring.waiting and engine.situation.why == "no frame waits", 60)
    says_no_more("no such folder")
    write_frames(frames)
    inspected = station.inspected
    wait_until(lambda: station.inspected > inspected + 3, 60)
    says_no_more(SENTENCES["disk"])


def test_stations_of_one_bundle_share_its_engine_in_turn(
    run: Callable[..., Any], outbox: MemoryOutbox, bundles: Path, frames: Path, tmp_path: Path
) -> None:
    camera = f"folder:{frames}?loop=true"
    settings = make_settings(tmp_path, bundles / "a", names="abc", policy="every", camera=camera, queue=1)
    stations, _ = run(settings)
    assert len({id(station.engine) for station in stations}) == 1
    wait_until(lambda: min(station.inspected for station in stations) >= 50, 120)
    # Each engine turn takes one frame a station: none is far behind, and each frame has one score everywhere.
    counts = [station.inspected for station in stations]
    assert max(counts) <= 3 * min(counts)
    scores = {(one["part_id"], one["score"]) for name in "abc" for one in verdicts(outbox, name)}
    assert len(scores) == 6


@pytest.mark.parametrize("comes_back", ["with a map", "with an error"])
def test_a_part_that_is_left_behind_with_its_engine_is_counted_once(
    comes_back: str, outbox: MemoryOutbox, bundles: Path, frames: Path, tmp_path: Path
) -> None:
    settings = make_settings(tmp_path, bundles / "a", policy="every", camera=f"folder:{frames}")
    station = Station(settings, settings.stations[0], make_box(settings, outbox))
    hanging, infer = station.engine, station.engine.infer
    begun, go = threading.Event(), threading.Event()

    def hang(frame: Any) -> Any:
        begun.set()
        go.wait(60)
        if comes_back == "with an error":
            raise EngineError("it came back")
        return infer(frame)

    hanging.infer = hang
    station.start()
    try:
        wait_until(lambda: station.ring.waiting, 60)
        left = threading.Thread(target=inspect_next, args=(station,))
        left.start()
        assert begun.wait(60)
        station.rebuild_engine(hanging)
        station.rebuild_engine(station.engine)  # nothing is in hand
        go.set()
        left.join(60)
        assert station.stages["engine"].situation.doing == "idle"
        wait_until(lambda: inspect_next(station) and station.inspected == 5, 60)
        station.publish_health()
        assert (station.health.frames.inspected, station.health.frames.dropped) == (5, 1)
        assert [one["part_id"] for one in verdicts(outbox, "a")] == ["1", "2", "3", "4", "5"]
    finally:
        go.set()
        station.close(1)


def test_a_bundle_that_the_configuration_names_now_is_loaded_beside_the_running_one(
    run: Callable[..., Any],
    problems: Callable[[Station], list[str]],
    outbox: MemoryOutbox,
    bundles: Path,
    frames: Path,
    tmp_path: Path,
) -> None:
    camera = f"folder:{frames}?loop=true&fps=50"
    (station,), box = run(make_settings(tmp_path, bundles / "a", policy="every", camera=camera))
    wait_until(lambda: station.inspected >= 3, 60)

    def newest() -> str:
        return str(verdicts(outbox, "a")[-1]["bundle"]["name"])

    assert newest() == "a"
    station.load_bundle(bundles / "cut")
    wait_until(lambda: any("golden.npz was changed" in problem for problem in problems(station)), 60)
    assert newest() == "a" and not box.bundles.entries("a")
    station.load_bundle(bundles / "b")
    wait_until(lambda: newest() == "b", 60)
    entry = box.bundles.last("a")
    assert (entry.bundles[0].name, entry.configured) == ("b", bundles / "b")
    every = verdicts(outbox, "a")  # read once, because more come
    names = [one["bundle"]["name"] for one in every]
    assert names == sorted(names)
    assert [one["sequence"] for one in every] == list(range(1, len(every) + 1))


def test_evidence_is_saved_while_the_camera_writes_over_its_frames(
    run: Callable[..., Any], outbox: MemoryOutbox, bundles: Path, frames: Path, tmp_path: Path
) -> None:
    video, folder = tmp_path / "line.avi", tmp_path / "evidence"
    recorder = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 25, (80, 48))
    for i in range(30):
        recorder.write(np.roll(read_image(frames / "0.png"), i, axis=1))
    recorder.release()
    evidence = {"folder": folder, "keep_free_bytes": 0, "queue": 64}
    camera = f"video:{video}?fps=0"
    (station,), box = run(make_settings(tmp_path, bundles / "a", policy="every", camera=camera, evidence=evidence))
    wait_until(lambda: box.evidence.health("a").saved == 30, 60)
    originals = cv2.VideoCapture(str(video))
    for one in verdicts(outbox, "a"):
        assert not one["ok"]
        saved = read_image(next(folder.glob(f"*/a/defects/{one['id']}.png")))
        assert (saved == originals.read()[1]).all()
    station.publish_health()
    assert station.health.evidence.saved == 30


@pytest.mark.parametrize("where", ["engine", "verdict", "score", "evidence"])
def test_an_error_of_one_part_costs_that_part(
    where: str,
    run: Callable[..., Any],
    problems: Callable[[Station], list[str]],
    outbox: MemoryOutbox,
    bundles: Path,
    frames: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []

    def third_fails(method: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            calls.append(1)
            if len(calls) == 3:
                raise RuntimeError("odd")
            return method(*arguments, **named)

        return wrapped

    kind, name = {
        "engine": (LoadedBundle, "inspect"),
        "verdict": (InspectedPart, "verdict"),
        "score": (CalibrationWatch, "add"),
        "evidence": (EvidenceWriter, "offer"),
    }[where]
    monkeypatch.setattr(kind, name, third_fails(getattr(kind, name)))
    more = {"evidence": {"folder": tmp_path / "evidence", "keep_free_bytes": 0}}
    (station,), _ = run(make_settings(tmp_path, bundles / "a", policy="every", camera=f"folder:{frames}", **more))
    wait_until(lambda: station.ended.is_set() and len(calls) == 6, 60)
    kept = [str(number) for number in range(6) if number != 2 or where in ("score", "evidence")]
    wait_until(lambda: [one["part_id"] for one in verdicts(outbox, "a")] == kept, 60)
    assert [one["sequence"] for one in verdicts(outbox, "a")] == list(range(1, len(kept) + 1))
    wait_until(lambda: station.inspected == len(kept), 60)  # counted once it is in the outbox
    station.publish_health()
    assert (station.health.frames.inspected, station.health.frames.dropped) == (len(kept), 6 - len(kept))
    assert any("RuntimeError('odd')" in problem for problem in problems(station)) == (where in ("engine", "verdict"))
    assert station.stages["outbox"].situation.doing == "idle"


def test_a_part_that_always_fails_is_a_case_for_the_supervisor(
    outbox: MemoryOutbox, bundles: Path, frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: Any) -> Any:
        raise ValueError("every part")

    monkeypatch.setattr(InspectedPart, "verdict", fails)
    settings = make_settings(tmp_path, bundles / "a", policy="every", camera=f"folder:{frames}?loop=true")
    station = Station(settings, settings.stations[0], make_box(settings, outbox))
    station.start()
    try:
        failed = 0
        while failed < FAILURES:
            assert not station.stages["engine"].overdue(0.0)
            wait_until(lambda: station.ring.waiting, 60)
            failed += inspect_next(station)
        assert station.stages["engine"].overdue(0.0)
    finally:
        station.close(1)


def test_no_name_of_a_file_ends_a_station_or_another_one(
    run: Callable[..., Any],
    problems: Callable[[Station], list[str]],
    outbox: MemoryOutbox,
    bundles: Path,
    frames: Path,
    tmp_path: Path,
) -> None:
    odd = write_frames(tmp_path / "odd")
    names = [b"teil_\xfc", b"line\nbreak", b"\xed\xa0\x80", b"\xff" * 250, "ü".encode() * 100, b"damaged_\xe9"]
    for number, name in enumerate(names):
        os.rename(odd / f"{number}.png", os.fsencode(odd) + b"/" + name + b".png")
    with open(os.fsencode(odd) + b"/damaged_\xe9.png", "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
    settings = make_settings(tmp_path, bundles / "a", names="ab", policy="every")
    cameras = {"a": f"folder:{frames}", "b": f"folder:{odd}"}
    stations = [one.model_copy(update={"camera": cameras[one.name]}) for one in settings.stations]
    (good, bad), _ = run(settings.model_copy(update={"stations": stations}))
    wait_until(lambda: good.ended.is_set() and bad.ended.is_set(), 60)
    wait_until(lambda: len(verdicts(outbox, "a")) == 6 and len(verdicts(outbox, "b")) == 5, 60)
    expected = {r"teil_\xfc", r"line\nbreak", r"\xed\xa0\x80", (r"\xff" * 250)[:256], "ü" * 100}
    assert {one["part_id"] for one in verdicts(outbox, "b")} == expected
    assert any(r"damaged_\xe9.png" in problem for problem in problems(bad))
    wait_until(lambda: bad.inspected == 5, 60)
    bad.publish_health()
    assert (bad.health.frames.inspected, bad.health.frames.dropped) == (5, 1)
