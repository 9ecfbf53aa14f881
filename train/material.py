"""The training pictures in memory, and what is computed of them: batches, teacher features, synthetic defects."""

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

from edge_inspect.edge.fit import MEAN, STD
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
        number: Of the pass over the pictures that the step belongs to.
        place: The step's in its pass.
        index: Which pictures or variants, (N,).
    """

    number: int
    place: int
    index: Tensor


@dataclass
class Defects:
    """A batch of pictures with synthetic defects.

    Attributes:
        index: Which pictures or variants they were made of, (N,).
        images: Normalised, (N, 3, H, W).
        masks: Of the defects, (N, 1, H, W) float32, 0 or 1.
        foregrounds: Of the parts, likewise.
    """

    index: Tensor
    images: Tensor
    masks: Tensor
    foregrounds: Tensor


@dataclass
class Material:
    """What a training learns from.

    Where it is augmented, the variants of a picture count as pictures of their own: of N pictures, number i + v N is
    variant v of picture i, and 0 to N - 1 are the pictures as they are. Variants are drawn when they are wanted, so
    they take no memory.

    Attributes:
        pictures: Fitted good pictures, (N, H, W, 3) uint8 BGR.
        synthesis: Makes defects of them.
        arithmetic: Where and how networks run.
        batch: Pictures a step.
        seed: Of the order.
        cache_gb: Memory for features; above it they are computed anew in each step.
        crossfit: How the pictures are cross-fitted, for systems that can; `None` where they are too few.
        augmentation: How variants of the pictures differ from them.
        shown: Of each picture, x0, y0, x1, y1 in pixels: the part that shows the frame; without, there is no padding.
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
    waited: float = field(default=0.0)

    @property
    def count(self) -> int:
        """How many pictures and variants there are."""
        return len(self.pictures) * self.augmentation.shown

    def turns(self, steps: range, batch: int | None = None, from_pass: int = 0) -> Iterator[Turn]:
        """Yield which pictures each of these steps takes: pass by pass over all of them, each in an order of its own.

        Args:
            steps: Numbers of the steps, 0 being the first of the first pass.
            batch: Pictures a step, where it is not the usual number.
            from_pass: The number of the first pass, which decides its order.
        """
        a_pass = len(self._order(0, batch))
        order: list[Tensor] = []
        for step in steps:
            number, place = divmod(step, a_pass)
            if place == 0 or not order:
                order = self._order(from_pass + number, batch)
            yield Turn(from_pass + number, place, order[place])

    def _order(self, number: int, batch: int | None) -> list[Tensor]:
        """Return the batches of a pass as indices, without a last batch of one: its BatchNorm statistics are noise."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        batches = torch.randperm(self.count, generator=generator).split(batch or self.batch)
        return [index for index in batches if len(index) > 1]

    def images(self, index: Tensor) -> Tensor:
        """Return the pictures and variants with these numbers, normalised, (N, 3, H, W)."""
        return normalise(self._good(index)).to(self.arithmetic.device)

    def features(self, compute: Compute, label: str) -> Features:
        """Return what a frozen network makes of the pictures."""
        return Features(self, compute, label)

    def defects(
        self, steps: range, share: float = 1.0, batch: int | None = None, from_pass: int = 0
    ) -> Generator[Defects, None, None]:
        """Yield the batches of these steps with synthetic defects, drawn by a thread while the network learns.

        Args:
            steps: As `turns` takes them.
            share: Of the pictures that have one; the others are good, with an empty mask.
            batch: Pictures a step, where it is not the usual number.
            from_pass: The number of the first pass, which decides order and defects.
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
            found.append(change.picture(self.pictures[i], shown))
        return np.stack(found)

    def _defect(
        self, synthesis: Synthesis, number: int, turn: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """Return a picture or variant with a defect, the defect's mask, and the part's: a defect varies with it."""
        change, i, shown = self._variant(number)
        defect = synthesis.draw(i, turn * self.augmentation.shown + number // len(self.pictures))
        mask, part = (change.moved(mask, shown) for mask in (defect.mask, synthesis.foregrounds[i]))
        return change.picture(defect.picture, shown), mask, part

    def _variant(self, number: int) -> tuple[Change, int, Box | None]:
        """Return what makes the picture or variant of this number, of which picture, and what of it is frame."""
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


class Features:
    """What a frozen network makes of pictures and variants: kept where it fits in memory, else computed step by step.

    Args:
        material: The pictures.
        compute: (N, 3, H, W) normalised to a list of (N, C_k, H_k, W_k).
        label: What progress calls it.
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
    """Yield what `map` does, with the next few already being made by a thread."""
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
