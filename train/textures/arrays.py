"""What the parts of a picture are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator
Size = tuple[int, int]
Image = NDArray[np.uint8]
Field = NDArray[np.float32]
