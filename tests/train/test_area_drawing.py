"""The areas drawn on a picture: what is refused and why, and that a file gives back what was written."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from areas import LAMP, PINS
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.edge.configuration.yaml_file import read_yaml
from edge_inspect.edge.errors import ConfigurationError, UsageError
from edge_inspect.train.area_drawing import MOST_AREAS, DrawnArea, find_problems, read_drawing, write_drawing

SIZE = (640, 480)
PICTURE = Path("line/good/001.png")
TEXT = """\
# Drawn with edge-train regions on line/good/001.png, 640x480 pixels.
size: [640, 480]
look:
  - name: pins
    polygon: [[10, 20], [200, 20], [200, 90]]
ignore:
  - name: lamp
    polygon: [[300, 10], [340, 10], [340, 40], [300, 40]]
"""


def said(*areas: DrawnArea) -> list[str]:
    return [problem.text for problem in find_problems(areas, SIZE)]


def shaped(*polygon: tuple[int, int]) -> DrawnArea:
    return DrawnArea(kind="look", name="it", polygon=[list(point) for point in polygon])


def named(name: str) -> DrawnArea:
    return DrawnArea(kind="look", name=name, polygon=PINS.polygon)


def test_the_file_is_as_the_documentation_shows_it(tmp_path: Path) -> None:
    assert write_drawing([PINS, LAMP], SIZE, PICTURE).decode() == TEXT
    file = tmp_path / "regions.yaml"
    file.write_text(TEXT)
    assert read_drawing(file, SIZE) == [PINS, LAMP]


def test_a_kind_without_areas_is_an_empty_list(tmp_path: Path) -> None:
    file = tmp_path / "regions.yaml"
    for areas in ([], [PINS], [LAMP]):
        file.write_bytes(write_drawing(areas, SIZE, PICTURE))
        assert read_drawing(file, SIZE) == areas
        assert read_yaml(file).value.keys() == {"size", "look", "ignore"}


def test_without_a_file_there_are_no_areas(tmp_path: Path) -> None:
    assert read_drawing(tmp_path / "none.yaml", SIZE) == []


def test_the_name_of_the_picture_ends_no_comment(tmp_path: Path) -> None:
    file = tmp_path / "regions.yaml"
    file.write_bytes(write_drawing([PINS], SIZE, Path("a\nlook: 5\udcff.png")))
    assert read_drawing(file, SIZE) == [PINS]


@st.composite
def stars(draw: st.DrawFn) -> list[list[int]]:
    """A polygon whose points go once around a centre, each in its own direction: it cannot meet itself."""
    directions = sorted(draw(st.sets(st.integers(0, 35), min_size=5, max_size=20)))
    gaps = [b - a for a, b in zip(directions, [*directions[1:], directions[0] + 36], strict=True)]
    radii = [draw(st.integers(60, 200)) for _ in directions]
    if max(gaps) >= 18:  # the centre would lie outside
        directions, radii = list(range(0, 36, 4)), [100] * 9
    turn = math.pi / 18
    return [
        [round(300 + radius * math.cos(turn * direction)), round(240 + radius * math.sin(turn * direction))]
        for direction, radius in zip(directions, radii, strict=True)
    ]


@given(stars())
def test_a_polygon_around_a_centre_has_no_problem_either_way_round(polygon: list[list[int]]) -> None:
    for each in (polygon, polygon[::-1]):
        assert said(DrawnArea(kind="look", name="star", polygon=each)) == []


NAMES = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=64).filter(
    lambda name: not set(name) & set("/+#") and name not in (".", "..") and name.isprintable()
)
TRICKY = st.sampled_from(
    ["12", "012", "1e5", "1_000", "0x1F", "1:30", "2026-11-29", "on", "no", "null", "~", "true", ".inf", "<<", "=",
     "- a", "a: b", "'", '"', "*a", "&a", "!a", "%a", "@a", "`a", "{", "[", "?", "ä", "针脚", "🔩", "a b", "\\n", "..."]
)  # fmt: skip


@given(st.lists(st.one_of(TRICKY, NAMES), unique=True, max_size=6), st.data())
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], data: st.DataObject
) -> None:
    kinds = st.sampled_from(["look", "ignore"])
    areas = [DrawnArea(kind=data.draw(kinds), name=name, polygon=data.draw(stars())) for name in names]
    areas.sort(key=lambda area: area.kind == "ignore")
    assert find_problems(areas, SIZE) == []
    file = tmp_path_factory.getbasetemp() / "what_is_written.yaml"
    file.write_bytes(write_drawing(areas, SIZE, PICTURE))
    assert read_drawing(file, SIZE) == areas


CROSSING = {
    "a bow tie": [(0, 0), (10, 10), (10, 0), (0, 10)],
    "two corners that touch": [(0, 0), (50, 50), (100, 0), (100, 100), (50, 50), (0, 100)],
    "a point on another edge": [(0, 0), (100, 0), (100, 100), (50, 0), (0, 100)],
    "edges on one another": [(0, 0), (100, 0), (100, 50), (80, 0), (20, 0), (0, 50)],
    "the last edge across the second": [(100, 100), (200, 100), (100, 200), (200, 200), (150, 50)],
    "a spike": [(0, 0), (100, 0), (100, 100), (100, 20)],
    "no width": [(0, 0), (50, 50), (100, 100)],
    "no width, across": [(0, 5), (9, 5), (4, 5), (2, 5)],
    "a spike at the first point": [(50, 0), (80, 0), (80, 80), (40, 40), (20, 0)][::-1] + [(60, 0)],
}


@pytest.mark.parametrize("polygon", CROSSING.values(), ids=CROSSING.keys())
def test_an_outline_that_meets_itself_is_refused_from_wherever_it_starts(polygon: list[tuple[int, int]]) -> None:
    for start in range(len(polygon)):
        turned = polygon[start:] + polygon[:start]
        for each in (turned, turned[::-1]):
            (text,) = said(shaped(*each))
            assert "its outline meets itself" in text and "move or delete" in text


ALLOWED = {
    "a triangle of three pixels": [(0, 0), (1, 0), (0, 1)],
    "all of the picture": [(0, 0), (639, 0), (639, 479), (0, 479)],
    "a point in the middle of an edge": [(0, 0), (50, 0), (100, 0), (100, 100)],
    "a deep notch": [(0, 0), (100, 0), (50, 90), (100, 100), (0, 100)],
    "a spiral": [(0, 0), (99, 0), (99, 99), (20, 99), (20, 40), (60, 40), (60, 60), (40, 60), (40, 79), (79, 79),
                 (79, 20), (0, 20)],
}  # fmt: skip


@pytest.mark.parametrize("polygon", ALLOWED.values(), ids=ALLOWED.keys())
def test_an_outline_that_does_not_meet_itself_is_taken(polygon: list[tuple[int, int]]) -> None:
    assert said(shaped(*polygon)) == []


@pytest.mark.parametrize("point", [(640, 5), (5, 480), (-1, 5), (5, -1), (10**30, 5), (5, -(10**30))])
def test_a_point_outside_the_picture_is_named(point: tuple[int, int]) -> None:
    (text,) = said(shaped((5, 5), (50, 5), point))
    assert "point 3 lies outside the picture (x from 0 to 639, y from 0 to 479)" in text


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_points_are_counted(count: int) -> None:
    (text,) = said(shaped(*[(5, 5), (9, 9)][:count]))
    assert f"it has {count} points" in text and "at least 3" in text


def test_two_points_on_one_pixel_are_named() -> None:
    assert "points 2 and 3 lie on the same pixel" in said(shaped((0, 0), (9, 0), (9, 0), (9, 9)))[0]
    assert "points 4 and 1 lie on the same pixel" in said(shaped((0, 0), (9, 0), (9, 9), (0, 0)))[0]


@pytest.mark.parametrize(
    "name", ["", " ", "a/b", "a+b", "#1", " a", "a ", "a\nb", "x" * 65, "a\u202eb", "\ud800", ".", ".."]
)
def test_a_name_that_a_station_could_not_have_is_refused(name: str) -> None:
    (text,) = said(named(name))
    assert "name" in text


def test_a_name_is_used_once_whatever_the_kind() -> None:
    other = DrawnArea(kind="ignore", name="pins", polygon=LAMP.polygon)
    assert len(said(PINS, other)) == 2
    assert said(PINS, LAMP, named("Pins")) == []


def test_each_problem_says_of_which_area_it_is() -> None:
    found = find_problems([PINS, named("a/b"), LAMP, shaped((0, 0), (1, 1))], SIZE)
    assert [problem.area for problem in found] == [1, 3]


def test_there_may_not_be_more_areas_than_a_file_holds() -> None:
    areas = [named(f"area {number}") for number in range(MOST_AREAS + 1)]
    assert said(*areas[:-1]) == []
    assert any("more than" in text for text in said(*areas))


WRONG = {
    "no yaml": ("size: [640, 480", "regions.yaml: is no YAML"),
    "a list": ("- 1", "regions.yaml: is empty or no mapping"),
    "no size": ("look: []", "size: is missing"),
    "a key twice": ("size: [640, 480]\nlook: []\nlook: []", "look"),
    "an unknown key": ("size: [640, 480]\nlock: []", "lock: unknown key"),
    "an unknown key of an area": (TEXT.replace("name: pins", "name: pins\n    limit: 2"), "look.0.limit: unknown key"),
    "no whole number": (TEXT.replace("[10, 20]", "[10.5, 20]"), "look.0.polygon.0.0"),
    "no pair": (TEXT.replace("[10, 20]", "[10, 20, 30]"), "look.0.polygon.0"),
    "no list of points": (TEXT.replace("[[10, 20], [200, 20], [200, 90]]", "10, 20"), "look.0.polygon"),
    "a name that is a number": (TEXT.replace("name: pins", "name: 12"), "look.0.name: must be text"),
    "a truth value": (TEXT.replace("[10, 20]", "[true, 20]"), "look.0.polygon.0.0"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_file_that_cannot_be_edited_is_refused_by_its_key(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "regions.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_drawing(file, SIZE)
    assert message in str(caught.value) and str(file) in str(caught.value)


def test_areas_of_pictures_of_another_size_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "regions.yaml"
    file.write_text(TEXT)
    with pytest.raises(UsageError, match=r"regions.yaml: .* 640x480 .* 480x640"):
        read_drawing(file, (480, 640))


def test_a_drawing_that_cannot_be_saved_yet_can_be_edited(tmp_path: Path) -> None:
    """Somebody may have written the file by hand; the page shows what is wrong with it."""
    file = tmp_path / "regions.yaml"
    file.write_text(TEXT.replace("[340, 40], [300, 40]", "[300, 40], [340, 40]").replace("pins", "a/b"))
    assert [problem.area for problem in find_problems(read_drawing(file, SIZE), SIZE)] == [0, 1]
