"""Areas read from the files of `--look` and `--ignore`: YAML as people write it, and mask pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from edge_inspect.edge.errors import EdgeInspectError, UsageError
from edge_inspect.train.area_files import read_areas

SQUARE = ((10, 10), (29, 10), (29, 29), (10, 29))
SIZE = (64, 48)


def write(path: Path, **fields: object) -> Path:
    path.write_text(yaml.safe_dump({"size": list(SIZE), **fields}))
    return path


def named(name: str, *points: tuple[int, int]) -> dict[str, object]:
    return {"name": name, "polygon": [list(point) for point in points]}


def test_without_files_there_are_no_areas() -> None:
    assert read_areas(None, None) is None


def test_look_and_ignore_come_from_files(tmp_path: Path) -> None:
    file = write(
        tmp_path / "regions.yaml", look=[named("pins", *SQUARE)], ignore=[named("lamp", (20, 20), (40, 20), (40, 40))]
    )
    areas = read_areas(file, file)
    assert areas is not None and areas.size == SIZE
    assert [area.name for area in areas.look] == ["pins"] and [area.name for area in areas.ignore] == ["lamp"]
    seen = areas.looked_at()
    assert seen[12, 12] and not seen[21, 25], "what is ignored is not looked at, also inside a look area"
    assert not seen[40, 60]


def test_without_look_areas_all_but_the_ignored_is_looked_at(tmp_path: Path) -> None:
    file = write(tmp_path / "lamp.yml", ignore=[named("lamp", *SQUARE)])
    areas = read_areas(None, file)
    assert areas is not None
    assert np.array_equal(~areas.looked_at(), areas.ignore[0].mask(SIZE) > 0)


@given(arrays(np.uint8, st.tuples(st.integers(3, 24), st.integers(3, 24)), elements=st.sampled_from([0, 255])))
def test_a_mask_picture_means_exactly_its_pixels(
    tmp_path_factory: pytest.TempPathFactory, mask: NDArray[np.uint8]
) -> None:
    path = tmp_path_factory.mktemp("masks") / "lamp.png"
    cv2.imwrite(str(path), mask)
    if not mask.any() or mask.all():
        with pytest.raises(UsageError, match="lamp.png"):
            read_areas(None, path)
        return
    areas = read_areas(None, path)
    assert areas is not None and areas.ignore[0].name == "lamp"
    assert np.array_equal(areas.looked_at(), mask == 0)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"look": [named("a", *SQUARE), named("a", *SQUARE)]}, "'a': another area has this name too"),
        ({"look": [named("far", (100, 100), (120, 100), (120, 120))]}, "'far': its point 1 lies outside the picture"),
        ({"look": [{"name": "a", "polygon": [[1, 1], [2, 2]]}]}, "'a': it has 2 points"),
        ({"look": [named("bow", (1, 1), (9, 9), (9, 1), (1, 9))]}, "'bow': its outline meets itself"),
        ({"look": [{"name": "a", "polygon": [[1, "x"], [2, 2], [3, 1]]}]}, "look.0.polygon.0.1"),
        ({"look": [{"polygon": [list(p) for p in SQUARE]}]}, "look.0.name"),
        ({"look": [named("a", *SQUARE) | {"colour": "red"}]}, "look.0.colour"),
        ({"look": "everything"}, "look"),
        ({"ignore": [named("a", *SQUARE)]}, "has no list `look` of areas; edge-train regions draws them"),
        ({"size": [0, 48], "look": [named("a", *SQUARE)]}, "lies outside the picture"),
        ({"look": [named("a", *SQUARE) | {"scale": 2.0}]}, "look.0.scale"),
        ({"size": None, "look": [named("a", *SQUARE)]}, "size"),
    ],
)
def test_a_wrong_file_is_named_with_its_field(tmp_path: Path, content: dict[str, object], told: str) -> None:
    file = write(tmp_path / "regions.yaml", **content)
    with pytest.raises(EdgeInspectError) as caught:
        read_areas(file, None)
    assert "regions.yaml" in str(caught.value) and told in str(caught.value)


@pytest.mark.parametrize(("name", "text"), [("a.yaml", "look: [unclosed"), ("a.yaml", ""), ("a.txt", "look: []")])
def test_a_file_that_is_no_areas_file_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(EdgeInspectError, match=name):
        read_areas(tmp_path / name, None)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EdgeInspectError, match="none.yaml"):
        read_areas(tmp_path / "none.yaml", None)


def test_areas_of_different_pictures_are_refused(tmp_path: Path) -> None:
    look = write(tmp_path / "a.yaml", look=[named("a", *SQUARE)])
    ignore = write(tmp_path / "b.yaml", size=[640, 480], ignore=[named("b", *SQUARE)])
    with pytest.raises(UsageError, match=r"a\.yaml on 64x48, .*b\.yaml on 640x480"):
        read_areas(look, ignore)


def test_something_must_be_left_to_look_at(tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.yaml", look=[named("a", *SQUARE)], ignore=[named("b", (0, 0), (63, 0), (63, 47), (0, 47))]
    )
    with pytest.raises(UsageError, match="nothing is left to look at"):
        read_areas(file, file)
