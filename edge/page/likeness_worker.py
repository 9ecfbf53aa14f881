"""The process that describes pictures for "parts like this one"; the page starts it when somebody asks.

It has the lowest priority and one thread, so that it takes no time from a station on the same box. It reads jobs from
its standard input, one line of JSON each, and answers each with a line. It ends when its input ends.

    python -m edge_inspect.edge.page.likeness_worker BUNDLE     describes by the memory of a bundle
    python -m edge_inspect.edge.page.likeness_worker            describes by colours and edges
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.errors import EdgeInspectError, ImageError
from edge_inspect.edge.frame.images import Frame, read_image
from edge_inspect.edge.page.picture_features import describe

Describe = Callable[[Frame, "Sequence[int] | None"], "NDArray[np.float32] | None"]


def main() -> None:
    """Answer the jobs of standard input. The first line of the output says what the pictures are described by."""
    with contextlib.suppress(OSError):
        os.nice(19)
    cv2.setNumThreads(1)
    by_memory = _memory(Path(sys.argv[1])) if len(sys.argv) > 1 else None
    _answer({"used": "picture" if by_memory is None else "memory"})
    for line in sys.stdin:
        job = json.loads(line)
        _answer({"vector": _encoded(_described(job, by_memory or describe))})


def _memory(path: Path) -> Describe | None:
    """Return what describes a picture by the memory of a bundle; `None` if the bundle has none that can be opened."""
    # Importing OpenVINO takes a second, and is not needed where there is no bundle.
    from edge_inspect.edge.page.memory_features import MemoryFeatures

    try:
        features = MemoryFeatures(open_bundle(path))
    except EdgeInspectError as error:
        print(error, file=sys.stderr, flush=True)
        return None
    return (lambda frame, _region: features.describe(frame)) if features.banks else None


def _described(job: dict[str, Any], by: Describe) -> NDArray[np.float32] | None:
    try:
        frame = read_image(Path(job["picture"]))
    except ImageError:  # deleted meanwhile, or damaged
        return None
    return by(frame, job["region"])


def _encoded(vector: NDArray[np.float32] | None) -> str | None:
    return None if vector is None else base64.b64encode(vector.astype("<f2").tobytes()).decode()


def _answer(fields: dict[str, Any]) -> None:
    print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    main()
