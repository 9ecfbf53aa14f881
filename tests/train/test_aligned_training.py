"""A training on parts that do not lie still: aligned, written, read again, evaluated, calibrated and run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from moved_parts import Part, drawn, flanges
from small_teacher import SMALL

from edge_inspect.calibrate.cli import main as calibrate
from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.cli import main as inspect
from edge_inspect.edge.errors import CheckpointError
from edge_inspect.edge.frame.alignment import ALIGNMENT_PICTURE
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import write_image
from edge_inspect.train import checkpoint
from edge_inspect.train.asked_fit import parse_fit
from edge_inspect.train.cli import main
from edge_inspect.train.fit_options import add_options

GOOD = 12


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good parts in all poses, one empty frame among them; to test with, two good ones, two scratched and one empty."""
    folder = tmp_path_factory.mktemp("moved")
    for seed in range(GOOD):
        write_image(folder / "train" / "good" / f"{seed:02d}.png", flanges(seed, [drawn(np.random.default_rng(seed))]))
    write_image(folder / "train" / "good" / "99.png", flanges(99, []))
    for seed in (50, 51):
        write_image(folder / "test" / "good" / f"{seed}.png", flanges(seed, [drawn(np.random.default_rng(seed))]))
        scratched = drawn(np.random.default_rng(seed), defect="scratch")
        write_image(folder / "test" / "scratch" / f"{seed}.png", flanges(seed + 10, [scratched]))
    write_image(folder / "test" / "missing" / "70.png", flanges(70, []))
    return folder


@pytest.fixture(scope="module")
def run(moved: Path, small_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    options = ["--model", "memory", "--memory", "20", "--align", "rigid", "--size", "96"]
    options += ["--teacher", SMALL, "--teacher-weights", str(small_weights)]
    assert main(["fit", "--data", str(moved), "--out", str(out), *options]) == 0
    return out


def test_the_checkpoint_has_the_alignment_and_its_picture(run: Path) -> None:
    about, _ = checkpoint.load(run)
    alignment = about.fit.alignment
    assert alignment is not None and alignment.mode == "rigid"
    assert (run / ALIGNMENT_PICTURE).read_bytes() == alignment.png()
    assert len(about.trained_on) + len(about.held_out) == GOOD, "the empty frame is left out"


def test_the_part_alone_is_looked_at(run: Path) -> None:
    fit = checkpoint.load(run)[0].fit
    assert fit.areas is not None and [area.name for area in fit.areas.look] == ["part"]
    rows, columns = np.nonzero(fit.areas.looked_at())
    assert fit.region == (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
    assert not fit.areas.looked_at()[fit.region[1], fit.region[0]], "the belt at the part's round corner is not"


def test_what_is_named_is_looked_at(moved: Path, tmp_path: Path) -> None:
    bore = tmp_path / "bore.png"
    cv2.imwrite(str(bore), cv2.circle(np.zeros((480, 640), np.uint8), (320, 240), 50, 255, cv2.FILLED))
    parser = argparse.ArgumentParser()
    add_options(parser)

    def fit(*options: str) -> Fit:
        aligned = ["--data", str(moved), "--out", "run", "--align", "rigid", "--size", "96", *options]
        return parse_fit(parser.parse_args(aligned), "")

    region = fit("--region", "200,100,200,200")
    assert region.region == (200, 100, 200, 200) and region.areas is None
    look = fit("--look", str(bore))
    assert look.alignment is not None and look.region == look.alignment.part
    assert look.areas is not None and [area.name for area in look.areas.look] == ["bore"]
    ignore = fit("--ignore", str(bore))
    assert ignore.areas is not None and [area.name for area in ignore.areas.look] == ["part"]
    assert [area.name for area in ignore.areas.ignore] == ["bore"]


def test_a_checkpoint_without_its_picture_is_named(run: Path, tmp_path: Path) -> None:
    for file in run.iterdir():
        if file.name != ALIGNMENT_PICTURE:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(CheckpointError, match=r"checkpoint\.yaml.*alignment\.png"):
        checkpoint.load(tmp_path)


def test_what_is_not_found_scores_highest(
    run: Path, moved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report"
    assert main(["evaluate", str(run), "--data", str(moved), "--report", str(report)]) == 0
    said = capsys.readouterr()
    assert "the part was not found in 1 of 5 images; a station rejects them" in said.out + said.err
    assert (report / "index.html").is_file()


def test_a_bundle_rejects_what_it_does_not_find(
    run: Path, moved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bundle"
    good, defects = str(moved / "train" / "good"), str(moved / "test")
    options = ["--good", good, "--defects", defects, "--calibration-images", "4", "--search-seconds", "0"]
    assert calibrate(["bundle", str(run), "--out", str(bundle), *options]) == 0
    said = capsys.readouterr()
    assert "the part was not found in 1 of 2 good images" in said.out + said.err
    assert "the part was not found in 1 of 3 defective images" in said.out + said.err
    assert calibrate(["verify", str(bundle)]) == 0
    assert open_bundle(bundle).fit.alignment == checkpoint.load(run)[0].fit.alignment
    capsys.readouterr()
    empty, upside_down = moved / "test" / "missing" / "70.png", tmp_path / "frames" / "down.png"
    write_image(upside_down, flanges(3, [Part(angle=180)]))
    assert inspect(["image", str(bundle), str(empty), str(upside_down), "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)["images"]
    assert [each["not_found"] for each in told] == ["absent", "upside_down"]
    assert [each["ok"] for each in told] == [False, False]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--align-part", "1,2,3,4"], "--align-part belongs to --align shift or rigid"),
        (["--align-turn", "5"], "--align-turn belongs to --align shift or rigid"),
        (["--align", "rigid", "--align-part", "1,2,3"], "--align-part 1,2,3: is not X,Y,WIDTH,HEIGHT"),
        (["--align", "rigid", "--align-part", "600,400,100,100"], "lies outside a reference of 640x480"),
        (["--align", "rigid", "--align-shift", "0.9"], "alignment shift 0.9 must be"),
        (["--align", "rigid", "--align-turn", "90"], "alignment turn 90.0 must be"),
    ],
)
def test_a_wrong_option_is_named(
    moved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    assert main(["fit", "--data", str(moved), "--out", str(tmp_path / "run"), *options]) == 2
    assert told in capsys.readouterr().err
