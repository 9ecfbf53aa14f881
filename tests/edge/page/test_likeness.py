from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import memory_bundle
import numpy as np
import psutil
import pytest
import small_bundle
import tiny_bundle
from evidence_parts import REGION, save
from label_parts import KEY, label, picture, verdict
from mosquitto import wait_until

from edge_inspect.edge.contract.messages import BundleReference, Region, Verdict
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.labels.label import PartKey
from edge_inspect.edge.labels.store import LabelStore
from edge_inspect.edge.page.bundle_folder import find_bundle
from edge_inspect.edge.page.likeness import Likeness, SimilarParts
from edge_inspect.edge.page.memory_features import MemoryFeatures
from edge_inspect.edge.page.part_store import PartStore
from edge_inspect.edge.page.picture_features import describe

FIRST_ANSWER_S = 120


def part_frame(kind: str, seed: int, size: tuple[int, int] = (120, 160)) -> tuple[Frame, Region]:
    """A grey part with a flaw of a kind somewhere, and the region of the flaw."""
    rng = np.random.default_rng(seed)
    frame = np.full((*size, 3), 150, np.uint8)
    frame += rng.integers(0, 6, frame.shape, np.uint8)
    x, y = int(rng.integers(30, size[1] - 60)), int(rng.integers(20, size[0] - 50))
    if kind == "scratch":
        cv2.line(frame, (x, y + 15), (x + 30, y + 17), (40, 40, 40), 2)
    elif kind == "stain":
        cv2.circle(frame, (x + 15, y + 15), 13, (30, 60, 200), -1)
    else:
        for step in range(0, 30, 6):
            cv2.line(frame, (x + step, y), (x + step, y + 30), (250, 250, 250), 2)
    box = Region(bbox=(x, y, 30, 30), area_px=400, peak=2.0, centroid=(x + 15.0, y + 15.0))
    return frame, box


