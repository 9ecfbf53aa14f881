"""Verdicts on the same frames on two processors, for tests/arm64.sh.

    python tests/arm64_verdicts.py draw BUNDLE FOLDER        # 20 frames: the golden ones, shifted and with spots
    python tests/arm64_verdicts.py compare MOST HERE THERE   # results of `edge-inspect image --json`, or an outbox

`compare` ends with status 1 if a verdict differs, or if a score differs by more than MOST.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path

import cv2
import numpy as np

FRAMES = 20


def draw(bundle: Path, folder: Path) -> None:
    """Write the frames."""
    from edge_inspect.edge.bundle.bundle import open_bundle

    golden = [each.frame for each in open_bundle(bundle).golden()]
    folder.mkdir()
    rng = np.random.default_rng(1)
    for i in range(FRAMES):
        frame = np.roll(golden[i % len(golden)], (3 * i, 5 * i), (0, 1))
        height, width = frame.shape[:2]
        for _ in range(i // 2):
            x, y, radius = (int(each) for each in rng.integers((0, 0, 3), (width, height, 14)))
            cv2.circle(frame, (x, y), radius, [int(each) for each in rng.integers(0, 256, 3)], -1)
        cv2.imwrite(str(folder / f"{i:02}.png"), frame)


def verdicts(path: Path) -> list[tuple[bool, float]]:
    """Read verdicts and scores, in the order of the frames."""
    if path.suffix == ".db":
        stored = sqlite3.connect(path).execute("SELECT payload FROM entries WHERE kind = 'verdict' ORDER BY rowid")
        found = [json.loads(payload) for (payload,) in stored]
    else:
        found = json.loads(path.read_text())["images"]
    return [(each["ok"], each["score"]) for each in found]


def compare(most: float, here: Path, there: Path) -> str | None:
    """Print how much verdicts differ; return what is wrong."""
    ours, theirs = verdicts(here), verdicts(there)
    if len(ours) != FRAMES or len(theirs) != FRAMES:
        return f"there are {len(ours)} and {len(theirs)} verdicts, not {FRAMES}"
    different = sum(one[0] != other[0] for one, other in zip(ours, theirs, strict=True))
    worst = max(abs(one[1] - other[1]) for one, other in zip(ours, theirs, strict=True))
    rejected = sum(not ok for ok, _ in ours)
    equal = f"{FRAMES - different} of {FRAMES} verdicts are equal; here {rejected} reject"
    print(f"{there.name}: {equal}; scores differ by {worst:.1e}")
    return "they differ too much" if different or not worst <= most else None


if __name__ == "__main__":
    task, first, *paths = sys.argv[1:]
    if task == "draw":
        draw(Path(first), *map(Path, paths))
    else:
        sys.exit(compare(float(first), *map(Path, paths)))
