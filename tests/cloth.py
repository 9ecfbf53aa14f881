"""Noisy pictures of one texture: good parts for tests of training."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.train.textures import render_textures


def cloth_pictures() -> NDArray[np.uint8]:
    """Ten of them, (10, 64, 64, 3)."""
    rng = np.random.default_rng(0)
    base = next(render_textures(1, (64, 64), seed=11)).astype(int)
    return np.stack([np.clip(base + rng.normal(0, 12, base.shape), 0, 255).astype(np.uint8) for _ in range(10)])


def write_cloth(folder: Path) -> Path:
    """Write them as the good pictures of a category; return its folder."""
    (folder / "good").mkdir()
    for i, picture in enumerate(cloth_pictures()):
        cv2.imwrite(str(folder / "good" / f"{i:02d}.png"), picture)
    return folder
