"""The kernels on odd sizes, for an AddressSanitizer build: `python sanitized.py LIBRARY [--outside]`.

A program of its own, because the sanitizer must be loaded before everything else. `--outside` reads one value too far.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from kernels.host import HeadRun, Host, distances

from edge_inspect.edge.frame.fit import MEAN, STD, Fit
from edge_inspect.edge.frame.tiles import Grid
from edge_inspect.edge.kernels.launch import Launch, structure
from edge_inspect.edge.kernels.preprocess import plan


def main(library: Path, outside: bool) -> None:
    """Run every kernel once on buffers that it could read beyond the end."""
    rng, host = np.random.default_rng(0), Host(library, 1)
    if outside:
        read_outside(host)
    for dtype in (np.float32, np.float16):
        for layout in ("nchw", "nhwc"):
            pairs = [[rng.random((2, *s)).astype(dtype) for s in ((13, 7, 9), (64, 8, 8))] for _ in range(2)]
            maps = distances(host, *pairs, layout=layout)
    for width, height, grid in ((131, 19, (1, 1)), (48, 24, (2, 2))):
        tiles = Grid(width, height, *grid, overlap=8)
        maps = [rng.random((1, 7 * grid[1], 9 * grid[0]), dtype=np.float32) for _ in range(2)]
        HeadRun([(7, 9), (7, 9)], tiles, 1)(host, maps, top=5)
    for fit in (Fit(64, 32, "pad"), Fit(32, 32, "tile", tiles=(2, 1), overlap=8)):
        preprocess(host, fit, rng.integers(0, 256, (101, 83, 3), np.uint8))
    print("all kernels ran")


def preprocess(host: Host, fit: Fit, frame: np.ndarray) -> None:
    """A frame to the network's input."""
    made = plan(fit, frame.shape[1], frame.shape[0])
    pictures = [np.zeros((h, w, 3), np.uint8) for w, h in made.steps]
    result = np.zeros((fit.grid.count, 3, fit.height, fit.width), np.float32)
    between = [picture.ctypes.data for picture in pictures]
    for launch in made.launches(frame.ctypes.data, frame.strides[0], between, result.ctypes.data, mean=MEAN, std=STD):
        host.run(launch)


def read_outside(host: Host) -> None:
    """The shim's own fault: 64 threads read 1 to 64 of 64 values."""
    source, result = np.zeros(64, np.float32), np.zeros(64, np.float32)
    parameters = np.zeros(1, structure([("from", "u8"), ("to", "u8"), ("which", "i4")]))
    parameters[0] = (source.ctypes.data, result.ctypes.data, 7)
    host.run(Launch("fault", (1, 1, 1), (64, 1, 1), parameters))


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--outside" in sys.argv)
