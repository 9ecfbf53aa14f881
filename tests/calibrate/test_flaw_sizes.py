from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_inspect.calibrate.counts import found_flaws
from edge_inspect.calibrate.flaw_sizes import FLAWS, WIDTHS, score_flaws
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.bundle.manifest import FlawsFound
from edge_inspect.edge.demo.line import CATEGORY
from edge_inspect.edge.engines.opening import open_engine
from edge_inspect.edge.frame.images import list_images, read_image
from edge_inspect.train.flaws import KINDS, Flaws


@pytest.mark.parametrize("width", [0.02, 0.1, 0.4])
def test_a_flaw_is_as_long_as_it_should_be_on_the_part(width: float) -> None:
    picture = np.full((1, 200, 300, 3), 60, np.uint8)
    picture[:, 50:150, 100:250] = 180  # a part 150 pixels wide
    picture += np.random.default_rng(0).integers(0, 20, picture.shape, np.uint8)
    flaws = Flaws(picture, seed=1, foreground="otsu")
    for turn in range(2 * len(KINDS)):
        rows, columns = np.nonzero(flaws.draw(0, turn, width).mask)
        length = max(np.ptp(rows), np.ptp(columns)) + 1
        assert length <= width * 160 + 5, "a line has soft ends"


def test_a_width_changes_no_flaw_that_has_none() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    flaws = Flaws(picture, seed=1)
    before = [flaws.draw(0, turn).picture for turn in range(6)]
    sized = [flaws.draw(0, turn, 0.05).picture for turn in range(6)]
    after = [flaws.draw(0, turn).picture for turn in range(6)]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(before, sized, strict=True))


def test_flaws_of_each_size_are_judged_as_a_station_would(bundle: Bundle, data: Path) -> None:
    frames = [read_image(path) for path in list_images(data / CATEGORY / "train" / "good")[:5]]
    scores = score_flaws(bundle, "fp32", frames)
    assert tuple(scores) == WIDTHS and all(FLAWS <= len(each) < FLAWS + 5 for each in scores.values())
    engine = open_engine(bundle, "fp32")
    own = [engine.infer(frame).score for frame in frames]
    # A flaw that the network does not see leaves the frame's own score.
    assert len(set(scores[0.1]) & set(scores[0.01])) <= len(frames), "flaws of each size are drawn anew"
    assert len(set(scores[0.1])) > FLAWS / 2, "each flaw has its own score"
    assert min(map(min, scores.values())) > 0.5 * min(own), "a small flaw leaves the part's own score"
    assert scores == score_flaws(bundle, "fp32", frames)


@pytest.mark.parametrize(("threshold", "found"), [(0.0, [2, 3]), (0.5, [0, 2]), (2.0, [0, 0])])
def test_what_a_threshold_finds_is_counted_by_size(threshold: float, found: list[int]) -> None:
    told = found_flaws({0.05: [0.5, 0.9, 1.0], 0.01: [0.2, 0.3]}, threshold)
    assert told == [
        FlawsFound(width=0.01, drawn=2, found=found[0]),
        FlawsFound(width=0.05, drawn=3, found=found[1]),
    ]
