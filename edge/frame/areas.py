"""Areas of the frame that count, and areas that do not: polygons in pixels of the frame, each with a name.

Pixels outside every `look` area, or inside an `ignore` area, are not looked at. The fit gives them one colour before
the network sees them, and the map weighs nothing there; see `edge.frame.fit.Fit`. So nothing that happens in them can
change a score.
"""

from __future__ import annotations

from typing import Annotated, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge_inspect.edge.contract.fields import Name
from edge_inspect.edge.errors import UsageError

MOST_POINTS = 20_000
"""Most points that all polygons may have together; a mask of noise has more."""

Point = tuple[int, int]
Ring = Annotated[tuple[Point, ...], Field(min_length=3)]
Side = Annotated[int, Field(gt=0, le=16_384)]


class Area(BaseModel):
    """A named area: what its rings enclose, by the even-odd rule, the pixels on their lines included.

    Attributes:
        name: Its name, which verdicts show.
        rings: Polygons whose points are x, y of pixels of the frame. A ring inside another is a hole.
        scale: Factor by which the map's values are multiplied there before they are compared with the threshold; set by
            `calibrate bundle`.
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
            raise UsageError(f"areas: {explain(error)}") from error


def explain(error: ValidationError) -> str:
    """Return what is wrong in words, each mistake with its place."""
    return "; ".join(
        f"{'.'.join(map(str, each['loc']))}: {each['msg']}".removeprefix(": ").replace("Value error, ", "")
        for each in error.errors()
    )
