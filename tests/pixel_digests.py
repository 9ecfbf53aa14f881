"""What pictures must become before the network sees them: the same pixels on every box.

    python tests/pixel_digests.py        # in any environment in which edge-inspect is installed

Prints the cases whose pixels are others and ends with status 1, or with 0 if there are none. It needs nothing but the
runtime, so that it can run on another architecture and beside another OpenCV.
"""

from __future__ import annotations

import hashlib
import random
import sys

import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.resizing import resize

RESIZED = {
    # (width, height, channels) to (width, height): sha256 of the bytes, its first 16 digits
    ((640, 480, 3), (320, 240)): "015930a28bc32c59",  # halved
    ((640, 480, 3), (256, 256)): "e27f5fec825b6371",  # halved, then 320x240 to 256x256
    ((1281, 961, 3), (256, 224)): "e17b952b28fbaad9",  # halved twice, odd sides made even first
    ((480, 480, 3), (256, 256)): "ae76a89367308646",
    ((375, 281, 3), (256, 256)): "bda6e809bb4a310c",  # every share lies between two units
    ((640, 200, 3), (256, 192)): "5fd3377dd3aa8755",  # only one side halved
    ((123, 75, 3), (256, 256)): "208fc05430fd1184",  # enlarged
    ((1, 1, 3), (32, 32)): "28598d5cbfc106b7",
    ((375, 281, 1), (256, 256)): "13b9766fa3eeac51",
}
FITTED = {
    # what is done to a frame of 641x479 pixels
    Fit(256, 256): "dd316dd208f2fc76",
    Fit(256, 256, "crop"): "79d2f2950f54c950",
    Fit(256, 192, "pad"): "b77071e59d8ec844",
    Fit(128, 128, "tile", tiles=(3, 2)): "f5f0222a0d9bd302",
    Fit(256, 256, grey=True): "c7db2ae1f0795b48",
    Fit(256, 256, region=(33, 21, 500, 407)): "5e34e7c3c7f70f02",
}


def noise(width: int, height: int, channels: int) -> NDArray[np.uint8]:
    """Return a picture of noise that is the same everywhere, (height, width) or (height, width, channels)."""
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.frombuffer(random.Random(width * height).randbytes(width * height * channels), np.uint8).reshape(shape)


def digest(picture: NDArray[np.uint8]) -> str:
    """Return the first 16 hexadecimal digits of the sha256 of a picture's bytes."""
    return hashlib.sha256(np.ascontiguousarray(picture).tobytes()).hexdigest()[:16]


def found() -> dict[str, tuple[str, str]]:
    """Return the digest that each case has here, and the one that it must have, by the case's name."""
    cases = {}
    for (size, target), wanted in RESIZED.items():
        name = f"{size[0]}x{size[1]}, {size[2]} channels, to {target[0]}x{target[1]}"
        cases[name] = digest(resize(noise(*size), *target)), wanted
    frame = noise(641, 479, 3)
    for fit, wanted in FITTED.items():
        cases[f"641x479 by {fit}"] = digest(fit.apply(frame)[0]), wanted
    return cases


def main() -> int:
    """Print each case whose pixels are others than they must be."""
    others = {name: (here, wanted) for name, (here, wanted) in found().items() if here != wanted}
    for name, (here, wanted) in others.items():
        print(f"{name}: {here}, must be {wanted}")
    return min(len(others), 1)


if __name__ == "__main__":
    sys.exit(main())
