"""The alignment of a product, learnt from good pictures: reference, part and least confidence.

One good picture shows marks, dirt and noise that no other has. So the reference is the median of good pictures, each
brought to the pose of the middle one: edges that only one picture has vanish from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.alignment import MOST_TURN, Aligner, Alignment
from edge_inspect.edge.frame.areas import Area
from edge_inspect.edge.frame.fit_modes import AlignMode
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.frame.pose import SEVERAL, UNCLEAR, Pose
from edge_inspect.train.foreground import foreground_mask

MOST = 48
"""Good pictures that are looked at; of more, so many are taken evenly."""

SAFETY = 0.8
"""The least confidence is this share of the lowest confidence of the good pictures."""

FIRST_CONFIDENCE = 0.25
"""The least confidence while there is no median yet."""

BEYOND = 1.25
"""How many times as far as in the good pictures a part may be moved: a few pictures do not show the farthest."""

LEAST_SHIFT, LEAST_TURN = 0.02, 2.0
"""Share of the frame and degrees by which a part may be moved, even if all good pictures show it in one pose."""

WIDEST_SHIFT = 0.4
"""Share of the frame within which the part is sought in the good pictures."""

OUTLINE = "part"
"""Name of the area that is looked at if nobody names one."""

_ROUNDS = 2
_MARGIN = 0.02  # share of the part's sides by which the rectangle found is larger
_WHOLE = 0.75  # share of the rectangle's sides that what stands out must have to be the whole part
_RARE = 0.02  # quantile of the good pictures' confidences that is taken for the lowest: one may be odd
_FEWEST = 0.8  # share of the good pictures in which the part must be found


def learnt_alignment(
    pictures: Sequence[Frame],
    mode: AlignMode,
    *,
    part: tuple[int, int, int, int] | None = None,
    reference: Frame | None = None,
    **limits: Any,
) -> Alignment:
    """Return the alignment that suits good pictures.

    Args:
        pictures: (H, W, 3) uint8 BGR each, of one size, of good parts; the pose is the middle one of theirs.
        mode: `shift` or `rigid`.
        part: x, y, width, height round the part in `reference`, or in the pictures where they have it in one place;
            None: what stands out from the background.
        reference: A picture in which the part lies as it should; None: chosen among the pictures.
        limits: The fields `shift`, `turn` and `least_seen` of `Alignment`; by default `shift` and `turn` reach a little
            beyond the poses of the pictures.

    Raises:
        UsageError: The pictures have several sizes, no part stands out, or the part is not found in most of them.
    """
    chosen = [pictures[i] for i in np.linspace(0, len(pictures) - 1, min(len(pictures), MOST)).round().astype(int)]
    _check(chosen, [] if reference is None else [reference])
    fixed = reference is not None
    if reference is None:
        reference, part = _middle(chosen, part)
    elif part is None:
        part = part_of(reference)
    wide = {"shift": WIDEST_SHIFT, "turn": MOST_TURN, **limits}
    alignment = Alignment(mode, reference, part, least_confidence=FIRST_CONFIDENCE, **wide)
    poses = _poses(alignment, chosen)
    if not fixed:
        alignment, poses = _moved_to_the_middle(alignment, chosen, poses)
    for _ in range(_ROUNDS):
        alignment = replace(alignment, reference=_median(alignment, chosen, poses))
        poses = _poses(alignment, chosen)
    alignment = replace(alignment, **{**_learnt_limits(alignment, poses), **limits})
    count = sum(pose.found for pose in _poses(alignment, chosen))
    if count < _FEWEST * len(chosen):
        raise _lost(count, chosen)
    return alignment


def _learnt_limits(alignment: Alignment, poses: Sequence[Pose]) -> dict[str, float]:
    """Return limits a little beyond the poses of good pictures, and a least confidence safely below theirs."""
    seen = [pose for pose in poses if _seen(pose)]
    if not seen:
        raise _lost(0, poses)
    height, width = alignment.reference.shape[:2]
    shifted = max(max(abs(pose.shift[0]) / width, abs(pose.shift[1]) / height) for pose in seen)
    turned = max(abs(pose.angle) for pose in seen)
    lowest = float(np.quantile([pose.confidence for pose in seen], _RARE))
    return {
        "shift": round(min(BEYOND * shifted + LEAST_SHIFT, WIDEST_SHIFT), 3),
        "turn": round(min(BEYOND * turned + LEAST_TURN, MOST_TURN), 1),
        "least_confidence": round(max(SAFETY * lowest, FIRST_CONFIDENCE), 3),
    }


def _lost(count: int, good: Sequence[object]) -> UsageError:
    return UsageError(
        f"the part was found in {count} of {len(good)} good pictures only; name the rectangle round it, allow a larger "
        "shift or turn, or use --align none"
    )


def _seen(pose: Pose) -> bool:
    """Return whether a pose is good enough to make a reference with: other pictures than the median mislead."""
    return pose.found or (pose.confidence >= FIRST_CONFIDENCE and pose.detail in (UNCLEAR, SEVERAL))


def part_of(picture: Frame) -> tuple[int, int, int, int]:
    """Return x, y, width, height round what stands out from the background.

    Raises:
        UsageError: Nothing does.
    """
    mask = foreground_mask(picture)
    if mask.all():
        raise UsageError(
            "no part stands out from the background in the good pictures; name the rectangle round it "
            "(x,y,width,height)"
        )
    rows, columns = mask.shape
    x, y, width, height = cv2.boundingRect(mask)
    aside, above = round(_MARGIN * width), round(_MARGIN * height)
    left, top = max(x - aside, 0), max(y - above, 0)
    return left, top, min(x + width + aside, columns) - left, min(y + height + above, rows) - top


def part_outline(alignment: Alignment) -> Area | None:
    """Return the outline of the part in the reference, or `None` if it does not stand out from the background there.

    In every other pose another piece of the background lies beside the part, so it must not be judged. The outline is
    convex and a little larger than the part: it holds the part's edges and a burr, and no dent in them is cut away.
    """
    x, y, width, height = alignment.part
    box = np.zeros(alignment.reference.shape[:2], np.uint8)
    box[y : y + height, x : x + width] = 1
    mask = foreground_mask(alignment.reference)
    if mask.all() or not (mask & box).any():
        return None
    hull = cv2.convexHull(cv2.findNonZero(mask & box))
    _, _, across, down = cv2.boundingRect(hull)
    if across < _WHOLE * width or down < _WHOLE * height:
        return None
    reach = round(_MARGIN * max(across, down))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    larger = cv2.dilate(cv2.fillConvexPoly(np.zeros_like(box), hull, 255), disc)
    (ring,), _ = cv2.findContours(larger, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return Area.model_validate({"name": OUTLINE, "rings": (tuple((int(px), int(py)) for px, py in ring[:, 0]),)})


def _check(pictures: Sequence[Frame], others: Sequence[Frame]) -> None:
    if not pictures:
        raise UsageError("an alignment is learnt from good pictures, and there is none")
    for picture in [*pictures, *others]:
        if picture.shape != pictures[0].shape:
            (height, width), (rows, columns) = pictures[0].shape[:2], picture.shape[:2]
            raise UsageError(
                f"pictures of {width}x{height} and of {columns}x{rows} pixels cannot be aligned with each other; give "
                "pictures of one size, or use --align none"
            )


def _middle(
    pictures: Sequence[Frame], part: tuple[int, int, int, int] | None
) -> tuple[Frame, tuple[int, int, int, int]]:
    """Return the picture whose part lies most in the middle of all, and the part's rectangle there."""
    if part is not None:
        return _medoid(pictures), part
    parts = []
    for picture in pictures:
        try:
            parts.append((picture, part_of(picture)))
        except UsageError:
            continue
    if len(parts) < _FEWEST * len(pictures):
        part_of(np.zeros_like(pictures[0]))  # says that no part stands out
    boxes = np.array([box for _, box in parts], float)
    boxes[:, :2] += boxes[:, 2:] / 2
    return parts[int(np.abs(boxes - np.median(boxes, axis=0)).sum(1).argmin())]


