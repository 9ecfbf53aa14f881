from __future__ import annotations

import threading
import time

import numpy as np

from edge_inspect.edge.contract.health import FrameCounts, LatencyPercentiles
from edge_inspect.edge.health.histogram import Buckets, Histogram

RECENT = 1024


class Statistics:
    """Counts of a station's parts, and percentiles of the last 1024 latencies. Several threads may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latencies = np.zeros(RECENT)
        self._moments = np.zeros(RECENT)
        self._histogram = Histogram()
        self._inspected = self._rejected = self._failed = 0

    def count(self, ok: bool, latency_ms: float) -> None:
        """Count a part that was inspected."""
        with self._lock:
            self._latencies[self._inspected % RECENT] = latency_ms
            self._moments[self._inspected % RECENT] = time.monotonic()
            self._histogram.add(latency_ms / 1000)
            self._inspected += 1
            self._rejected += not ok

    def count_failed(self, frames: int = 1) -> None:
        """Count frames that were lost or could not be inspected."""
        with self._lock:
            self._failed += frames

    @property
    def inspected(self) -> int:
        """Number of parts inspected since the start."""
        return self._inspected

    def frames(self, dropped: int) -> FrameCounts:
        """Return the counts since the start.

        Args:
            dropped: Number of frames that the ring dropped; they are added to the lost ones.
        """
        with self._lock:
            return FrameCounts(
                inspected=self._inspected,
                accepted=self._inspected - self._rejected,
                rejected=self._rejected,
                dropped=dropped + self._failed,
            )

    def latency(self) -> LatencyPercentiles | None:
        """Return percentiles of the latencies of the last 1024 parts, in ms; `None` before the first part."""
        with self._lock:
            if not self._inspected:
                return None
            p50, p95, p99 = np.percentile(self._latencies[: min(self._inspected, RECENT)], (50, 95, 99))
        return LatencyPercentiles(p50=float(p50), p95=float(p95), p99=float(p99))

    def histogram(self) -> Buckets:
        """Return the histogram of the latencies of all parts, in seconds."""
        with self._lock:
            return self._histogram.buckets()

    def fps(self) -> float:
        """Return the number of parts per second, over the last 10 seconds."""
        with self._lock:
            recent = self._moments[: min(self._inspected, RECENT)]
            inside = recent[recent > time.monotonic() - 10.0]
            span = time.monotonic() - inside.min() if inside.size > 1 else 0.0
        return float(inside.size / span) if span > 0 else 0.0
