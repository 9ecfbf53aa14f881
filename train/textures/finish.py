"""The finish: effects of camera, lamp and file on any picture."""

from __future__ import annotations

import cv2
import numpy as np

from edge_inspect.train.textures.arrays import Image, Rng
from edge_inspect.train.textures.paint import lit


def finished(image: Image, rng: Rng) -> Image:
    """Return the finished picture: moved, lit, focused, graded, with noise and compression."""
    image = _move(image, rng) if rng.random() < 0.6 else image
    size = image.shape[:2]
    if rng.random() < 0.4:
        lamp = cv2.resize(rng.uniform(0.35, 1.25, (3, 3)).astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC)
        image = lit(image, lamp)
    focus = rng.random()
    if focus < 0.2:
        image = cv2.GaussianBlur(image, (0, 0), float(np.exp(rng.uniform(-0.7, 1))))
    elif focus < 0.4:
        image = cv2.addWeighted(image, 2, cv2.GaussianBlur(image, (0, 0), 1.0), -1, 0)
    if rng.random() < 0.3:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    mean, deviation = (float(s.mean()) for s in cv2.meanStdDev(image))
    wanted = rng.uniform(30, 75)  # grey levels; photographs have about 60
    gain = min(max(wanted / (deviation + 1e-3), 0.7), 4)
    levels = (np.arange(256) - mean) * gain + (0.6 * mean + 0.4 * rng.uniform(50, 205))
    image = cv2.LUT(image, np.clip(levels, 0, 255).astype(np.uint8))
    if rng.random() < 0.25:
        noise = rng.standard_normal((*size, 1), dtype=np.float32) * np.float32(rng.uniform(2, 14))
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 90))])[1]
        decoded = cv2.imdecode(packed, cv2.IMREAD_COLOR)
        assert decoded is not None
        image = decoded
    return image


def _move(image: Image, rng: Rng) -> Image:
    """Move the picture to a random view: rotate, zoom in, shear, tilt."""
    height, width = image.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    turn, zoom = rng.choice([rng.normal(0, 0.15), rng.uniform(0, 6.3)]), np.exp(rng.uniform(-0.6, 0.2))
    c, s = zoom * np.cos(turn), zoom * np.sin(turn)
    middle = np.array([width, height]) / 2
    view = (corners - middle) @ np.array([[c, s], [-s, c]]) + middle + rng.normal(0, 0.06 * max(width, height), (4, 2))
    matrix = cv2.getPerspectiveTransform(view.astype(np.float32), corners)
    return cv2.warpPerspective(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