class Line:
    """Stored parts, and what finds similar ones."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.evidence, self.bundles = folder, folder / "evidence", folder / "bundles"
        (folder / "data").mkdir()
        self.bundles.mkdir()
        self.labels = LabelStore(folder / "labels")
        self.parts = PartStore([self.evidence], folder / "data", 2**20, self.labels)
        self.open()

    def open(self) -> None:
        self.likeness = Likeness(self.parts, self.folder / "data", lambda digest: find_bundle(self.bundles, digest))

    def reopen(self) -> None:
        self.likeness.close()
        self.open()

    def add(self, kind: str, seed: int, **fields: Any) -> Verdict:
        """Store a part with a flaw."""
        frame, region = part_frame(kind, seed)
        each = verdict(seed + 1, 1.5, **fields)
        folder = save(self.evidence, each, regions=(region,))
        cv2.imwrite(str(folder / "defects" / f"{each.id}.png"), frame)
        return each

    def nearest(self, of: Verdict, limit: int = 24) -> SimilarParts:
        self.parts.refresh()
        part = self.parts.find(PartKey(KEY, of.id))
        assert part is not None
        found: list[SimilarParts] = []

        def asked() -> bool:  # a slow machine describes the parts in several turns
            answer = self.likeness.nearest(part, limit)
            if answer is not None:
                found.append(answer)
            return answer is not None and answer.pending == 0

        wait_until(asked, FIRST_ANSWER_S)
        return found[-1]

    def close(self) -> None:
        self.likeness.close()
        self.parts.close()
        self.labels.close()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    line = Line(tmp_path)
    yield line
    line.close()


def kinds_of(found: SimilarParts, kinds: dict[str, str]) -> list[str]:
    return [kinds[part.key.id] for part, _ in found.parts]


def test_flaws_of_the_same_kind_come_first(line: Line) -> None:
    kinds = {}
    asked = {}
    for seed in range(12):
        kind = ("scratch", "stain", "stripes")[seed % 3]
        each = line.add(kind, seed)
        kinds[each.id], asked[kind] = kind, each
    for kind, each in asked.items():
        found = line.nearest(each)
        assert found.used == "picture"
        assert kinds_of(found, kinds)[:3] == [kind] * 3
        assert len(found.parts) == 11 and each.id not in {part.key.id for part, _ in found.parts}


def test_the_memory_of_the_bundle_is_used_where_it_is_at_hand(line: Line) -> None:
    bundle = memory_bundle.write(line.bundles / "flange")
    reference = BundleReference(name="flange", digest=bundle.digest)
    parts = [line.add("stain", seed, bundle=reference) for seed in range(4)]
    twin = verdict(90, 1.5, bundle=reference)
    folder = save(line.evidence, twin, regions=(REGION,))
    first = next(folder.glob(f"defects/{parts[0].id}.png"))
    (folder / "defects" / f"{twin.id}.png").write_bytes(first.read_bytes())
    found = line.nearest(parts[0])
    assert found.used == "memory"
    (nearest, distance), *others = found.parts
    assert nearest.key.id == twin.id and distance == pytest.approx(0, abs=1e-3)
    features = MemoryFeatures(bundle)
    own, other = (features.describe(cv2.imread(str(folder / "defects" / f"{each.id}.png"))) for each in parts[:2])
    assert own is not None and other is not None
    by_id = {part.key.id: distance for part, distance in found.parts}
    assert by_id[parts[1].id] == pytest.approx(1 - float(own @ other), abs=2e-3)


@pytest.mark.parametrize("without", ["no memory", "no network", "damaged"])
def test_a_bundle_without_a_memory_that_opens_leaves_the_pictures(
    line: Line, without: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = line.bundles / "flange"
    digest = (tiny_bundle if without == "no memory" else small_bundle).write(path).digest
    if without == "damaged":
        (path / "model.fp32.onnx").write_bytes(b"damaged")
    parts = [line.add("stain", seed, bundle=BundleReference(name="flange", digest=digest)) for seed in range(3)]
    for _ in range(2):
        found = line.nearest(parts[0])
        assert found.used == "picture" and len(found.parts) == 2


def test_what_was_described_once_is_kept(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [line.add("stain", seed) for seed in range(3)]
    first = line.nearest(parts[0])
    line.reopen()
    started: list[Any] = []
    popen: Callable[..., Any] = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(a) or popen(*a, **k))
    again = line.nearest(parts[0])
    assert [(part.key, round(distance, 3)) for part, distance in again.parts] == [
        (part.key, round(distance, 3)) for part, distance in first.parts
    ]
    assert started == []
    line.add("scratch", 9)
    assert len(line.nearest(parts[0]).parts) == 3
    assert len(started) == 1


def test_damaged_and_deleted_pictures_are_left_out(line: Line) -> None:
    parts = [line.add("stain", seed) for seed in range(4)]
    folder = next(line.evidence.glob("*/*"))
    (folder / "defects" / f"{parts[1].id}.png").write_bytes(b"\x89PNG damaged")
    (folder / "defects" / f"{parts[2].id}.png").unlink()
    line.parts.refresh()
    part = line.parts.find(PartKey(KEY, parts[0].id))
    assert part is not None
    wait_until(lambda: line.likeness.nearest(part, 9) is not None, FIRST_ANSWER_S)
    found = line.likeness.nearest(part, 9)
    assert found is not None and [each.key.id for each, _ in found.parts] == [parts[3].id]
    damaged = line.parts.find(PartKey(KEY, parts[1].id))
    assert damaged is not None and line.likeness.nearest(damaged, 9) is None


def test_labelled_parts_are_compared_after_their_evidence_is_gone(line: Line) -> None:
    old, new = verdict(1), line.add("stain", 1)
    line.parts.labelled(line.labels.add(label("defect", of=old), picture(1)))
    found = line.nearest(new)
    assert [part.key.id for part, _ in found.parts] == [old.id]


def workers() -> list[psutil.Process]:
    """The processes that describe pictures, which this one has started."""
    children = psutil.Process().children()
    return [each for each in children if any("likeness_worker" in word for word in each.cmdline())]


def test_a_killed_process_costs_at_most_one_part(line: Line) -> None:
    parts = [line.add("stain", seed) for seed in range(3)]
    line.nearest(parts[0])
    (process,) = workers()
    assert os.getpriority(os.PRIO_PROCESS, process.pid) == 19
    process.kill()
    more = [line.add("scratch", seed) for seed in range(5, 8)]
    found = line.nearest(parts[0])
    assert len(found.parts) >= 4
    assert found.parts[0][0].key.id not in {each.id for each in more}
    assert len(workers()) == 1
    line.likeness.close()
    assert workers() == []


def test_a_damaged_file_of_descriptions_is_made_again(line: Line) -> None:
    line.likeness.close()
    (line.folder / "data" / "likeness.db").write_bytes(b"no database at all" * 100)
    line.open()
    parts = [line.add("stain", seed) for seed in range(2)]
    assert len(line.nearest(parts[0]).parts) == 1


def test_the_worker_ends_with_its_input() -> None:
    command = [sys.executable, "-m", "edge_inspect.edge.page.likeness_worker"]
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, '{"used": "picture"}\n')


@pytest.mark.parametrize("tiles", [(1, 1), (2, 1)])
def test_the_memory_describes_the_most_unusual_position(tmp_path: Path, tiles: tuple[int, int]) -> None:
    features = MemoryFeatures(memory_bundle.write(tmp_path / "bundle", tiles))
    assert features.banks == 2
    frame = part_frame("stripes", 3)[0]
    vector = features.describe(frame)
    assert vector is not None and vector.shape == (2 * memory_bundle.CHANNELS,)
    assert np.linalg.norm(vector) == pytest.approx(1)
    assert float(vector @ features.describe(frame.copy())) == pytest.approx(1)
    assert float(vector @ features.describe(np.full_like(frame, 10))) < 0.999


def test_a_network_of_students_has_no_memory(tmp_path: Path) -> None:
    assert MemoryFeatures(tiny_bundle.write(tmp_path / "bundle")).banks == 0


@pytest.mark.parametrize(
    "region", [None, (0, 0, 1, 1), (150, 110, 10, 10), (-20, -20, 5, 5), (0, 0, 160, 120), (900, 9, 3, 3)]
)
def test_a_region_anywhere_has_a_description(region: tuple[int, int, int, int] | None) -> None:
    vector = describe(part_frame("stain", 1)[0], region)
    assert np.isfinite(vector).all() and np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (480, 2)])
def test_a_picture_of_any_size_has_a_description(size: tuple[int, int]) -> None:
    assert np.isfinite(describe(np.zeros((*size, 3), np.uint8), (0, 0, 9, 9))).all()
