"""Describes a picture as the memory of a bundle sees it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.engines.memory_probe import MemoryProbe, find_banks
from edge_inspect.edge.frame.images import Frame


class MemoryFeatures:
    """The directions that the memory of a bundle compares.

    Args:
        bundle: The bundle.
        threads: Number of processor threads.

    Raises:
        EngineError: OpenVINO cannot build the network.
        BundleError: The network is missing or damaged.

    Attributes:
        banks: Number of banks of the memory; 0 if the bundle has none, and nothing can be described.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        banks = find_banks(bundle)
        self.banks = len(banks)
        if banks:
            self._probe = MemoryProbe(bundle, banks, threads=threads)

    def describe(self, frame: Frame) -> NDArray[np.float32] | None:
        """Return the directions at the most unusual position, of all banks together, as a unit vector.

        Args:
            frame: The picture, (height, width, 3) uint8 BGR.

        Returns:
            The vector, (C,); `None` if the part was not found in the picture.
        """
        seen = self._probe.observe(frame)
        if not seen.found:
            return None
        place = int(np.where(seen.seen, seen.values, -np.inf).argmax())
        joined = np.concatenate([directions[place] for directions in seen.directions])
        return np.asarray(joined / max(float(np.linalg.norm(joined)), 1e-9), np.float32)
