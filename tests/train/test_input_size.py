"""The network's input size where nobody names one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.edge.frame.fit import Fit
from edge_inspect.train.input_size import input_size, size_for


@pytest.mark.parametrize(
    ("proportion", "size"),
    [(1, (256, 256)), (4 / 3, (288, 224)), (3 / 4, (224, 288)), (16 / 9, (352, 192)), (1130 / 460, (384, 160))],
)
def test_usual_proportions(proportion: float, size: tuple[int, int]) -> None:
    assert size_for(proportion) == size


@given(st.floats(1 / 8, 8))
def test_any_proportion_is_met_at_about_the_same_cost(proportion: float) -> None:
    width, height = size_for(proportion)
    assert width % 32 == height % 32 == 0
    assert 0.7 * 256**2 <= width * height <= 1.1 * 256**2
    assert 1 / 1.2 < width / height / proportion < 1.2


def pictures(folder: Path, *sizes: tuple[int, int]) -> list[Path]:
    paths = [folder / f"{i:02d}.png" for i in range(len(sizes))]
    for path, (width, height) in zip(paths, sizes, strict=True):
        cv2.imwrite(str(path), np.zeros((height, width, 3), np.uint8))
    return paths


def test_pictures_of_one_size_keep_their_proportions(tmp_path: Path) -> None:
    assert input_size(pictures(tmp_path, *[(320, 180)] * 40), Fit()) == (352, 192)
    assert input_size(pictures(tmp_path, (200, 200)), Fit(region=(0, 0, 200, 100))) == (352, 192)


def test_pictures_of_other_proportions_each_are_brought_to_a_square(tmp_path: Path) -> None:
    assert input_size(pictures(tmp_path, (320, 180), (180, 320), (320, 180)), Fit()) == (256, 256)


@pytest.mark.parametrize(
    ("options", "fit"),
    [
        ([], Fit(288, 224)),
        (["--fit", "pad"], Fit(288, 224, "pad")),
        (["--fit", "crop"], Fit(256, 256, "crop")),
        (["--size", "128"], Fit(128, 128)),
        (["--region", "10,20,300,100"], Fit(448, 160, region=(10, 20, 300, 100))),
    ],
)
def test_fit_takes_it_where_no_size_is_named(asked: Callable[..., Fit | None], options: list[str], fit: Fit) -> None:
    assert asked(*options) == fit
