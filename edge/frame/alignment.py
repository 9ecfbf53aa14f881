"""A part that does not lie still is found in every frame and brought to one pose, before the fit.

`Alignment` is what is known: the reference picture, where the part lies in it, how far it may move. It belongs to the
model and travels in checkpoint and bundle. `Aligner` is made of it once and finds the part in each frame:

1. The frame, made grey and halved a few times, is correlated with the part at all angles (edge/frame/part_search.py).
2. The best pose is refined by the part's edges (edge/frame/part_edges.py). The confidence is how well the gradients at
   the edges agree. If it is low, the best few poses are refined in a smaller picture first, where edges are looked for
   farther away; and if it stays low, the part is looked for at all angles, to say why it is refused.
3. The pose is refused if the confidence is low, the part lies outside or too far from where it should, a second part is
   there, or small edges such as a label show that it lies in a twin's pose (edge/frame/part_twins.py).

A frame whose part is not found must be rejected with the reason `not_found`: the background says nothing of the part.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.fit_modes import ALIGN_MODES, AlignMode
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.frame.part_finder import Limits, PartFinder
from edge_inspect.edge.frame.pose import Pose

ALIGNMENT_PICTURE = "alignment.png"
"""Name of the reference picture's file in checkpoint and bundle."""

LEAST_SIDE = 24
"""Pixels: the shortest side of a part that can be found."""

MOST_TURN = 45.0
"""Degrees. A lamp that stands still lights a part turned farther so differently that its edges seem to be shifted."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """How frames are aligned.

    Attributes:
        mode: `shift` (the part may be shifted) or `rigid` (shifted and turned).
        reference: (H, W, 3) uint8 BGR: a picture in which the part lies as it should.
        part: x, y, width, height in pixels of a rectangle round the part in the reference.
        shift: How far the part's middle may be shifted to each side, as a share of the frame's width and height.
        turn: How far the part may be turned to each side, in degrees. Mode `shift` ignores it.
        least_confidence: A part found with less is not found, in (0, 1).
        least_seen: Share of the part's edges that must lie inside the frame, in (0, 1].
    """

    mode: AlignMode
    reference: Frame
    part: tuple[int, int, int, int]
    shift: float = 0.15
    turn: float = 20.0
    least_confidence: float = 0.6
    least_seen: float = 0.9

    def __post_init__(self) -> None:
        if self.mode not in ALIGN_MODES:
            raise UsageError(f"alignment mode {self.mode!r} is unknown; there are {', '.join(ALIGN_MODES)}")
        for name, low, high, unit in (
            ("shift", 0.0, 0.5, "a share of the frame"),
            ("turn", 0.0, MOST_TURN, "degrees"),
            ("least_confidence", 0.05, 0.99, "a confidence"),
            ("least_seen", 0.4, 1.0, "a share of the part"),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise UsageError(f"alignment {name} {value!r} must be {unit} between {low:g} and {high:g}")
        _check_reference(self.reference)
        _check_part(self.part, self.reference)

    def as_dict(self) -> dict[str, Any]:
        """Return all fields but the picture as plain values, for YAML and JSON."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "reference"}
        return values | {"part": list(self.part)}

    def png(self) -> bytes:
        """Return the reference picture as PNG, without loss."""
        _, data = cv2.imencode(".png", self.reference)
        return bytes(data)

    @classmethod
    def from_dict(cls, values: dict[str, Any], png: bytes) -> Alignment:
        """Return the inverse of `as_dict` and `png`.

        Raises:
            UsageError: A field is unknown, missing or wrong, or the PNG cannot be read.
        """
        known = {each.name for each in fields(cls)} - {"reference"}
        if unknown := sorted(values.keys() - known):
            raise UsageError(f"alignment {unknown[0]} is unknown; there are {', '.join(sorted(known))}")
        if missing := sorted({"mode", "part"} - values.keys()):
            raise UsageError(f"alignment {missing[0]} is missing")
        reference = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR) if png else None
        if reference is None:
            raise UsageError("alignment reference: the PNG is damaged")
        part = values["part"]
        part = tuple(part) if isinstance(part, list) else part
        return cls(**{**values, "part": part}, reference=np.asarray(reference, np.uint8))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Alignment):
            return NotImplemented
        return self.as_dict() == other.as_dict() and np.array_equal(self.reference, other.reference)

    def __hash__(self) -> int:
        return hash((self.mode, self.part, self.shift, self.turn, self.least_confidence, self.least_seen))


