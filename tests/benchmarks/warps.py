"""Compare how OpenCV moves and resizes pictures, between two releases, and what each operation costs.

    python tests/benchmarks/warps.py --out here.npz          # in an environment with one OpenCV, or on one processor
    python tests/benchmarks/warps.py --compare here.npz      # in the other one

Prints for each picture and operation the share of values that differ, and the largest difference in levels.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 640, 480
POSES = {"shifted": (0.0, 3.37, -2.21), "turned by 7": (7.3, 12.4, 5.9), "turned by 20": (-19.9, -30.2, 8.8)}
ROUNDS = 20


def pictures() -> dict[str, NDArray[np.uint8]]:
    """Return noise and a smooth picture, (480, 640, 3) uint8, the same everywhere."""
    noise = np.frombuffer(random.Random(3).randbytes(WIDTH * HEIGHT * 3), np.uint8).reshape(HEIGHT, WIDTH, 3)
    small = np.ascontiguousarray(noise[:30, :40])
    smooth = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR_EXACT)
    return {"noise": noise, "smooth": np.asarray(smooth, np.uint8)}


def operations() -> dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]]:
    """Return what is done to a picture, by name: each pose of edge/frame/alignment.py, and kinds of resizing."""
    done: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {}
    for name, (angle, across, down) in POSES.items():
        matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), angle, 1.0)
        matrix[:, 2] += (across, down)
        done[f"warpAffine, {name}"] = lambda picture, matrix=matrix: cv2.warpAffine(
            cv2.cvtColor(picture, cv2.COLOR_BGR2BGRA),
            matrix,
            (WIDTH, HEIGHT),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
    for size in ((320, 240), (256, 256)):
        for kind in ("INTER_LINEAR", "INTER_LINEAR_EXACT", "INTER_AREA"):
            done[f"resize {kind} to {size[0]}x{size[1]}"] = lambda picture, size=size, kind=kind: cv2.resize(
                picture, size, interpolation=getattr(cv2, kind)
            )
    return done


def shortest(work: Callable[[], object]) -> float:
    """Return the shortest of some times that a piece of work takes, in milliseconds."""
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return 1000 * min(times)


def main() -> None:
    """Do every operation on every picture, and print what it costs and how it differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep the results in this .npz")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="compare with the results in this .npz")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"OpenCV {cv2.__version__}")
    made = {}
    other = np.load(arguments.compare) if arguments.compare else {}
    for operation, work in operations().items():
        for name, picture in pictures().items():
            key = f"{operation}, {name}"
            made[key] = work(picture)
            says = f"{key:52} {shortest(lambda work=work, picture=picture: work(picture)):6.3f} ms"  # type: ignore[misc]
            if key in other:
                apart = np.abs(made[key].astype(int) - other[key])
                says += f"  {100 * (apart > 0).mean():5.2f} % differ, by {apart.max()} at most"
            print(says)
    if arguments.out:
        np.savez_compressed(arguments.out, **made)


if __name__ == "__main__":
    main()
