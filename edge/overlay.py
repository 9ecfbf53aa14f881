"""Pictures for people: the anomaly map over the frame, regions, contact sheets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.contract.messages import Region
from edge_inspect.edge.frame.areas import Areas
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.frame.pose import Matrix
from edge_inspect.edge.text import clean

ACCEPT = (80, 180, 60)
REJECT = (60, 60, 230)
LOOK = (230, 200, 60)
IGNORE = (0, 165, 255)
PART = (240, 240, 240)
UNMOVED: Matrix = np.array([[1.0, 0, 0], [0, 1, 0]])
MARGIN = 6
CAPTION = 18


def heat(values: NDArray[np.float32], low: float, high: float) -> Frame:
    """Return a map, (H, W) float, in colours, (H, W, 3) BGR: dark blue at `low`, dark red at `high`."""
    scaled = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    return np.asarray(cv2.applyColorMap((scaled * 255).astype(np.uint8), cv2.COLORMAP_TURBO), np.uint8)


def blend(frame: Frame, values: NDArray[np.float32], low: float, high: float) -> Frame:
    """Return the frame in grey with a map of its size over it. The map is more opaque where it is higher."""
    grey = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    opacity = 0.7 * np.clip((values - low) / max(high - low, 1e-12), 0, 1)[..., None]
    return np.asarray(grey * (1 - opacity) + heat(values, low, high) * opacity, np.uint8)


def draw_regions(frame: Frame, regions: Iterable[Region], ok: bool) -> Frame:
    """Return a copy of the frame with a border in the colour of accept or reject, and a box around each region."""
    drawn: Frame = frame.copy()
    thickness = max(1, round(max(frame.shape[:2]) / 320))
    for region in regions:
        x, y, width, height = region.bbox
        cv2.rectangle(drawn, (x, y), (x + width - 1, y + height - 1), REJECT, thickness)
    cv2.rectangle(drawn, (0, 0), (frame.shape[1] - 1, frame.shape[0] - 1), ACCEPT if ok else REJECT, 2 * thickness)
    return drawn


def draw_areas(frame: Frame, areas: Areas, to_frame: Matrix = UNMOVED) -> Frame:
    """Return a copy of the frame with the outlines and names of its areas; what is not looked at is darker.

    Args:
        frame: (H, W, 3) uint8 BGR.
        areas: The areas, in pixels of the aligned frame.
        to_frame: `Pose.to_frame` of the part, with which the areas move.
    """
    looked_at = areas.looked_at().astype(np.uint8)
    if to_frame is not UNMOVED:
        looked_at = cv2.warpAffine(looked_at, to_frame, (frame.shape[1], frame.shape[0]), flags=cv2.INTER_NEAREST)
    drawn = np.where(looked_at[..., None] > 0, frame, frame // 2)
    for area, colour in (*((each, LOOK) for each in areas.look), *((each, IGNORE) for each in areas.ignore)):
        _draw_outline(drawn, area.rings, area.name, colour, to_frame)
    return np.asarray(drawn, np.uint8)


def draw_part(frame: Frame, part: tuple[int, int, int, int], to_frame: Matrix) -> Frame:
    """Return a copy of the frame with the rectangle of the part, x, y, width, height, where it was found."""
    x, y, width, height = part
    corners = ((x, y), (x + width - 1, y), (x + width - 1, y + height - 1), (x, y + height - 1))
    drawn: Frame = frame.copy()
    _draw_outline(drawn, (corners,), "", PART, to_frame)
    return drawn


def draw_cause(frame: Frame, cause: str) -> Frame:
    """Return a copy of the frame with the cause of a rejection written on it."""
    drawn: Frame = frame.copy()
    scale = max(frame.shape[:2]) / 640
    place = int(12 * scale), int(28 * scale)
    cv2.putText(drawn, ascii_of(cause), place, cv2.FONT_HERSHEY_SIMPLEX, 0.7 * scale, REJECT, 2, cv2.LINE_AA)
    return drawn


def _draw_outline(
    drawn: Frame, rings: Iterable[Sequence[tuple[int, int]]], name: str, colour: Sequence[int], to_frame: Matrix
) -> None:
    scale = max(drawn.shape[:2]) / 640
    moved = [np.array(ring, np.float64) @ to_frame[:, :2].T + to_frame[:, 2] for ring in rings]
    outlines = [ring.round().astype(np.int32) for ring in moved]
    cv2.polylines(drawn, outlines, isClosed=True, color=colour, thickness=max(1, round(scale)))
    x, y = outlines[0][outlines[0].sum(axis=1).argmin()]
    place = int(max(x, 0) + 4 * scale), int(max(y, 0) + 14 * scale)
    cv2.putText(drawn, ascii_of(name), place, cv2.FONT_HERSHEY_SIMPLEX, 0.42 * scale, colour, 1, cv2.LINE_AA)


def ascii_of(text: str) -> str:
    """Return a text as OpenCV's fonts can draw it: in ASCII, with question marks for other characters."""
    return clean(text).encode("ascii", "replace").decode()


def contact_sheet(rows: Sequence[tuple[str, Sequence[Frame]]], height: int = 180, columns: int = 1) -> Frame:
    """Return a picture with rows of pictures, each row below its caption.

    Args:
        rows: Caption and pictures of each row.
        height: Height to which all pictures are scaled, in pixels.
        columns: Number of rows side by side.
    """
    strips = [_strip(caption, pictures, height) for caption, pictures in rows]
    width = max(strip.shape[1] for strip in strips)
    per_column = -(-len(strips) // columns)
    sheet = np.full((per_column * strips[0].shape[0], columns * width, 3), 250, np.uint8)
    for i, strip in enumerate(strips):
        y, x = i % per_column * strip.shape[0], i // per_column * width
        sheet[y : y + strip.shape[0], x : x + strip.shape[1]] = strip
    return sheet


def _strip(caption: str, pictures: Sequence[Frame], height: int) -> Frame:
    fitted = [scaled(picture, height) for picture in pictures]
    width = sum(p.shape[1] for p in fitted) + MARGIN * (len(fitted) + 1)
    strip = np.full((height + CAPTION + MARGIN, width, 3), 250, np.uint8)
    cv2.putText(
        strip, ascii_of(caption), (MARGIN, CAPTION - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (40, 40, 40), 1, cv2.LINE_AA
    )
    x = MARGIN
    for picture in fitted:
        strip[CAPTION : CAPTION + height, x : x + picture.shape[1]] = picture
        x += picture.shape[1] + MARGIN
    return strip


def scaled(picture: Frame, height: int) -> Frame:
    """Return a picture scaled to a height, with its proportions kept."""
    width = max(1, round(picture.shape[1] * height / picture.shape[0]))
    interpolation = cv2.INTER_AREA if picture.shape[0] > height else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (width, height), interpolation=interpolation), np.uint8)
