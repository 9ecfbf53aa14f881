"""The anomaly map as a small grey picture in the plane of the frame, for pages that lay it over the frame."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.engines import AnomalyMap

WIDTH = 320
"""Largest width of the picture in pixels."""
AT_THRESHOLD = 128
"""Level of the picture where the map is as high as the threshold."""


def frame_map(
    anomaly: AnomalyMap, frame_size: tuple[int, int], threshold: float, width: int = WIDTH
) -> NDArray[np.uint8]:
    """Return the anomaly map in the plane of the frame, (height, width) uint8.

    Stretched to the frame's size, the picture lies in register with the frame, whatever the fit, the tiles and the pose
    of the part are. Level 0 is the score 0, 128 is the threshold, and 255 is twice the threshold or more. The level is
    0 where the network saw nothing, where the bundle's areas say not to look, and everywhere if the part was not found.

    Args:
        anomaly: The engine's map of the frame.
        frame_size: Width and height of the camera's frame in pixels.
        threshold: Threshold of the score. If it is not above 0, every value above 0 has level 255.
        width: Largest width of the picture in pixels. The picture is never wider than the frame, and has the frame's
            proportions.
    """
    across = min(width, frame_size[0])
    down = max(1, round(frame_size[1] * across / frame_size[0]))
    if not anomaly.placement.found:
        return np.zeros((down, across), np.uint8)
    step = frame_size[0] / across, frame_size[1] / down
    values = anomaly.placement.map_to_frame(_keep_peaks(anomaly, step).values, across, down, step)
    levels = np.rint(values * np.float32(AT_THRESHOLD / max(threshold, 1e-12)))
    return np.asarray(np.clip(levels, 0, 255), np.uint8)


def _keep_peaks(anomaly: AnomalyMap, step: tuple[float, float]) -> AnomalyMap:
    """Return a map whose peaks are so wide that none falls between two pixels of the picture.

    Args:
        anomaly: The map.
        step: Frame pixels per pixel of the picture, horizontally and vertically.
    """
    place = anomaly.placement
    sides = [each / scale for each, scale in zip(step, (place.scale_x, place.scale_y), strict=True)]
    if max(sides) < 2:
        return anomaly
    width, height = (2 * math.ceil(side / 2) + 1 if side >= 2 else 1 for side in sides)
    x0, y0, x1, y1 = place.valid
    values = np.zeros_like(anomaly.values)
    values[y0:y1, x0:x1] = cv2.dilate(anomaly.values[y0:y1, x0:x1], np.ones((height, width), np.uint8))
    return replace(anomaly, values=values)
