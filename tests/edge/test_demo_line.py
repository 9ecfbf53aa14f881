import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_inspect.edge.demo import line
from edge_inspect.edge.demo.line import CATEGORY, DEFECTS, render_part, write_dataset, write_stream


def same(a: line.RenderedPart, b: line.RenderedPart) -> bool:
    return np.array_equal(a.frame, b.frame) and np.array_equal(a.mask, b.mask) and a.defect == b.defect


@pytest.mark.parametrize("defect", [None, *DEFECTS])
def test_a_seed_always_gives_the_same_part(defect: str | None) -> None:
    first = render_part(7, defect)
    render_part(8, defect)
    assert same(first, render_part(7, defect))


def test_shapes_and_types() -> None:
    for defect in (None, *DEFECTS):
        part = render_part(3, defect)
        assert part.frame.shape == (480, 640, 3) and part.frame.dtype == np.uint8
        assert part.mask.shape == (480, 640) and part.mask.dtype == np.uint8
        assert set(np.unique(part.mask)) <= {0, 255}
        assert part.defect == defect


def test_a_good_part_has_an_empty_mask_and_looks_like_a_part() -> None:
    part = render_part(5)
    assert not part.mask.any()
    plate, belt, bore = part.frame[130:160, 260:380], part.frame[:60], part.frame[230:250, 310:330]
    assert plate.mean() > 2.5 * belt.mean() > 2.5 * bore.mean()
    assert np.mean(part.frame == 255) < 0.01, "the camera is not overexposed"


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_changes_the_frame_only_where_its_mask_is(defect: str) -> None:
    for seed in range(6):
        good, bad = render_part(seed), render_part(seed, defect)
        assert 8 <= np.count_nonzero(bad.mask) < 0.02 * bad.mask.size
        near = cv2.dilate(bad.mask, np.ones((17, 17), np.uint8)) > 0
        assert np.array_equal(good.frame[~near], bad.frame[~near])
        change = cv2.absdiff(good.frame, bad.frame).max(axis=2)
        assert change[bad.mask > 0].mean() > 8, "noticeable on the mask"
        assert change[bad.mask == 0].max() < 16, "unnoticeable beside it"


@pytest.mark.parametrize("defect", DEFECTS)
def test_no_defect_is_invisible_and_severity_varies(defect: str) -> None:
    peaks, areas = [], []
    for seed in range(100, 112):
        bad = render_part(seed, defect)
        change = cv2.absdiff(render_part(seed).frame, bad.frame).max(axis=2)
        peaks.append(int(change.max()))
        areas.append(np.count_nonzero(bad.mask))
    assert min(peaks) >= 18
    assert max(areas) > 2 * min(areas)


def test_other_seeds_give_other_parts() -> None:
    frames = [render_part(seed).frame for seed in range(4)]
    for i, one in enumerate(frames):
        for other in frames[i + 1 :]:
            assert cv2.absdiff(one, other).mean() > 2


def test_an_unknown_defect_is_named() -> None:
    with pytest.raises(ValueError, match=r"unknown defect 'crack': one of scratch, dent"):
        render_part(0, "crack")


def test_a_data_set_has_the_mvtec_layout(tmp_path: Path) -> None:
    write_dataset(tmp_path, train_good=3, test_good=2, test_defects=2, seed=1)
    root = tmp_path / CATEGORY
    names = {str(path.relative_to(root)) for path in root.rglob("*.png")}
    expected = {f"train/good/{i:03d}.png" for i in range(3)} | {f"test/good/{i:03d}.png" for i in range(2)}
    for defect in DEFECTS:
        expected |= {f"test/{defect}/{i:03d}.png" for i in range(2)}
        expected |= {f"ground_truth/{defect}/{i:03d}_mask.png" for i in range(2)}
    assert names == expected
    frame = cv2.imread(str(root / "train/good/000.png"), cv2.IMREAD_UNCHANGED)
    assert frame.shape == (480, 640, 3)
    mask = cv2.imread(str(root / "ground_truth/dent/001_mask.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (480, 640) and set(np.unique(mask)) == {0, 255}


def test_a_stream_says_what_is_true_about_each_frame(tmp_path: Path) -> None:
    parts = write_stream(tmp_path, frames=12, defect_share=0.5, seed=2)
    assert [part.file for part in parts] == [f"{i:06d}.png" for i in range(12)]
    assert all((tmp_path / part.file).is_file() for part in parts)
    assert all(part.ok == (part.defect is None) for part in parts)
    assert 0 < sum(part.ok for part in parts) < 12
    truth = json.loads((tmp_path / "truth.json").read_text(encoding="utf-8"))
    assert truth == {part.file: {"ok": part.ok, "defect": part.defect} for part in parts}


def test_a_stream_never_shows_a_part_of_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    part = render_part(0)

    def note(seed: int, defect: str | None = None) -> line.RenderedPart:
        seen.append(seed)
        return part

    monkeypatch.setattr(line, "render_part", note)
    monkeypatch.setattr(line, "save", lambda *_: None)
    for seed in range(3):
        write_dataset(tmp_path, train_good=50, test_good=20, test_defects=10, seed=seed)
        write_stream(tmp_path, frames=100, defect_share=0.3, seed=seed)
    assert len(set(seen)) == len(seen) == 3 * (50 + 20 + 40 + 100)
