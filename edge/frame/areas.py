"""Areas of the frame that count, and areas that do not: polygons in pixels of the frame, each with a name.

Pixels outside every `look` area, or inside an `ignore` area, are not looked at. The fit gives them one colour before
the network sees them, and the map weighs nothing there; see `edge.frame.fit.Fit`. So nothing that happens in them can
change a score.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge_inspect.edge.configuration.yaml_file import read_yaml
from edge_inspect.edge.contract.fields import Name
from edge_inspect.edge.errors import UsageError, YamlError
from edge_inspect.edge.frame.images import SUFFIXES, read_mask

MOST_POINTS = 20_000
"""Most points that all polygons may have together; a mask of noise has more."""

YAML = (".yaml", ".yml")

Point = tuple[int, int]
Ring = Annotated[tuple[Point, ...], Field(min_length=3)]
Side = Annotated[int, Field(gt=0, le=65_535)]


class Area(BaseModel):
    """A named area: what its rings enclose, by the even-odd rule, the pixels on their lines included.

    Attributes:
        name: Its name, which verdicts show.
        rings: Polygons whose points are x, y of pixels of the frame. A ring inside another is a hole.
        scale: Factor by which the map's values are multiplied there before they are compared with the threshold.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: Name
    rings: Annotated[tuple[Ring, ...], Field(min_length=1)]
    scale: float = Field(1.0, gt=0)

    def mask(self, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Return the area as (height, width) uint8, 255 inside it; `size` is the frame's width and height."""
        drawn = np.zeros((size[1], size[0]), np.uint8)
        cv2.fillPoly(drawn, [np.array(ring, np.int32) for ring in self.rings], 255)
        return drawn


class Areas(BaseModel):
    """Where to look in frames of one size.

    Attributes:
        size: Width and height of the frames, in pixels.
        look: Areas that are looked at; without any, the whole frame is.
        ignore: Areas that are not looked at, also where a `look` area covers them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: tuple[Side, Side]
    look: tuple[Area, ...] = ()
    ignore: tuple[Area, ...] = ()

    @model_validator(mode="after")
    def _make_sense(self) -> Areas:
        names = [area.name for area in (*self.look, *self.ignore)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)}: two areas have this name; every area needs a name of its own")
        points = sum(len(ring) for area in (*self.look, *self.ignore) for ring in area.rings)
        if points > MOST_POINTS:
            raise ValueError(f"the outlines have {points} points, and {MOST_POINTS} is the most; draw them simpler")
        for area in (*self.look, *self.ignore):
            if not area.mask(self.size).any():
                raise ValueError(f"{area.name}: lies outside a picture of {self.size[0]}x{self.size[1]} pixels")
        if not self.looked_at().any():
            raise ValueError("nothing is left to look at; make an ignored area smaller, or a looked-at area larger")
        return self

    def looked_at(self) -> NDArray[np.bool_]:
        """Return the pixels of the frame that are looked at, (height, width) bool."""
        width, height = self.size
        seen = np.full((height, width), not self.look)
        for area in self.look:
            seen |= area.mask(self.size) > 0
        for area in self.ignore:
            seen &= area.mask(self.size) == 0
        return seen

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for YAML."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, fields: Any) -> Areas:
        """Return the areas of plain values.

        Raises:
            UsageError: They are not as they should be; the message names the field.
        """
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise UsageError(f"areas: {_explain(error)}") from error


def read_areas(look: Path | None, ignore: Path | None) -> Areas | None:
    """Return the areas of files, `None` if no file is given.

    A file is YAML, as `edge-train regions` writes it, of which the list `look` or `ignore` is read; or it is a mask
    picture, which marks one area named like the file.

    Raises:
        UsageError: A file cannot be read, has no area of its kind, or was drawn on a picture of another size; the
            message names it.
    """
    read = {kind: (path, _read_file(path, kind)) for kind, path in (("look", look), ("ignore", ignore)) if path}
    sizes = {str(path): areas.size for path, areas in read.values()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{path} on {width}x{height}" for path, (width, height) in sizes.items())
        raise UsageError(
            f"the areas were drawn on pictures of different sizes: {told} pixels; draw them on one picture"
        )
    if not read:
        return None
    fields = {kind: getattr(areas, kind) for kind, (_, areas) in read.items()}
    (size,) = set(sizes.values())
    try:
        return Areas(size=size, **fields)
    except ValidationError as error:
        raise UsageError(f"{' and '.join(sizes)}: {_explain(error)}") from error


def _read_file(path: Path, kind: str) -> Areas:
    if path.suffix.lower() in SUFFIXES:
        return _read_mask(path, kind)
    if path.suffix.lower() not in YAML:
        raise UsageError(f"--{kind} {path}: is neither YAML ({' or '.join(YAML)}) nor a mask picture")
    try:
        fields = read_yaml(path).value
        given = fields.get(kind) if isinstance(fields, dict) else None
        if not given:
            raise UsageError(f"--{kind} {path}: has no list `{kind}` of areas; edge-train regions draws them")
        plain = {key: value for key, value in fields.items() if key not in ("look", "ignore")}
        return Areas.model_validate(plain | {"ignore" if kind == "ignore" else "look": _with_rings(given)})
    except YamlError as error:
        raise UsageError(f"--{kind} {path}: {error}") from error
    except ValidationError as error:
        raise UsageError(f"--{kind} {path}: {_explain(error)}") from error


def _with_rings(areas: Any) -> Any:
    """Return areas as people write them, with one `polygon` each, as areas with rings."""
    if not isinstance(areas, list):
        return areas
    return [
        {**{key: value for key, value in area.items() if key != "polygon"}, "rings": [area["polygon"]]}
        if isinstance(area, dict) and "polygon" in area
        else area
        for area in areas
    ]


def _read_mask(path: Path, kind: str) -> Areas:
    marked = read_mask(path).marked
    contours, _ = cv2.findContours(marked, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    # An area of one or two pixels is a ring too: fillPoly draws its line.
    rings = [[tuple(map(int, point)) for point in np.resize(c[:, 0], (max(3, len(c)), 2))] for c in contours]
    if not rings:
        raise UsageError(f"--{kind} {path}: marks no pixel; a mask is white where the area is")
    height, width = marked.shape
    try:
        return Areas.model_validate({"size": (width, height), kind: [{"name": path.stem[:64], "rings": rings}]})
    except ValidationError as error:
        raise UsageError(f"--{kind} {path}: {_explain(error)}") from error


def _explain(error: ValidationError) -> str:
    """Return what is wrong in words, each mistake with its place."""
    return "; ".join(
        f"{'.'.join(map(str, each['loc']))}: {each['msg']}".removeprefix(": ").replace("Value error, ", "")
        for each in error.errors()
    )
