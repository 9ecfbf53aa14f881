"""Image files judged by a bundle, outside the service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edge.bundle import open_bundle
from edge.decision import Decider, Decision
from edge.engines import AnomalyMap, open_checked_engine
from edge.errors import ImageError
from edge.images import Frame, list_images, read_image, write_image
from edge.messages import Precision
from edge.overlay import blend, draw_regions


def inspect_files(
    bundle_path: Path, paths: list[Path], precision: Precision | None, overlay: Path | None
) -> Iterator[dict[str, Any]]:
    """Inspect image files and the images of folders, one result each: path, ok, score, threshold, regions.

    The engine reproduces the golden frames first, as the service's does.

    Raises:
        BundleError: The bundle is damaged.
        ImageError: A file is missing or no image; those before it have been given.
        EngineError: No engine can be built that reproduces the golden frames.
    """
    images = [image for path in paths for image in (list_images(path) if path.is_dir() else [path])]
    if not images:
        raise ImageError(f"{', '.join(map(str, paths))}: holds no images")
    bundle = open_bundle(bundle_path)
    engine = open_checked_engine(bundle, precision)
    decider = Decider(bundle, engine.precision)
    for path in images:
        frame = read_image(path)
        anomaly = engine.infer(frame)
        decision = decider.decide(anomaly)
        if overlay is not None:
            write_image(overlay / f"{path.stem}.png", draw_overlay(frame, anomaly, decision))
        yield {
            "path": str(path),
            "ok": decision.ok,
            "score": round(decision.score, 6),
            "threshold": round(decision.threshold, 6),
            "regions": [region.model_dump(mode="json") for region in decision.regions],
        }


def draw_overlay(frame: Frame, anomaly: AnomalyMap, decision: Decision) -> Frame:
    """The frame with the map over it, its regions boxed, and a border of the verdict's colour."""
    values = anomaly.placement.map_to_frame(anomaly.values, frame.shape[1], frame.shape[0])
    low = float(np.median(anomaly.values))
    return draw_regions(blend(frame, values, low, max(1.2 * decision.threshold, low)), decision.regions, decision.ok)
