"""Inspect image files with a bundle, outside the service."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.decision import Decider, Decision
from edge_inspect.edge.engines import AnomalyMap
from edge_inspect.edge.engines.opening import open_checked_engine
from edge_inspect.edge.errors import ImageError, UsageError
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame, pictures_of, read_image, write_image
from edge_inspect.edge.overlay import UNMOVED, blend, draw_areas, draw_cause, draw_part, draw_regions
from edge_inspect.edge.text import clean

MOST_BYTES = 200
"""Longest name of an overlay without its suffix, in bytes. File systems allow 255 with the suffix."""


def inspect_files(
    bundle_path: Path, paths: list[Path], precision: Precision | None, overlay: Path | None
) -> Iterator[dict[str, Any]]:
    """Inspect image files and the images of folders, and yield a result for each.

    As in the service, the engine must first reproduce the golden frames. An image that cannot be read does not end the
    inspection of the others.

    Args:
        bundle_path: Path of the bundle.
        paths: Image files and folders.
        precision: Precision to run; `None` means the first in the bundle's order for the engine.
        overlay: Folder for overlays; `None` writes none.

    Yields:
        `path`, `ok`, `score`, `not_found`, `threshold`, `regions` and, with overlays, `overlay`. For an image that
        cannot be read, `path` and `error`.

    Raises:
        BundleError: The bundle is damaged.
        ImageError: There is no image, or an overlay cannot be written.
        UsageError: The folder of overlays contains images that are inspected.
        EngineError: No engine that reproduces the golden frames can be built.
    """
    images = pictures_of(paths)
    overlays = name_overlays(overlay, images) if overlay is not None else {}
    bundle = open_bundle(bundle_path)
    with open_checked_engine(bundle, precision) as engine:
        decider = Decider(bundle, engine.precision)
        for path in images:
            try:
                frame = read_image(path, bundle.fit.bits)
            except ImageError as error:
                yield {"path": clean(path), "error": str(error)}
                continue
            anomaly = engine.infer(frame)
            decision = decider.decide(anomaly)
            result = {
                "path": clean(path),
                "ok": decision.ok,
                "score": round(decision.score, 6),
                "not_found": decision.not_found,
                "threshold": round(decision.threshold, 6),
                "regions": [region.model_dump(mode="json") for region in decision.regions],
            }
            if path in overlays:
                write_image(overlays[path], draw_overlay(frame, anomaly, decision, bundle.fit))
                result["overlay"] = clean(overlays[path])
            yield result


def name_overlays(folder: Path, images: Sequence[Path]) -> dict[Path, Path]:
    """Return the path of each image's overlay: `STEM.png`, or `STEM-2.png` and so on if that name is taken.

    Names that only differ in capitals, or in the encoding of an accent, count as equal, because some file systems treat
    them so.

    Args:
        folder: Folder for overlays.
        images: All images that are inspected.

    Raises:
        UsageError: Some of the images are in that folder, so that an overlay could overwrite one.
    """
    inside = folder.resolve()
    if among := [path for path in images if path.parent.resolve() == inside]:
        raise UsageError(
            f"--overlay {clean(folder)}: {clean(among[0])} is in that folder, and an overlay could overwrite it; give "
            "another folder"
        )
    named: dict[Path, Path] = {}
    taken: set[str] = set()
    for path in images:
        stem, number = _short(clean(path.stem)), 1
        name = stem
        while _as_on_disk(name) in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(_as_on_disk(name))
        named[path] = folder / f"{name}.png"
    return named


def draw_overlay(frame: Frame, anomaly: AnomalyMap, decision: Decision, fit: Fit | None = None) -> Frame:
    """Return the frame with the map over it, a box around each region, and a border in the colour of the verdict.

    Args:
        frame: The camera's frame.
        anomaly: The engine's map of it.
        decision: The verdict.
        fit: The bundle's fit, whose areas and part are outlined where they are found.
    """
    if decision.not_found is not None:
        return draw_regions(draw_cause(frame, f"not found: {decision.not_found}"), (), ok=False)
    values = anomaly.placement.map_to_frame(anomaly.values, frame.shape[1], frame.shape[0])
    low = float(np.median(anomaly.values[anomaly.placement.looked_at(anomaly.values.shape[::-1])]))
    drawn = blend(frame, values, low, max(1.2 * decision.threshold, low))
    pose = anomaly.placement.pose
    to_frame = UNMOVED if pose is None else pose.to_frame
    if fit is not None and fit.areas is not None:
        drawn = draw_areas(drawn, fit.areas, to_frame)
    if fit is not None and fit.alignment is not None:
        drawn = draw_part(drawn, fit.alignment.part, to_frame)
    return draw_regions(drawn, decision.regions, decision.ok)


def _short(stem: str) -> str:
    while len(os.fsencode(stem)) > MOST_BYTES:
        stem = stem[:-1]
    return stem


def _as_on_disk(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
