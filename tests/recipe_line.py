"""What tests and the benchmark of recipes share: bundles that judge a picture differently, and a triggered line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tiny_bundle import write

from edge_inspect.edge.frame.images import write_image

ACCEPTS, REJECTS = "bottle", "jar"
"""Recipes: the first accepts the picture, the second rejects it."""


def write_bundles(folder: Path) -> None:
    """Writes a bundle for each recipe; their networks and thresholds differ."""
    write(folder / ACCEPTS, seed=21, threshold=100.0)
    write(folder / REJECTS, seed=22)


def write_frames(folder: Path, count: int = 1, size: tuple[int, int] = (48, 80)) -> Path:
    """Writes pictures that one recipe accepts and the other rejects."""
    rng = np.random.default_rng(3)
    for i in range(count):
        write_image(folder / f"{i:02}.png", rng.integers(0, 256, (*size, 3), np.uint8))
    return folder


def station(work: Path, *, pattern: bool = False, **more: Any) -> dict[str, Any]:
    """Returns the settings of a triggered station with both recipes; with patterns, ids begin with a recipe's name."""
    recipes = [
        {"name": name, "bundle": str(work / "bundles" / name), "part_ids": [f"{name}-*"] if pattern else []}
        for name in (ACCEPTS, REJECTS)
    ]
    return {
        "name": "a",
        "camera": f"folder:{work / 'frames'}?loop=true",
        "recipes": recipes,
        "policy": "every",
        "trigger": "command",
        "queue": 256,
        **more,
    }


def is_right(verdict: dict[str, Any], recipe: str) -> bool:
    """Whether a part was judged by this recipe: by its name, and by what its bundle says of the picture."""
    return bool(
        verdict["recipe"] == recipe and verdict["bundle"]["name"] == recipe and verdict["ok"] is (recipe == ACCEPTS)
    )