class Aligner:
    """Finds the part in frames and aligns them; one for any number of threads, as nothing changes after it is made."""

    def __init__(self, alignment: Alignment) -> None:
        """Prepare the reference, which takes a second or less.

        Raises:
            UsageError: The part has hardly any edges, or edges by which its pose cannot be told.
        """
        self.alignment = alignment
        limits = Limits(alignment.shift, alignment.turn, alignment.least_confidence, alignment.least_seen)
        self._finder = PartFinder(alignment.reference, alignment.part, limits, rigid=alignment.mode == "rigid")

    def find(self, frame: Frame) -> Pose:
        """Return where the part lies in a frame.

        Args:
            frame: (H, W, 3) uint8 BGR, of the reference's size.

        Raises:
            UsageError: The frame is of another size than the reference.
        """
        self._check(frame)
        return self._finder.find(frame)

    def align(self, frame: Frame, pose: Pose, region: tuple[int, int, int, int] | None = None) -> Frame:
        """Return the frame with the part where the reference has it; what was outside the frame is the reference's.

        So what the camera did not see looks as good as it should, and no edge of the frame is taken for a defect.

        Args:
            frame: (H, W, 3) uint8 BGR, of the reference's size.
            pose: Where its part lies.
            region: x, y, width, height in the reference: only these pixels are aligned, and all others are 0. The time
                goes with its area. None: the whole frame.

        Raises:
            UsageError: The frame is of another size than the reference.
        """
        self._check(frame)
        if not pose.moved:
            return frame
        x, y, width, height = region or (0, 0, frame.shape[1], frame.shape[0])
        matrix = pose.to_frame
        matrix[:, 2] += matrix[:, :2] @ (x, y)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        # OpenCV 5 moves four channels in half the time that it needs for three. The fourth says what the frame shows.
        four = cv2.cvtColor(frame, cv2.COLOR_BGR2BGRA)
        four = cv2.warpAffine(four, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_CONSTANT)
        three = np.asarray(cv2.cvtColor(four, cv2.COLOR_BGRA2BGR), np.uint8)
        unseen = cv2.compare(cv2.extractChannel(four, 3), 255, cv2.CMP_LT)
        cv2.copyTo(self.alignment.reference[y : y + height, x : x + width], unseen, three)
        if region is None:
            return three
        aligned = np.zeros_like(frame)
        aligned[y : y + height, x : x + width] = three
        return aligned

    def _check(self, frame: Frame) -> None:
        reference = self.alignment.reference
        if frame.shape != reference.shape:
            (height, width), (rows, columns) = frame.shape[:2], reference.shape[:2]
            raise UsageError(
                f"a frame of {width}x{height} pixels cannot be aligned: the alignment's reference picture has "
                f"{columns}x{rows}; set the camera to that size, or train again with its pictures"
            )


def _check_reference(reference: Frame) -> None:
    if reference.dtype != np.uint8 or reference.ndim != 3 or reference.shape[2] != 3:
        raise UsageError(f"alignment reference must be (H, W, 3) uint8, not {reference.shape} {reference.dtype}")


def _check_part(part: object, reference: Frame) -> None:
    if not isinstance(part, tuple) or len(part) != 4 or not all(type(v) is int for v in part):
        raise UsageError(f"alignment part {part} must be four whole numbers: x, y, width, height")
    x, y, width, height = part
    if min(width, height) < LEAST_SIDE:
        raise UsageError(f"alignment part {width}x{height} must have at least {LEAST_SIDE} pixels on each side")
    rows, columns = reference.shape[:2]
    if x < 0 or y < 0 or x + width > columns or y + height > rows:
        raise UsageError(f"alignment part {x},{y},{width},{height} lies outside a reference of {columns}x{rows} pixels")
