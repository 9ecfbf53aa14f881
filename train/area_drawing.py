"""The areas drawn on a picture: where to look and what to ignore, as a YAML file keeps them.

A polygon lists pixels of the frame, x then y, from 0 to width - 1 and height - 1. Its outline belongs to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from edge_inspect.edge.configuration.file import read_settings
from edge_inspect.edge.configuration.section import Level
from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.text import clean

MOST_POINTS = 1000
"""Most points of one polygon. Checking takes the square of their number, and nobody draws so many by hand."""
MOST_AREAS = 200

Kind = Literal["look", "ignore"]
Point = Annotated[list[int], Field(min_length=2, max_length=2)]
_NAME = TypeAdapter(Level)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Outline(_Strict):
    """A named polygon. Its name and its points may still be wrong: `find_problems` says what is."""

    name: str
    polygon: list[Point] = Field(max_length=MOST_POINTS)


class DrawnArea(Outline):
    """An outline with its kind: `look` is judged, `ignore` is not."""

    kind: Kind


class AreaFile(_Strict):
    """What the YAML file holds; `size` is the width and height of the picture in pixels."""

    size: Point
    look: list[Outline] = Field(default_factory=list, max_length=MOST_AREAS)
    ignore: list[Outline] = Field(default_factory=list, max_length=MOST_AREAS)


class Problem(BaseModel):
    """Why an area cannot be saved as it is, and what to do about it; `area` is its index in the list."""

    area: int
    text: str


def read_drawing(path: Path, size: tuple[int, int]) -> list[DrawnArea]:
    """Return the areas that a file holds, look before ignore; none where there is no file.

    Args:
        path: The YAML file.
        size: Width and height of the picture that the areas are drawn on, in pixels.

    Raises:
        ConfigurationError: The file cannot be read or is no file of areas; the message lists every mistake.
        UsageError: The areas were drawn on a picture of another size.
    """
    if not path.exists():
        return []
    file = read_settings(path, AreaFile)
    if tuple(file.size) != size:
        raise UsageError(
            f"{clean(path)}: its areas are for pictures of {file.size[0]}x{file.size[1]} pixels, and this picture has "
            f"{size[0]}x{size[1]}; choose a picture of that size, or another file with --out"
        )
    return areas_of(file)


def areas_of(file: AreaFile) -> list[DrawnArea]:
    """Return the areas of a file, look before ignore."""
    return [
        DrawnArea(kind=kind, name=outline.name, polygon=outline.polygon)
        for kind in get_args(Kind)
        for outline in getattr(file, kind)
    ]


def write_drawing(areas: Sequence[DrawnArea], size: tuple[int, int], picture: Path) -> bytes:
    """Return the text of the YAML file for areas without problems.

    Args:
        areas: The areas, in the order in which the file lists them.
        size: Width and height of the picture in pixels.
        picture: The picture on which they were drawn; the file's first line names it.
    """
    content = {
        "size": _OnOneLine(size),
        **{
            kind: [
                {"name": _Name(area.name), "polygon": _OnOneLine(area.polygon)} for area in areas if area.kind == kind
            ]
            for kind in get_args(Kind)
        },
    }
    first = f"# Drawn with edge-train regions on {clean(picture)}, {size[0]}x{size[1]} pixels.\n"
    return (first + yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)).encode()


def find_problems(areas: Sequence[DrawnArea], size: tuple[int, int]) -> list[Problem]:
    """Return why areas cannot be saved as they are: at most one problem of the name and one of the polygon each."""
    used = Counter(area.name for area in areas)
    found = [
        Problem(area=index, text=text)
        for index, area in enumerate(areas)
        for text in (_problem_of_name(area.name, used), _problem_of_polygon(area.polygon, size))
        if text
    ]
    if len(areas) > MOST_AREAS:
        found.append(Problem(area=MOST_AREAS, text=f"there are more than {MOST_AREAS} areas; delete some"))
    return found


def _problem_of_name(name: str, used: Counter[str]) -> str:
    try:
        _NAME.validate_python(name)
    except ValidationError:
        if not name.strip():
            return "it has no name; give it one"
        return "its name must have 1 to 64 printable characters, no /, + or #, no blanks around it, and not be . or .."
    return "another area has this name too; give each a name of its own" if used[name] > 1 else ""


def _problem_of_polygon(polygon: Sequence[Sequence[int]], size: tuple[int, int]) -> str:
    count, (width, height) = len(polygon), size
    if count < 3:
        return f"it has {count} points; an area needs at least 3"
    for number, (x, y) in enumerate(polygon, 1):
        if not (0 <= x < width and 0 <= y < height):
            limits = f"x from 0 to {width - 1}, y from 0 to {height - 1}"
            return f"its point {number} lies outside the picture ({limits}); move it inside"
    for number in range(count):
        if polygon[number - 1] == polygon[number]:
            return f"its points {(number - 1) % count + 1} and {number + 1} lie on the same pixel; delete one of them"
    crossing = _find_crossing(polygon)
    if crossing is None:
        return ""
    first, second = (f"from point {edge + 1} to {(edge + 1) % count + 1}" for edge in crossing)
    return f"its outline meets itself: the line {first} touches the one {second}; move or delete one of these points"


def _find_crossing(polygon: Sequence[Sequence[int]]) -> tuple[int, int] | None:
    """Return two edges, by the index of their first point, that share more than the point between neighbours."""
    start = np.array(polygon, np.int64)
    end = np.roll(start, -1, axis=0)
    count = len(start)
    for edge in range(count):
        following = (edge + 1) % count
        back, forth = start[edge] - end[edge], end[following] - end[edge]
        if back[0] * forth[1] == back[1] * forth[0] and back @ forth > 0:  # the line turns back upon itself
            return edge, following
        others = np.arange(edge + 2, count - (edge == 0))  # the last edge is a neighbour of the first
        meets = _meet(start[edge], end[edge], start[others], end[others])
        if meets.any():
            return edge, int(others[meets.argmax()])
    return None


def _meet(a: Any, b: Any, c: Any, d: Any) -> Any:
    """Return whether the line from a to b meets each of those from c to d: (lines,) bool."""
    near = (np.minimum(c, d) <= np.maximum(a, b)).all(axis=1) & (np.maximum(c, d) >= np.minimum(a, b)).all(axis=1)
    return near & (_side(a, b, c) * _side(a, b, d) <= 0) & (_side(c, d, a) * _side(c, d, b) <= 0)


def _side(a: Any, b: Any, point: Any) -> Any:
    """Return on which side of the lines from a to b points lie: -1, 0 (on the line) or 1."""
    along, across = b - a, point - a
    return np.sign(along[..., 0] * across[..., 1] - along[..., 1] * across[..., 0])


class _OnOneLine(list[Any]):
    """A list that the file writes in brackets."""


class _Name(str):
    """A text that the file writes in quotes if it could be a number: PyYAML takes 1e5 for text, and others do not."""


class _Dumper(yaml.SafeDumper):
    """Writes lists of mappings indented, and coordinates in brackets."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(
    _Name,
    lambda dumper, name: dumper.represent_scalar(
        "tag:yaml.org,2002:str", name, style=None if name[0].isalpha() else "'"
    ),
)
_Dumper.add_representer(
    _OnOneLine, lambda dumper, data: dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)
)
