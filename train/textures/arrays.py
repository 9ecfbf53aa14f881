"""Types of the arrays that make up a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator
Size = tuple[int, int]
Image = NDArray[np.uint8]
Field = NDArray[np.float32]
