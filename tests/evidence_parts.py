"""Evidence for tests: parts written to disk as the evidence writer does."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_inspect.edge.contract.messages import Region, Verdict
from edge_inspect.edge.engines import AnomalyMap
from edge_inspect.edge.evidence.saved_part import PartToSave, pack
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame

REGION = Region(bbox=(10, 12, 8, 6), area_px=30, peak=2.0, centroid=(14.0, 15.0), area_name="rim")


def frame(seed: int = 0) -> Frame:
    return np.random.default_rng(seed).integers(0, 255, (48, 64, 3), np.uint8)


def save(
    root: Path,
    of: Verdict,
    *,
    station: str = "station1",
    site: str | None = "plant1",
    line: str | None = "line1",
    regions: tuple[Region, ...] = (),
    day: str | None = None,
) -> Path:
    """Write a part as the evidence writer does; return the station's folder."""
    _, placement = Fit(32, 32).apply(frame())
    values = np.full((32, 32), 0.5, np.float32)
    values[6:9, 5:9] = of.score
    near = abs(of.score - of.threshold) <= 0.1 * of.threshold
    part = PartToSave(
        station, of, regions, near, frame(of.sequence), AnomalyMap(values, placement, of.score), False, site, line
    )
    folder = root / (day or f"{of.decided_at:%Y-%m-%d}") / station
    for name, data in pack(part, "png").items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder
