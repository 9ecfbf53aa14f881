"""A fleet for tests and benchmarks: services with several stations each, and bundles that judge their frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tiny_bundle
import yaml

from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.engines.opening import open_checked_engine
from edge_inspect.edge.frame.images import list_images, read_image, write_image

FRAMES = 10
NEVER = 1000.0
"""A threshold that no part exceeds."""


def write_bundles(folder: Path, *, bad_share: float = 0.3) -> dict[str, Bundle]:
    """Write the stations' frames and bundles below a folder, in `frames` and `bundles`.

    Args:
        folder: An empty folder.
        bad_share: Share of the frames that the bundle `bad` rejects.

    Returns:
        The bundles by name: `old` and `new` reject nothing, `bad` rejects some parts, and `breaks` fails on some.
    """
    rng = np.random.default_rng(5)
    for i in range(FRAMES):
        frame = rng.integers(60 + 10 * i, 80 + 17 * i, (48, 80, 3), np.uint8)
        # A dark one, at which the bundle `breaks` fails.
        write_image(folder / "frames" / f"{i:02}.png", frame if i else np.zeros_like(frame))
    made = {"old": tiny_bundle.write(folder / "bundles" / "old", threshold=NEVER)}
    with open_checked_engine(made["old"]) as engine:
        scores = sorted(engine.infer(read_image(path)).score for path in list_images(folder / "frames"))
    limit = FRAMES - round(bad_share * FRAMES)
    between = (scores[limit - 1] + scores[limit]) / 2
    assert scores[limit - 1] < between < scores[limit], scores
    made["new"] = tiny_bundle.write(folder / "bundles" / "new", threshold=NEVER + 1)
    made["bad"] = tiny_bundle.write(folder / "bundles" / "bad", threshold=between)
    made["breaks"] = tiny_bundle.write(folder / "bundles" / "breaks", threshold=NEVER, fails_in_the_dark=True)
    for draft in (folder / "bundles").glob("*-draft"):
        draft.rename(folder / draft.name)
    return made


def write_service(
    folder: Path, shared: Path, port: int, names: list[str], *, fps: float = 20, line: str = "line1", **more: Any
) -> Path:
    """Write the configuration of a service whose stations inspect the frames of `shared`, and return its path."""
    camera = f"folder:{shared}/frames?fps={fps:g}&loop=true"
    folder.mkdir(exist_ok=True)
    settings = {
        "site": "plant",
        "line": line,
        "stations": [{"name": name, "camera": camera, "bundle": str(shared / "bundles" / "old")} for name in names],
        "mqtt": {"host": "127.0.0.1", "port": port, "backoff_cap_s": 0.5},
        "outbox": {"path": str(folder / "outbox.db")},
        "engine": {"precision": "preferred"},
        "bundles": {"folder": str(shared / "bundles")},
        "commands": {"allow": ["bundle"]},
        "health_every_s": 1,
        **more,
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def digest_of(folder: Path, name: str) -> str:
    """The digest of a bundle that `write_bundles` has made."""
    return open_bundle(folder / "bundles" / name).digest
