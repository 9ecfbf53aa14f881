"""Decide from an anomaly map whether to accept or reject a part, and find its regions in pixels of the frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import NotFound, Precision
from edge_inspect.edge.contract.messages import Region
from edge_inspect.edge.engines import AnomalyMap


@dataclass(frozen=True)
class Decision:
    """The decision on a part.

    Attributes:
        ok: Whether the part is accepted.
        score: Image score of the part.
        threshold: Image threshold. Parts whose score is above it are rejected.
        regions: Defects of a rejected part, with the highest peak first; empty for an accepted part.
        not_found: Why the part was not found in the frame. Then it is rejected without being judged, with score 0.
    """

    ok: bool
    score: float
    threshold: float
    regions: tuple[Region, ...]
    not_found: NotFound | None = None


class Decider:
    """The thresholds of a bundle, applied to anomaly maps.

    Args:
        bundle: The bundle.
        precision: Precision of the engine. Each precision has thresholds of its own.
        mm_per_px: Scale of the camera in millimetres per pixel, if it is known.
        min_area_px: Smallest area of a region in pixels of the frame. The bundle's own smallest area applies too.

    Attributes:
        threshold: Image threshold. It is the bundle's until it is set to another value.
    """

    def __init__(
        self, bundle: Bundle, precision: Precision, mm_per_px: float | None = None, min_area_px: float = 0.0
    ) -> None:
        part = bundle.manifest.decision
        self._thresholds = part.thresholds[precision]
        self.threshold = self._thresholds.image
        self._min_area, self._min_area_px = part.min_area_px, min_area_px
        self._mm_per_px = mm_per_px
        self._fit = bundle.fit

    def decide(self, anomaly: AnomalyMap) -> Decision:
        """Return the decision on an engine's map. Only rejected parts get regions."""
        threshold, pose = self.threshold, anomaly.placement.pose
        if pose is not None and not pose.found:
            return Decision(ok=False, score=0.0, threshold=threshold, regions=(), not_found=pose.detail)
        ok = anomaly.score <= threshold
        return Decision(ok, anomaly.score, threshold, () if ok else self._regions(anomaly, threshold))

    def _regions(self, anomaly: AnomalyMap, threshold: float) -> tuple[Region, ...]:
        """Return the defects of a rejected part by hysteresis (Canny 1986, section VI), the highest peak first.

        A region is a connected area (8 neighbours) above the pixel threshold. It must contain a value above the image
        threshold, which by itself would reject the part: an area that is only slightly unusual is no defect. Regions
        that are too small are left out. The region with the map's highest value is always kept, so that every rejected
        part has a region.
        """
        x0, y0, x1, y1 = anomaly.placement.valid
        seen = anomaly.values[y0:y1, x0:x1]
        if anomaly.placement.weights is not None:
            seen = np.where(anomaly.placement.weights[y0:y1, x0:x1] > 0, seen, np.float32(-np.inf))
        # The lower of both is used, because a command can set the image threshold below the bundle's pixel threshold.
        above = (seen > min(self._thresholds.pixel, threshold)).astype(np.uint8)
        _, labels, stats, centroids = cv2.connectedComponentsWithStats(above, connectivity=8)
        highest = int(labels.flat[int(seen.argmax())])
        least = max(self._min_area, self._min_area_px / (anomaly.placement.scale_x * anomaly.placement.scale_y))
        found = []
        for label in {highest, *np.unique(labels[seen > threshold]).tolist()} - {0}:
            x, y, width, height, area = (int(v) for v in stats[label])
            if area < least and label != highest:
                continue
            inside = labels[y : y + height, x : x + width] == label
            values = np.where(inside, seen[y : y + height, x : x + width], -np.inf)
            down, across = np.unravel_index(int(values.argmax()), values.shape)
            peak = float(values[down, across])
            name = self._fit.area_at(x0 + x + int(across), y0 + y + int(down))
            found.append(self._region(anomaly, stats[label], centroids[label], peak, name, (x0, y0)))
        return tuple(sorted(found, key=lambda region: -region.peak))

    def _region(
        self,
        anomaly: AnomalyMap,
        stats: NDArray[np.int32],
        centroid: NDArray[np.float64],
        peak: float,
        area_name: str | None,
        offset: tuple[int, int],
    ) -> Region:
        x, y, width, height, area = (int(v) for v in stats)
        place = anomaly.placement
        x0, y0 = x + offset[0], y + offset[1]
        left, top, right, bottom = place.box_to_frame(x0, y0, x0 + width, y0 + height)
        (x_px, width_px), (y_px, height_px) = _span(left, right), _span(top, bottom)
        # `Placement` has pixel centres at halves. A message's centroid is as in OpenCV: the first pixel's centre is 0.
        cx, cy = place.to_frame(centroid[0] + offset[0] + 0.5, centroid[1] + offset[1] + 0.5)
        area_px = max(1, round(area * place.scale_x * place.scale_y))
        return Region(
            bbox=(x_px, y_px, width_px, height_px),
            area_px=area_px,
            area_mm2=None if self._mm_per_px is None else area_px * self._mm_per_px**2,
            peak=peak,
            centroid=(round(cx - 0.5, 2), round(cy - 0.5, 2)),
            area_name=area_name,
        )


def _span(start: float, end: float) -> tuple[int, int]:
    """Return the first whole pixel and the number of pixels between two positions: at least one, none after the end."""
    first = min(round(start), max(round(end) - 1, int(start)))
    return first, max(1, round(end) - first)