def _medoid(pictures: Sequence[Frame]) -> Frame:
    """Return the picture that differs least from the others."""
    small = np.stack([cv2.resize(each, (64, 64), interpolation=cv2.INTER_AREA).reshape(-1) for each in pictures])
    distances = np.abs(small[:, None].astype(np.float32) - small[None]).mean(2)
    return pictures[int(distances.mean(1).argmin())]


def _poses(alignment: Alignment, pictures: Sequence[Frame]) -> list[Pose]:
    aligner = Aligner(alignment)
    return [aligner.find(picture) for picture in pictures]


def _moved_to_the_middle(
    alignment: Alignment, pictures: Sequence[Frame], poses: Sequence[Pose]
) -> tuple[Alignment, list[Pose]]:
    """Return the alignment with the picture in the middle pose as reference, and the poses against it."""
    found = [number for number, pose in enumerate(poses) if _seen(pose)]
    if not found:
        return alignment, list(poses)
    places = np.array([(*poses[number].shift, poses[number].angle) for number in found])
    best = found[int(np.abs(places - np.median(places, axis=0)).sum(1).argmin())]
    x, y, width, height = alignment.part
    rows, columns = pictures[best].shape[:2]
    left, top = (round(v) for v in np.add((x, y), poses[best].shift))
    part = (min(max(left, 0), columns - width), min(max(top, 0), rows - height), width, height)
    moved = replace(alignment, reference=pictures[best], part=part)
    return moved, _poses(moved, pictures)


def _median(alignment: Alignment, pictures: Sequence[Frame], poses: Sequence[Pose]) -> Frame:
    """Return the median of the pictures whose part was found, aligned; the old reference if there are too few."""
    aligner = Aligner(alignment)
    aligned = [aligner.align(picture, pose) for picture, pose in zip(pictures, poses, strict=True) if _seen(pose)]
    if len(aligned) < 3:
        return alignment.reference
    median: NDArray[np.float64] = np.median(np.stack(aligned), axis=0)
    return np.asarray(median + 0.5, np.uint8)
