"""The areas of the files that `edge-train fit --look` and `--ignore` name: YAML or mask pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydantic import ValidationError

from edge_inspect.edge.configuration.file import read_settings
from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.areas import Areas, explain
from edge_inspect.edge.frame.images import SUFFIXES, read_mask
from edge_inspect.edge.text import clean
from edge_inspect.train.area_drawing import AreaFile, Kind, areas_of, find_problems

Size = tuple[int, int]
Fields = list[dict[str, Any]]
"""The fields of areas, as `edge.frame.areas.Area` has them."""


def read_areas(look: Path | None, ignore: Path | None) -> Areas | None:
    """Return the areas of files; `None` if no file is given.

    A file is YAML, as `edge-train regions` writes it, of which the list `look` or `ignore` is read; or it is a mask
    picture, which marks one area named like the file.

    Raises:
        UsageError: A file has no area of its kind, or a wrong one, or was drawn on a picture of another size.
        ConfigurationError: A YAML file cannot be read, or has mistakes.
        ImageError: A mask cannot be read.
    """
    given: list[tuple[Kind, Path]] = [("look", look)] if look else []
    given += [("ignore", ignore)] if ignore else []
    read = {kind: _read(path, kind) for kind, path in given}
    if not read:
        return None
    size, *others = {size for size, _ in read.values()}
    if others:
        sizes = ", ".join(f"{clean(path)} on {read[kind][0][0]}x{read[kind][0][1]}" for kind, path in given)
        raise UsageError(
            f"the areas were drawn on pictures of different sizes: {sizes} pixels; draw them on one picture"
        )
    try:
        return Areas.model_validate({"size": size, **{kind: areas for kind, (_, areas) in read.items()}})
    except ValidationError as error:
        names = " and ".join(dict.fromkeys(clean(path) for _, path in given))
        raise UsageError(f"{names}: {explain(error)}") from error


def _read(path: Path, kind: Kind) -> tuple[Size, Fields]:
    return _read_mask(path, kind) if path.suffix.lower() in SUFFIXES else _read_yaml(path, kind)


def _read_yaml(path: Path, kind: Kind) -> tuple[Size, Fields]:
    file = read_settings(path, AreaFile)
    areas = [area for area in areas_of(file) if area.kind == kind]
    if not areas:
        raise UsageError(f"--{kind} {clean(path)}: has no list `{kind}` of areas; edge-train regions draws them")
    size = file.size[0], file.size[1]
    if problems := find_problems(areas, size):
        mistakes = "; ".join(f"{areas[problem.area].name!r}: {problem.text}" for problem in problems)
        raise UsageError(f"--{kind} {clean(path)}: {mistakes}")
    return size, [{"name": area.name, "rings": [area.polygon]} for area in areas]


def _read_mask(path: Path, kind: Kind) -> tuple[Size, Fields]:
    marked = read_mask(path).marked
    contours, _ = cv2.findContours(marked, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        raise UsageError(f"--{kind} {clean(path)}: marks no pixel; a mask is white where the area is")
    height, width = marked.shape
    return (width, height), [{"name": clean(path.stem)[:64], "rings": [_ring(contour[:, 0]) for contour in contours]}]


def _ring(points: Any) -> Sequence[Any]:
    """Return a contour as a ring: one of one or two pixels too, as its line is drawn."""
    return np.resize(points, (max(3, len(points)), 2)).tolist()
