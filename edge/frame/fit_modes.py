"""Constants of edge/frame/fit.py and alignment.py that command lines need. This module does not load OpenCV."""

from __future__ import annotations

from typing import Literal, get_args

Mode = Literal["stretch", "pad", "crop", "tile"]
MODES = get_args(Mode)
AlignMode = Literal["shift", "rigid"]
ALIGN_MODES = get_args(AlignMode)
OVERLAP = 32
"""Default number of pixels that neighbouring tiles share."""
MOST_TILES = 16
"""Largest number of tiles that is chosen automatically."""
DEPTHS = (10, 12, 14, 16)
"""Numbers of bits that the values of 16-bit pixels may use."""
