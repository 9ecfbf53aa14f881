"""The steps that all engines share: fit a frame, cut it into tiles, merge their maps, compute the score."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines import AnomalyMap, BegunMap, LayerTime
from edge_inspect.edge.errors import DriftError, EngineError
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.frame.placement import Placement
from edge_inspect.edge.frame.tiles import Merger

if TYPE_CHECKING:
    from typing_extensions import Self


log = logging.getLogger(__name__)


class FittedEngine(ABC):
    """An engine that computes the map of one tile of the network's size at a time; see `edge.engines.Engine`.

    A subclass must have a `name` and `_maps`. It overrides the other methods if their defaults do not fit: `check_box`
    and `unsupported` if not every box can run it, `version` if a library computes, `load` if it needs more than bundle
    and precision, `_release` if it holds resources, `networks`, `prepare_several` and `begin` if it can compute several
    frames at a time, `network_alone` if it can run its network without the steps around it, and `layer_times` if its
    runtime tells how long each layer takes.

    Args:
        bundle: The bundle.
        precision: The precision whose model runs.
    """

    name: str

    def __init__(self, bundle: Bundle, precision: Precision) -> None:
        self.precision = precision
        self._fit = bundle.fit
        self._top = bundle.manifest.decision.top
        grid = self._fit.grid
        self._count, self._places = grid.count, grid.places()
        self._merger = Merger(grid) if grid.count > 1 else None
        self._weights = self._fit.weights
        self._closed = False

    @property
    def networks(self) -> int:
        """One, because the engine computes one frame at a time."""
        return 1

    @classmethod  # noqa: B027 (an engine that every box can run does nothing here)
    def check_box(cls) -> None:
        """Do nothing, because every box can run the engine."""

    @classmethod
    def unsupported(cls, precision: Precision) -> str:
        """Return an empty text, because the engine computes in every precision."""
        return ""

    @classmethod
    def version(cls) -> str:
        """Return an empty text, because no library computes whose version matters."""
        return ""

    @classmethod
    def load(cls, bundle: Bundle, precision: Precision, *, threads: int = 0, cache: Path | None = None) -> FittedEngine:
        """Return an engine for one precision of a bundle; `threads` and `cache` are ignored."""
        return cls(bundle, precision)

    def prepare_several(self) -> bool:
        """Return false, because the engine computes one frame at a time."""
        return False

    def begin(self, frame: Frame) -> BegunMap | None:
        """Return `None`, because the engine computes one frame at a time."""
        return None

    def network_alone(self, bundle: Bundle) -> Callable[[], object]:
        """Return a function that computes the map of one tile, with the steps before and after the network."""
        shape = (bundle.fit.height, bundle.fit.width, 3)
        tile: Frame = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        return lambda: next(self._maps([tile]))

    def layer_times(self, bundle: Bundle, tile: Frame, runs: int) -> list[LayerTime]:
        """Return an empty list, because the runtime does not tell how long each layer takes."""
        return []

    def close(self) -> None:
        """Release all resources. It may be called more than once. A closed engine raises an error if it is used."""
        if not self._closed:
            self._closed = True
            try:
                self._release()
            except EngineError as error:  # the caller continues without the engine
                log.warning("the %s engine may still hold memory: %s", self.name, error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _release(self) -> None:  # noqa: B027 (an engine that holds nothing does nothing here)
        """Release memory and device. It is called once, and the engine is not used afterwards."""

    @abstractmethod
    def _maps(self, tiles: Iterable[Frame]) -> Iterator[NDArray[np.float32]]:
        """Yield the map of each tile, (height, width) float32, valid until the next one; may read tiles ahead.

        Raises:
            EngineError: The engine failed.
        """

    def infer(self, frame: Frame) -> AnomalyMap:
        """Return the anomaly map of a frame; see `edge.engines.Engine`."""
        return next(self.infer_all([frame]))

    def infer_all(self, frames: Iterable[Frame]) -> Iterator[AnomalyMap]:
        """Yield the anomaly maps of frames in order, each valid until the next one. Frames may be read ahead.

        Raises:
            EngineError: The engine failed.
            DriftError: A result is not finite.
        """
        placements: deque[Placement] = deque()

        def fitted() -> Iterator[Frame]:
            for frame in frames:
                image, placement = self._fit.apply(frame)
                placements.append(placement)
                yield image

        for values in self._merged(fitted()):
            yield self._scored(values, placements.popleft())

    def infer_fitted(self, fitted: Frame) -> NDArray[np.float32]:
        """Return the map, (height, width), of a frame that was already fitted to the canvas; valid until the next call.

        Raises:
            EngineError: The engine failed.
        """
        return self._weighted(next(self._merged([fitted])))

    def _merged(self, canvases: Iterable[Frame]) -> Iterator[NDArray[np.float32]]:
        self._check_open()
        if self._merger is None:
            yield from self._maps(canvases)
            return
        maps = self._maps(canvas[place] for canvas in canvases for place in self._places)
        for first in maps:
            yield self._merger.merge(chain([first], islice(maps, self._count - 1)))

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError(f"the {self.name} engine is closed and gives no more maps")

    def _weighted(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._weights is not None:
            np.multiply(values, self._weights, out=values)
        return values

    def _scored(self, values: NDArray[np.float32], placement: Placement) -> AnomalyMap:
        """Return the result of a frame from the map of its canvas."""
        values = self._weighted(values)
        return AnomalyMap(values, placement, self._score(values, placement) if placement.found else math.inf)

    def _score(self, values: NDArray[np.float32], placement: Placement) -> float:
        x0, y0, x1, y1 = placement.valid
        seen = values[y0:y1, x0:x1]
        if placement.weights is not None:
            seen = seen[placement.weights[y0:y1, x0:x1] > 0]
        top = self._top
        return checked_score(float(seen.max() if top == 1 else np.partition(seen, -top, axis=None)[-top:].mean()))


def checked_score(score: float) -> float:
    """Return the score of a map if it is a finite number.

    Raises:
        DriftError: The score is not finite.
    """
    if not np.isfinite(score):
        raise DriftError("the engine's anomaly map is not finite, so there can be no verdict")
    return score
