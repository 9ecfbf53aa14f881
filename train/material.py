"""The training pictures in memory, and what is computed from them: batches, teacher features, synthetic defects."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_inspect.edge.frame.fit import BLANK, MEAN, STD, Fit
from edge_inspect.train.augmentation import Augmentation, Box, Change
from edge_inspect.train.crossfit import CrossFit
from edge_inspect.train.device import Arithmetic
from edge_inspect.train.progress import tracked
from edge_inspect.train.synthesis import Synthesis

S = TypeVar("S")
T = TypeVar("T")

AHEAD = 3
Compute = Callable[[Tensor], list[Tensor]]


def normalise(pictures: NDArray[np.uint8]) -> Tensor:
    """Return (N, H, W, 3) uint8 BGR as (N, 3, H, W) float32 RGB, ImageNet-normalised, channels last in memory."""
    rgb = torch.from_numpy(np.ascontiguousarray(pictures[..., ::-1])).permute(0, 3, 1, 2).float()
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    return ((rgb / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Turn:
    """The pictures of one step.

    Attributes:
        number: Number of the pass over the pictures that the step belongs to.
        place: Position of the step in its pass.
        index: Numbers of the pictures or variants, (N,).
    """

    number: int
    place: int
    index: Tensor


@dataclass
class Defects:
    """A batch of pictures with synthetic defects.

    Attributes:
        index: Numbers of the pictures or variants that they were made from, (N,).
        images: Normalised pictures, (N, 3, H, W).
        masks: Masks of the defects, (N, 1, H, W) float32, 0 or 1.
        foregrounds: Masks of the parts, (N, 1, H, W) float32, 0 or 1.
    """

    index: Tensor
    images: Tensor
    masks: Tensor
    foregrounds: Tensor


@dataclass
class Material:
    """The pictures that a training learns from.

    With augmentation, variants of a picture count as pictures of their own. Of N pictures, number i + v N is variant v
    of picture i, and numbers 0 to N - 1 are the unchanged pictures. Variants are computed when they are needed, so they
    take no memory.

    Attributes:
        pictures: Fitted good pictures, (N, H, W, 3) uint8 BGR.
        synthesis: Draws defects on them.
        arithmetic: Device and precision in which networks run.
        batch: Number of pictures in each step.
        seed: Random seed of the order.
        cache_gb: Memory for features in gigabytes; if they need more, they are computed anew in each step.
        crossfit: How the pictures are cross-fitted, for systems that can; `None` if there are too few.
        augmentation: How variants of the pictures differ from them.
        shown: For each picture, x0, y0, x1, y1 in pixels of the part that shows the frame; by default there is no
            padding.
        fit: How the pictures were fitted to the network; without it, no pixels are blank (`Fit.blank`).
        waited: Seconds that steps have waited for synthetic defects.
    """

    pictures: NDArray[np.uint8]
    synthesis: Synthesis | None
    arithmetic: Arithmetic
    batch: int
    seed: int
    cache_gb: float
    crossfit: CrossFit | None = None
    augmentation: Augmentation = Augmentation()
    shown: Sequence[Box] | None = None
    fit: Fit | None = None
    waited: float = field(default=0.0)

    @property
    def count(self) -> int:
        """Number of pictures and variants."""
        return len(self.pictures) * self.augmentation.shown

    def turns(self, steps: range, batch: int | None = None, from_pass: int = 0) -> Iterator[Turn]:
        """Yield the pictures of each of these steps; each pass goes over all of them in an order of its own.

        Args:
            steps: Numbers of the steps; 0 is the first step of the first pass.
            batch: Number of pictures in each step, if it is not the usual one.
            from_pass: Number of the first pass, which decides its order.
        """
        a_pass = len(self._order(0, batch))
        order: list[Tensor] = []
        for step in steps:
            number, place = divmod(step, a_pass)
            if place == 0 or not order:
                order = self._order(from_pass + number, batch)
            yield Turn(from_pass + number, place, order[place])

    def _order(self, number: int, batch: int | None) -> list[Tensor]:
        """Return the batches of a pass as indices; a last batch of one is left out (its BatchNorm would be noise)."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        batches = torch.randperm(self.count, generator=generator).split(batch or self.batch)
        return [index for index in batches if len(index) > 1]

    def images(self, index: Tensor) -> Tensor:
        """Return the pictures and variants with these numbers, normalised, (N, 3, H, W)."""
        return normalise(self._good(index)).to(self.arithmetic.device)

    def features(self, compute: Compute, label: str) -> FrozenFeatures:
        """Return the features that a frozen network computes from the pictures."""
        return FrozenFeatures(self, compute, label)

    def defects(
        self, steps: range, share: float = 1.0, batch: int | None = None, from_pass: int = 0
    ) -> Generator[Defects, None, None]:
        """Yield the batches of these steps with synthetic defects, drawn by a thread while the network learns.

        Args:
            steps: Numbers of the steps, as for `turns`.
            share: Share of the pictures that get a defect; the others are good, with an empty mask.
            batch: Number of pictures in each step, if it is not the usual one.
            from_pass: Number of the first pass, which decides order and defects.
        """
        synthesis = self.synthesis
        assert synthesis is not None, "this training was not given synthetic defects"

        def draw(turn: Turn) -> Defects:
            index = turn.index
            drawn = [self._defect(synthesis, number, turn.number) for number in index.tolist()]
            pictures, masks, parts = (np.stack(part) for part in zip(*drawn, strict=True))
            clean = np.random.default_rng([self.seed, turn.number, turn.place]).random(len(index)) >= share
            pictures[clean], masks[clean] = self._good(index)[clean], 0
            return Defects(index, normalise(pictures), _marks(masks), _marks(parts))

        device = self.arithmetic.device
        for drawn in self._timed(_ahead(draw, self.turns(steps, batch, from_pass))):
            yield Defects(drawn.index, drawn.images.to(device), drawn.masks.to(device), drawn.foregrounds.to(device))

    def _good(self, index: Tensor) -> NDArray[np.uint8]:
        """Return the pictures and variants with these numbers, (N, H, W, 3) uint8 BGR."""
        if int(index.max()) < len(self.pictures):
            return self.pictures[index.numpy()]
        found = []
        for number in index.tolist():
            change, i, shown = self._variant(number)
            found.append(self._blank(change.picture(self.pictures[i], shown), i))
        return np.stack(found)

    def _blank(self, picture: NDArray[np.uint8], i: int) -> NDArray[np.uint8]:
        """Return a variant of picture `i` whose pixels that are not looked at are blank: they do not move with it."""
        if self.fit is None or self.fit.areas is None:
            return picture
        blind = self.fit.blind[self.fit.grid.places()[i % self.fit.grid.count]]
        return np.where(blind[..., None], np.uint8(BLANK), picture)

    def _defect(
        self, synthesis: Synthesis, number: int, turn: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """Return a picture or variant with a defect, the defect's mask and the part's mask, all changed alike."""
        change, i, shown = self._variant(number)
        defect = synthesis.draw(i, turn * self.augmentation.shown + number // len(self.pictures))
        mask, part = (change.moved(mask, shown) for mask in (defect.mask, synthesis.foregrounds[i]))
        return self._blank(change.picture(defect.picture, shown), i), mask, part

    def _variant(self, number: int) -> tuple[Change, int, Box | None]:
        """Return the change of the picture or variant of this number, the picture's index, and where the frame is."""
        variant, i = divmod(number, len(self.pictures))
        return self.augmentation.change(self.seed, i, variant), i, None if self.shown is None else self.shown[i]

    def _timed(self, items: Iterable[T]) -> Iterator[T]:
        iterator = iter(items)
        while True:
            started = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            self.waited += time.perf_counter() - started
            yield item


class FrozenFeatures:
    """Features of a frozen network; they are kept if they fit in memory, and otherwise computed step by step.

    Args:
        material: The pictures and variants.
        compute: Maps normalised pictures, (N, 3, H, W), to a list of (N, C_k, H_k, W_k).
        label: Name of the features in progress messages.
    """

    def __init__(self, material: Material, compute: Compute, label: str) -> None:
        self._material, self._compute = material, compute
        count = material.count
        first = self._run(np.arange(1))
        size = sum(f.numel() * f.element_size() for f in first) * count
        self._kept: list[Tensor] | None = None
        if size <= material.cache_gb * 2**30:
            self._kept = [f.new_empty((count, *f.shape[1:])).to(memory_format=torch.channels_last) for f in first]
            starts = range(0, count, material.batch)
            for start in tracked(starts, len(starts), label, "batches"):
                chunk = np.arange(start, min(start + material.batch, count))
                for store, features in zip(self._kept, self._run(chunk), strict=True):
                    store[chunk[0] : chunk[-1] + 1] = features

    def batch(self, index: Tensor) -> list[Tensor]:
        """Return the features of the pictures with these indices."""
        if self._kept is None:
            return self._run(index.numpy())
        return [store[index].contiguous(memory_format=torch.channels_last) for store in self._kept]

    @torch.no_grad()
    def _run(self, index: NDArray[np.int64]) -> list[Tensor]:
        with self._material.arithmetic.autocast():
            return self._compute(self._material.images(torch.from_numpy(index)))


def _marks(masks: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(masks).unsqueeze(1).float()


def _ahead(make: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
    """Yield the results of `map`; a thread computes the next few in advance."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="defects") as pool:
        waiting: deque[Future[T]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(make, item))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
