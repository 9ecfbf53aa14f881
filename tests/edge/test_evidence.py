"""Evidence: what is saved, that it can be trained on and looked through, its bounds, and a disk that takes none."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mosquitto import wait_until

from edge_inspect.edge.cli import main
from edge_inspect.edge.configuration.settings import EvidenceSettings
from edge_inspect.edge.contract import ids
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.messages import BundleReference, FrameSize, Region, Verdict
from edge_inspect.edge.engines import AnomalyMap
from edge_inspect.edge.evidence import folder as evidence_folder
from edge_inspect.edge.evidence.folder import EvidenceFolder
from edge_inspect.edge.evidence.saved_part import PartToSave, SavedPart, pack, read_map
from edge_inspect.edge.evidence.writer import EvidenceWriter
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import read_image
from edge_inspect.train.datasets import Category

HEIGHT, WIDTH = 60, 80
REGION = Region(bbox=(20, 15, 12, 9), area_px=80, peak=0.9, centroid=(26.0, 19.5))


def picture(seed: int) -> np.ndarray[Any, Any]:
    frame = np.full((HEIGHT, WIDTH, 3), 60 + 10 * seed, np.uint8)
    cv2.circle(frame, (40, 30), 20, (180, 170, 160), -1)
    cv2.putText(frame, str(seed), (30, 38), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 2)
    return frame


def part(score: float, seed: int = 0, station: str = "a") -> PartToSave:
    """A part judged by a threshold of 1."""
    frame = picture(seed)
    _, placement = Fit(32, 32).apply(frame)
    values = np.random.default_rng(seed).random((32, 32), np.float32) * np.float32(0.3)
    values[8:12, 8:13] = score
    verdict = Verdict(
        boot_id="b",
        id=uuid7(),
        sequence=seed + 1,
        part_id=f"SN-{seed}",
        captured_at=utc_now(),
        decided_at=utc_now(),
        ok=score <= 1,
        score=score,
        threshold=1.0,
        bundle=BundleReference(name="flange", digest="d"),
        precision="fp32",
        engine="openvino",
        latency_ms=1.0,
        frame=FrameSize(width=WIDTH, height=HEIGHT),
    )
    regions = () if verdict.ok else (REGION,)
    return PartToSave(station, verdict, regions, 0.9 <= score <= 1.1, frame, AnomalyMap(values, placement, score))


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., EvidenceWriter]]:
    made: list[EvidenceWriter] = []

    def writer(**more: Any) -> EvidenceWriter:
        made.append(EvidenceWriter(EvidenceSettings(folder=tmp_path / "evidence", keep_free_bytes=0, **more)))
        return made[-1]

    yield writer
    for one in made:
        one.close(20)


def offer(writer: EvidenceWriter, seen: PartToSave) -> bool:
    return writer.offer(seen.station, seen.verdict, seen.regions, seen.frame, seen.anomaly)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_rejects_and_borderline_parts_are_saved_and_others_are_not(
    make: Callable[..., EvidenceWriter], tmp_path: Path
) -> None:
    writer = make()
    parts = [part(score, seed) for seed, score in enumerate((0.5, 0.89, 0.9, 1.0, 1.05, 3.0))]
    # A frame that is not taken may be written over, and one that is may not.
    assert [offer(writer, one) for one in parts] == [False, False, True, True, True, True]
    writer.close(20)
    health = writer.health("a")
    assert (health.saved, health.dropped, health.problem) == (4, 0, None)
    day = next((tmp_path / "evidence").iterdir())
    assert day.name == f"{parts[0].verdict.decided_at:%Y-%m-%d}"
    assert [len(files(day / "a" / kind)) for kind in ("good", "defects", "maps", "verdicts")] == [2, 2, 4, 4]
    saved = parts[5]
    assert (read_image(day / "a" / "defects" / f"{saved.verdict.id}.png") == saved.frame).all()
    case = SavedPart.model_validate_json((day / "a" / "verdicts" / f"{saved.verdict.id}.json").read_bytes())
    assert (case.verdict, case.regions, case.borderline) == (saved.verdict, (REGION,), False)
    anomaly = read_map(day / "a", case)
    assert anomaly is not None and anomaly.placement == saved.anomaly.placement
    assert np.abs(anomaly.values - saved.anomaly.values).max() <= 3.0 / 65535
    assert sum(path.stat().st_size for path in files(day)) <= health.bytes


def test_a_day_is_a_data_set_to_train_on(make: Callable[..., EvidenceWriter], tmp_path: Path) -> None:
    writer = make()
    for seed in range(10):
        assert offer(writer, part(0.95 if seed < 7 else 2.0, seed))
        wait_until(lambda n=seed: writer.health("a").saved > n)
    writer.close(20)
    day = next((tmp_path / "evidence").iterdir())
    found = Category.open(day, "a")
    good = [*found.train_images(), *(image.path for image in found.test_images() if image.good)]
    assert {path.parent.name for path in good} == {"good"} and len(good) == 7
    assert sum(not image.good for image in found.test_images()) == 3


def test_the_oldest_go_first_over_a_restart_too(tmp_path: Path) -> None:
    parts = [part(2.0, seed) for seed in range(6)]
    packed = {one.verdict.id: pack(one, "png") for one in parts}
    size = max(sum(-(-len(data) // 4096) * 4096 for data in one.values()) for one in packed.values())
    ids = [one.verdict.id for one in parts]
    folder = EvidenceFolder(tmp_path, 3 * size, 0)
    (tmp_path / "notes.txt").write_text("mine")
    for i, identity in enumerate(ids[:4]):
        folder.add(f"2026-11-0{i + 1}", "a", identity, packed[identity])
    assert {path.stem for path in files(tmp_path)} == {"notes", *ids[1:4]}
    assert not (tmp_path / "2026-11-01").exists()
    # What a killed process has left, and what a reviewer has moved.
    station = tmp_path / "2026-11-02" / "a"
    (station / "maps" / f".{ids[1]}.png.x7").write_bytes(b"half")
    (station / "good").mkdir()
    (station / "defects" / f"{ids[1]}.png").rename(station / "good" / f"{ids[1]}.png")
    again = EvidenceFolder(tmp_path, 3 * size, 0)
    assert again.bytes == folder.bytes
    for identity in ids[4:]:
        again.add("2026-11-05", "a", identity, packed[identity])
    assert {path.stem for path in files(tmp_path)} == {"notes", *ids[3:]}
    with pytest.raises(OSError, match="evidence.max_bytes"):
        EvidenceFolder(tmp_path / "small", 4096, 0).add("2026-11-05", "a", uuid7(), packed[ids[5]])


def test_a_full_disk_is_told_and_left_alone(
    make: Callable[..., EvidenceWriter], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    caplog.set_level("INFO")
    writes = evidence_folder.write_atomically

    def full(path: Path, data: bytes) -> None:
        if path.suffix == ".json":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        writes(path, data)

    writer = make()
    monkeypatch.setattr(evidence_folder, "write_atomically", full)
    for seed in range(2):
        offer(writer, part(2.0, seed))
        wait_until(lambda n=seed: writer.health("a").dropped > n)
    assert "No space left" in str(writer.health("a").problem)
    assert files(tmp_path / "evidence") == [] and writer.health("a").bytes == 0
    assert caplog.text.count("no frames are saved") == 1
    monkeypatch.undo()
    offer(writer, part(2.0, 2))
    wait_until(lambda: writer.health("a").saved == 1)
    wait_until(lambda: writer.health("a").problem is None)
    assert "frames are saved again" in caplog.text


def test_a_mistake_of_ours_costs_one_part(make: Callable[..., EvidenceWriter], caplog: Any) -> None:
    writer = make()
    seen = part(2.0)
    offer(writer, seen._replace(frame=np.zeros((0, 0, 3), np.uint8)))
    wait_until(lambda: writer.health("a").dropped == 1)
    assert "is not saved" in caplog.text and "cv2.error" in caplog.text
    offer(writer, seen)
    wait_until(lambda: writer.health("a").saved == 1)


def test_room_is_left_for_the_outbox(tmp_path: Path) -> None:
    seen = part(2.0)
    with pytest.raises(OSError, match="keep_free_bytes"):
        EvidenceFolder(tmp_path, 2**30, 2**62).add("2026-11-22", "a", seen.verdict.id, pack(seen, "png"))
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_told_and_tried_again(
    make: Callable[..., EvidenceWriter], tmp_path: Path
) -> None:
    (tmp_path / "evidence").write_text("a file in the way")
    writer = make()
    wait_until(lambda: writer.health("a").problem)
    offer(writer, part(2.0))
    wait_until(lambda: writer.health("a").dropped == 1)
    (tmp_path / "evidence").unlink()
    offer(writer, part(2.0))
    wait_until(lambda: writer.health("a").saved == 1)


def test_a_slow_disk_drops_and_never_waits(
    make: Callable[..., EvidenceWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    writes = evidence_folder.write_atomically

    def slow(path: Path, data: bytes) -> None:
        assert go.wait(60)
        writes(path, data)

    monkeypatch.setattr(evidence_folder, "write_atomically", slow)
    writer = make(queue=2)
    taken = []
    while False not in taken:
        taken.append(offer(writer, part(2.0, len(taken))))
    assert 2 <= taken.count(True) <= 3
    assert writer.health("a").dropped == 1 and writer.health("b").dropped == 0
    # The thread ends when the disk takes them, though there was no room left to tell it so.
    writer.close(0.05)
    go.set()
    wait_until(lambda: writer.health("a").saved == taken.count(True), 30)
    writer.close(30)
    assert "evidence" not in {thread.name for thread in threading.enumerate()}


def test_stations_whose_names_are_no_folders_are_saved_below_the_folder(
    make: Callable[..., EvidenceWriter], tmp_path: Path
) -> None:
    writer = make(format="jpeg")
    for seed, name in enumerate((".", "..", "station 1")):
        offer(writer, part(2.0, seed, name))
        wait_until(lambda name=name: writer.health(name).saved == 1)
    folders = {path.parents[1].name for path in files(tmp_path) if path.suffix == ".jpg"}
    assert folders == {"_.", "_..", "station 1"}
    assert all(path.is_relative_to(tmp_path / "evidence") for path in files(tmp_path))


def test_review_makes_a_contact_sheet_newest_first(
    make: Callable[..., EvidenceWriter], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = make()
    parts = [part(score, seed, "ab"[seed % 2]) for seed, score in enumerate((0.95, 2.0, 1.05, 3.0))]
    for one in parts:
        offer(writer, one)
    writer.close(20)
    folder = tmp_path / "evidence"
    assert main(["review", str(folder), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["evidence"]
    assert [one["score"] for one in listed] == [3.0, 1.05, 2.0, 0.95]
    sheet = read_image(folder / "review.jpg")
    assert sheet.shape[0] > 2 * 180 and sheet.shape[1] > 3 * 2 * 240
    for only, scores in (("rejects", [3.0, 1.05, 2.0]), ("borderline", [1.05, 0.95])):
        assert main(["review", str(folder), "--only", only, "--json", "--out", str(tmp_path / "s.png")]) == 0
        assert [one["score"] for one in json.loads(capsys.readouterr().out)["evidence"]] == scores
    # Moved by a reviewer; a picture cut off; a case that is none; a map that is gone.
    Path(listed[0]["path"]).rename(Path(listed[0]["path"]).parents[1] / "moved.png")
    Path(listed[1]["path"]).write_bytes(Path(listed[1]["path"]).read_bytes()[:200])
    next(folder.glob(f"*/*/verdicts/{parts[1].verdict.id}.json")).write_text("{}")
    next(folder.glob(f"*/*/maps/{parts[0].verdict.id}.png")).unlink()
    assert main(["review", str(folder)]) == 0
    assert capsys.readouterr().out.split()[:2] == ["#1", "accept"]
    for name, said in (("none", "no such folder"), ("empty", "holds no evidence")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        assert main(["review", str(tmp_path / name)]) == 2
        assert f"{name}: {said}; give the folder of evidence.folder" in capsys.readouterr().err


def test_what_is_newest_stays_though_the_clock_was_in_1970(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = time.time_ns()
    files_of = pack(part(2.0), "png")
    size = sum(-(-len(data) // 4096) * 4096 for data in files_of.values())
    saved: list[str] = []
    # The right time, 1970 without a network, the right time, an hour ahead, back again.
    for now in (right, 12 * 10**9, right + 60 * 10**9, right + 3600 * 10**9, right + 120 * 10**9):
        monkeypatch.setattr(time, "time_ns", lambda now=now: now)
        monkeypatch.setattr(ids, "newest_uuid7", (0, 0))  # a new process
        folder = EvidenceFolder(tmp_path, 3 * size, 0)
        for _ in range(2):
            saved.append(uuid7())
            named = {name.replace(Path(name).stem, saved[-1]): data for name, data in files_of.items()}
            folder.add("day", "a", saved[-1], named)
        assert {path.stem for path in files(tmp_path)} == set(saved[-3:])
