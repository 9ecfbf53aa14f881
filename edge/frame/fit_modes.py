"""The ways to fit a frame, by name: what a command line needs to know of edge/frame/fit.py, without loading OpenCV."""

from __future__ import annotations

from typing import Literal, get_args

Mode = Literal["stretch", "pad", "crop", "tile"]
MODES = get_args(Mode)
OVERLAP = 32
MOST_TILES = 16
DEPTHS = (10, 12, 14, 16)
"""How many bits of 16 a pixel's values may use."""
