"""The data set's AUPRO at 0.3: time and value of train/metrics.py against anomalib's, on the same maps.

    python tests/benchmarks/aupro.py --anomalib-python VENV/bin/python [--pairs 5] [--threads 1 2]

VENV is an environment of its own: `python -m venv VENV && VENV/bin/pip install anomalib`. It runs as one subprocess
that waits between its turns; the two sides take turns on the same seeded synthetic maps, after one untimed turn each,
and the times are medians over the turns. Timed is the way from arrays (tensors there) in memory to the value, on the
CPU, with the same number of threads allowed to both: ours has no use for a second one.

Like with like: anomalib 2.7 means the same by AUPRO as we do. Every distinct score is a threshold, regions have 8
neighbours and count alike, the false-positive rate is that of all normal pixels, the last trapezoid is cut at the limit
and the area divided by it. No setting is needed; it computes in float32, hence what difference there is.

Writes results/aupro.csv, a row per number of threads. Exit status 1 where ours is not 5 times as fast or the values are
more than 1e-4 apart.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from table import RESULTS, processor, write

from edge_inspect.train.metrics import aupro

TABLE = RESULTS / "aupro.csv"
MAPS, SIZE, SEED = 200, 256, 0
LEAST_RATIO, LARGEST_DIFFERENCE = 5, 1e-4

THEIRS = """
import json, sys, time
from importlib.metadata import version
import cv2, numpy as np, torch
from anomalib.data import ImageBatch
from anomalib.metrics import AUPRO

data = np.load(sys.argv[1])
maps, masks = torch.from_numpy(data["maps"]), torch.from_numpy(data["masks"]).bool()
image = torch.zeros(1, 1, 1, 1).expand(len(maps), 3, *maps.shape[1:])  # a batch must have one; AUPRO does not look
batch = ImageBatch(image=image, anomaly_map=maps, gt_mask=masks)
print(json.dumps({"anomalib_version": version("anomalib"), "torch_version": version("torch")}), flush=True)
for line in sys.stdin:
    torch.set_num_threads(int(line))
    cv2.setNumThreads(int(line))
    metric = AUPRO(fields=["anomaly_map", "gt_mask"], fpr_limit=0.3)
    started = time.perf_counter()
    metric.update(batch)
    value = float(metric.compute())
    print(json.dumps({"seconds": time.perf_counter() - started, "value": value}), flush=True)
"""


def main() -> None:
    """Takes both sides' times and writes the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anomalib-python", type=Path, required=True, help="interpreter that has anomalib")
    parser.add_argument("--pairs", type=int, default=5, help="turns of each side (default 5)")
    parser.add_argument(
        "--threads", type=int, nargs="+", default=sorted({1, os.cpu_count() or 1}), help="default: 1, and all"
    )
    arguments = parser.parse_args()
    maps, masks = synthetic_maps()
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "maps.npz"
        np.savez(data, maps=maps, masks=masks)
        command = [str(arguments.anomalib_python), "-c", THEIRS, str(data)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as theirs:
            versions = answer(theirs)
            rows = [
                compare(theirs, maps, masks, threads, arguments.pairs)
                | versions
                | {"numpy_version": np.__version__, "processor": processor()}
                for threads in arguments.threads
            ]
            assert theirs.stdin is not None
            theirs.stdin.close()
    write(TABLE, rows)
    for row in rows:
        print(*(f"{key:18} {value}" for key, value in row.items()), sep="\n", end="\n\n")
    if any(row["ratio"] < LEAST_RATIO or row["difference"] > LARGEST_DIFFERENCE for row in rows):
        sys.exit(f"not {LEAST_RATIO} times as fast, or more than {LARGEST_DIFFERENCE} apart")


def synthetic_maps() -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Smooth noise, (200, 256, 256), and ground truth: in two of three, two to six ellipses that it partly sees."""
    rng = np.random.default_rng(SEED)
    maps, masks = np.zeros((MAPS, SIZE, SIZE), np.float32), np.zeros((MAPS, SIZE, SIZE), np.uint8)
    for i in range(MAPS):
        noise = cv2.GaussianBlur(rng.normal(size=(SIZE, SIZE)).astype(np.float32), (0, 0), 4)
        maps[i] = noise / noise.std()
        for _ in range(rng.integers(2, 7) if i % 3 else 0):
            defect = np.zeros((SIZE, SIZE), np.uint8)
            centre, axes = rng.integers(20, SIZE - 20, 2).tolist(), rng.integers(3, 20, 2).tolist()
            cv2.ellipse(defect, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
            maps[i] += rng.uniform(0, 4) * cv2.GaussianBlur(defect.astype(np.float32), (0, 0), 4)
            masks[i] |= defect
    return maps, masks


def compare(
    theirs: subprocess.Popen[str], maps: NDArray[np.float32], masks: NDArray[np.uint8], threads: int, pairs: int
) -> dict[str, Any]:
    """One row: both sides in turn, `pairs` times."""
    cv2.setNumThreads(threads)
    times: dict[str, list[float]] = {"ours": [], "anomalib": []}
    for turn in range(pairs + 1):
        started = time.perf_counter()
        ours = aupro(maps, masks, 0.3)
        seconds = time.perf_counter() - started
        other = answer(theirs, threads)
        if turn:  # the first is to warm up
            times["ours"].append(seconds)
            times["anomalib"].append(other["seconds"])
    return {
        "maps": MAPS,
        "size": f"{SIZE}x{SIZE}",
        "good_maps": int((~masks.any(axis=(1, 2))).sum()),
        "regions": sum(cv2.connectedComponents(mask, connectivity=8)[0] - 1 for mask in masks),
        "threads": threads,
        "pairs": pairs,
        "ours_seconds": round(median(times["ours"]), 4),
        "anomalib_seconds": round(median(times["anomalib"]), 4),
        "ratio": round(median(times["anomalib"]) / median(times["ours"]), 1),
        "ours_value": round(ours, 8),
        "anomalib_value": round(other["value"], 8),
        "difference": float(f"{abs(ours - other['value']):.1e}"),
    }


def answer(theirs: subprocess.Popen[str], threads: int | None = None) -> dict[str, Any]:
    """What the subprocess says next, after being given its turn with so many threads."""
    assert theirs.stdin is not None and theirs.stdout is not None
    if threads is not None:
        print(threads, file=theirs.stdin, flush=True)
    line = theirs.stdout.readline()
    if not line:
        sys.exit("the subprocess with anomalib has ended; what it said is above")
    found: dict[str, Any] = json.loads(line)
    return found


if __name__ == "__main__":
    main()
