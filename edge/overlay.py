"""Pictures for people: the anomaly map over the frame, regions, contact sheets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.contract.messages import Region
from edge_inspect.edge.frame.areas import Areas
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.text import clean

ACCEPT = (80, 180, 60)
REJECT = (60, 60, 230)
LOOK = (230, 200, 60)
IGNORE = (0, 165, 255)
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


def draw_areas(frame: Frame, areas: Areas) -> Frame:
    """Return a copy of the frame with the outlines and names of its areas; what is not looked at is darker."""
    drawn = np.where(areas.looked_at()[..., None], frame, frame // 2)
    scale = max(frame.shape[:2]) / 640
    for area, colour in (*((each, LOOK) for each in areas.look), *((each, IGNORE) for each in areas.ignore)):
        rings = [np.array(ring, np.int32) for ring in area.rings]
        cv2.polylines(drawn, rings, isClosed=True, color=colour, thickness=max(1, round(scale)))
        x, y = rings[0][rings[0].sum(axis=1).argmin()]
        place = int(max(x, 0) + 4 * scale), int(max(y, 0) + 14 * scale)
        cv2.putText(drawn, ascii_of(area.name), place, cv2.FONT_HERSHEY_SIMPLEX, 0.42 * scale, colour, 1, cv2.LINE_AA)
    return np.asarray(drawn, np.uint8)


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
