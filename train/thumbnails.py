"""Small pictures on a page: what the network sees, the outline of a defect, and the anomaly map over the picture."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.overlay import blend, heat

THUMBNAIL = 320
JPEG_QUALITY = 82

Mask = NDArray[np.uint8]
"""(H, W) uint8, 0 or 1."""

Panel = tuple[str, Frame]
"""A picture with its description as HTML: (description, picture)."""


def size_of(width: float, height: float) -> tuple[int, int]:
    """Return width and height of a thumbnail with these proportions, at most 320 pixels on either side."""
    scale = min(1.0, THUMBNAIL / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def small(picture: Frame, size: tuple[int, int]) -> Frame:
    """Return a picture at the size of a thumbnail."""
    shrinks = size[0] <= picture.shape[1] and size[1] <= picture.shape[0]
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))


def small_map(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return an anomaly map at the size of a thumbnail."""
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), np.float32)


def small_mask(mask: NDArray[np.bool_], size: tuple[int, int]) -> Mask:
    """Return a mask at the size of a thumbnail; even the smallest mark remains."""
    return np.asarray(cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0, np.uint8)


def panels(
    name: str,
    picture: Frame,
    anomaly: NDArray[np.float32],
    scale: tuple[float, float],
    truth: Mask | None = None,
    above: Mask | None = None,
) -> list[Panel]:
    """Return a picture, the same with the true defect outlined if there is one, and with the map over it, in one size.

    Args:
        name: Name of what the pictures show, as HTML.
        picture: (H, W, 3) uint8 BGR.
        anomaly: Anomaly map of the picture, (H, W).
        scale: Values at which the colours of maps begin and end.
        truth: Mask of the defect.
        above: Mask of where the map reaches the threshold, which is outlined too.
    """
    shown = [(f"{name}: the image", picture)]
    if truth is not None:
        shows_on_any_ground = outlined(outlined(picture, truth, (0, 0, 0), 4), truth, (0, 255, 255), 2)
        shown.append((f"{name}: the true defect, outlined", shows_on_any_ground))
    overlay = blend(picture, anomaly, *scale)
    if above is not None:
        overlay = outlined(overlay, above, (255, 255, 255), 1)
    return [*shown, (f"{name}: the anomaly map over the image", overlay)]


def side_by_side(shown: Sequence[Panel]) -> str:
    """Return panels in one row, as HTML."""
    images = "".join(inline(picture, title) for title, picture in shown)
    return f'<div class="pictures{" three" if len(shown) == 3 else ""}">{images}</div>'


def scale_bar(low: float, high: float) -> str:
    """Return a bar with the colours of maps, and the values at which they begin and end."""
    colours = heat(np.linspace(0, 1, 160, dtype=np.float32)[None].repeat(12, axis=0), 0, 1)
    return f'<div class="scale soft">≤ {low:.3g} {inline(colours, "colours from low to high")} ≥ {high:.3g}</div>'


def outlined(picture: Frame, mask: Mask, colour: tuple[int, int, int], thickness: int) -> Frame:
    """Return a copy of a picture with the outlines of a mask drawn in a colour, BGR."""
    drawn: Frame = picture.copy()
    contours = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0]
    cv2.drawContours(drawn, contours, -1, colour, thickness)
    return drawn


def inline(picture: Frame, alt: str) -> str:
    """Return an `img` element that contains the picture; `alt` is HTML."""
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
    height, width = picture.shape[:2]
    source = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    return f'<img alt="{alt}" width="{width}" height="{height}" src="{source}">'
