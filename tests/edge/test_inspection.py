"""`edge-inspect image`, as its user runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.cli import main
from edge_inspect.edge.demo.line import CATEGORY
from edge_inspect.edge.engines import AnomalyMap
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import list_images, read_image
from edge_inspect.edge.inspection import draw_overlay, inspect_files, name_overlays


@pytest.fixture
def good(data: Path) -> Path:
    return data / CATEGORY / "test" / "good"


def test_a_line_a_file_on_standard_output(bundle_path: Path, good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["image", str(bundle_path), str(good)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(list_images(good))
    for line, path in zip(lines, list_images(good), strict=True):
        verdict, score, said = line.split()
        assert verdict in ("accept", "reject") and float(score) > 0 and said == str(path)


def test_the_verdict_follows_the_threshold_of_the_precision(bundle_path: Path, bundle: Bundle, good: Path) -> None:
    for precision in bundle.manifest.precisions:
        limit = bundle.manifest.decision.thresholds[precision].image
        for result in inspect_files(bundle_path, [good], precision, None):
            assert result["threshold"] == pytest.approx(limit, abs=1e-6)
            assert result["ok"] == (result["score"] <= result["threshold"])
            assert result["ok"] or result["regions"]


def test_json_is_one_object_and_nothing_else(
    bundle_path: Path, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["image", str(bundle_path), str(good), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["images"]
    assert [image["path"] for image in found] == [str(path) for path in list_images(good)]
    assert main(["image", str(bundle_path), str(good), "--json", str(tmp_path / "out.json")]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["images"] == found


def test_an_overlay_has_the_frames_size(bundle_path: Path, good: Path, tmp_path: Path) -> None:
    assert main(["image", str(bundle_path), str(good), "--overlay", str(tmp_path)]) == 0
    assert [path.stem for path in list_images(tmp_path)] == [path.stem for path in list_images(good)]
    assert all(read_image(path).shape == (480, 640, 3) for path in list_images(tmp_path))


def test_a_rejected_frame_shows_where(bundle: Bundle) -> None:
    from edge_inspect.edge.decision import Decider

    frame = np.full((480, 640, 3), 90, np.uint8)
    limits = bundle.manifest.decision.thresholds["fp32"]
    values = np.zeros((96, 96), np.float32)
    values[40:50, 60:70] = 2 * limits.image
    placement = Fit(96, 96).apply(frame)[1]
    anomaly = AnomalyMap(values, placement, float(values.max()))
    decision = Decider(bundle, "fp32").decide(anomaly)
    drawn = draw_overlay(frame, anomaly, decision).astype(int)
    changed = np.abs(drawn - 90).max(axis=2) > 8
    x, y, width, height = decision.regions[0].bbox
    assert changed[y : y + height, x : x + width].mean() > 0.9
    changed[y - 8 : y + height + 8, x - 8 : x + width + 8] = False
    assert changed[8:-8, 8:-8].sum() == 0  # but for the border, which says reject


def test_no_two_overlays_have_one_name(tmp_path: Path) -> None:
    long = "x" * 230
    images = [
        *(Path(p) for p in ("a/1.png", "b/1.png", "b/1.jpg", "a/1-2.png", "a/A.png", "b/a.png")),
        *(Path(f"{folder}/{long}.png") for folder in "ab"),
        Path("a/u\u0308.png"),
        Path("a/\u00fc.png"),
        Path(os.fsdecode(b"a/\xfc.png")),
        Path("a/\n.png"),
    ]
    named = name_overlays(tmp_path, images)
    assert list(named) == images
    assert len({unicodedata.normalize("NFC", path.name).casefold() for path in named.values()}) == len(images)
    assert all(len(os.fsencode(path.name)) <= 255 and path.suffix == ".png" for path in named.values())
    assert [named[image].name for image in images[:4]] == ["1.png", "1-2.png", "1-3.png", "1-2-2.png"]
    assert named[images[-2]].name == r"\xfc.png"


def test_overlays_among_the_images_are_refused(
    bundle_path: Path, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = Path(shutil.copy(list_images(good)[0], tmp_path))
    before = picture.read_bytes()
    for folder in (tmp_path, tmp_path / "x" / ".."):
        (tmp_path / "x").mkdir(exist_ok=True)
        assert main(["image", str(bundle_path), str(picture), "--overlay", str(folder)]) == 2
        assert f"{picture} is in that folder, and an overlay could overwrite it" in capsys.readouterr().err
    assert picture.read_bytes() == before


def test_pictures_of_one_name_have_an_overlay_each(bundle_path: Path, good: Path, tmp_path: Path) -> None:
    for folder, source in zip("ab", list_images(good), strict=False):
        (tmp_path / folder).mkdir()
        shutil.copy(source, tmp_path / folder / "1.png")
    results = list(inspect_files(bundle_path, [tmp_path / "a", tmp_path / "b"], "int8", tmp_path / "seen"))
    assert [result["overlay"] for result in results] == [str(tmp_path / "seen" / name) for name in ("1.png", "1-2.png")]
    assert (tmp_path / "seen" / "1.png").read_bytes() != (tmp_path / "seen" / "1-2.png").read_bytes()


@pytest.mark.parametrize(
    "encoding", [{"PYTHONIOENCODING": "utf-8:strict"}, {"LC_ALL": "POSIX"}, {"PYTHONIOENCODING": "ascii"}], ids=str
)
def test_names_of_any_bytes_are_shown(
    bundle_path: Path, good: Path, tmp_path: Path, program: list[str], encoding: dict[str, str]
) -> None:
    source = list_images(good)[0]
    for name in (b"teil_\xfc.png", "prüfplatz.png".encode(), b"two\nlines.png", b"\x1b[2J.png"):
        shutil.copy(source, os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    target = tmp_path / "out.json"
    command = [*program, "edge_inspect.edge.cli", "image", str(bundle_path), str(tmp_path), "--json", str(target)]
    done = subprocess.run(command, capture_output=True, env={**os.environ, **encoding})
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    lines = done.stdout.splitlines()
    assert len(lines) == 4 and all(line.decode().isprintable() for line in lines)
    names = [Path(image["path"]).name for image in json.loads(target.read_text("utf-8"))["images"]]
    assert names == [r"\x1b[2J.png", "prüfplatz.png", r"teil_\xfc.png", r"two\nlines.png"]
    assert rb"teil_\xfc.png" in done.stdout and rb"two\nlines.png" in done.stdout and b"\x1b" not in done.stdout


def test_a_damaged_picture_with_such_a_name_is_named(
    bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n.png"))
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    assert main(["image", str(bundle_path), str(tmp_path)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"{tmp_path}/\\xff\\n.png: is cut off before its end; copy the file again or remove it",
        "edge-inspect: 1 of 1 images could not be read; the reasons are above",
    ]


def test_a_damaged_picture_costs_itself_alone(
    bundle_path: Path, good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, source in zip("acd", list_images(good), strict=False):
        shutil.copy(source, tmp_path / f"{name}.png")
    (tmp_path / "b.png").write_bytes(b"")
    target = tmp_path / "out.json"
    assert main(["image", str(bundle_path), str(tmp_path), "--json", str(target)]) == 2
    shown = capsys.readouterr()
    assert [Path(line.split()[-1]).name for line in shown.out.splitlines()] == ["a.png", "c.png", "d.png"]
    images = json.loads(target.read_text())["images"]
    assert ["error" in image for image in images] == [False, True, False, False]
    assert f"{tmp_path}/b.png: is an empty file" in images[1]["error"] and images[1]["error"] in shown.err


@pytest.mark.parametrize("name", ["nothing.png", "empty"])
def test_what_is_not_there_is_named(
    bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["image", str(bundle_path), str(tmp_path / name)]) == 2
    assert str(tmp_path / name) in capsys.readouterr().err
