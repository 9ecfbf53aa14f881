"""A model on a test split: every picture runs through it, and every metric that the ground truth allows is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edge_inspect.edge.engines import AnomalyMap
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame, Mask, pixel_digest, read_image
from edge_inspect.edge.frame.placement import Placement
from edge_inspect.edge.text import clean
from edge_inspect.models.network import Network
from edge_inspect.train.copies import Copies
from edge_inspect.train.datasets import TestImage, load_mask
from edge_inspect.train.material import normalise
from edge_inspect.train.metrics import of_images, of_pixels
from edge_inspect.train.plane import fill_unseen, map_in_plane, mask_in_plane
from edge_inspect.train.progress import tracked

Predict = Callable[[Frame], NDArray[np.float32]]
"""Maps a fitted picture, (H, W, 3) uint8 BGR of the fit's canvas, to its anomaly map, (H, W) float32."""

Infer = Callable[[Frame], AnomalyMap]
"""Maps a frame, (H, W, 3) uint8 BGR, to its anomaly map and score; an engine's `infer`."""


@dataclass(frozen=True)
class Evaluation:
    """Results of a model on a test split, or on drawn flaws.

    Pixels are counted in each frame's own plane (`train.plane`), where all of them count, so that different fits are
    compared on the same pixels. Drawn flaws have no frame: their pixels are those that the network sees, and padding
    does not count.

    Attributes:
        images: The pictures, without copies of good ones.
        scores: Scores that a station would judge by, from each map as the engine gives it, without padding, (N,).
        maps: Anomaly maps, N of (h, w) float32; h and w are the size of a picture's plane.
        masks: Ground truth, N of (h, w), 0 or 1.
        valid: Pixels that count, N of (h, w).
        known: Whether a picture's pixels are known, (N,): it is good, or its mask makes sense.
        remarks: Sentences about masks and copies.
        drawn: Drawn pictures, which are in no file, as the network sees them, (N, H, W, 3) uint8 BGR.
    """

    images: list[TestImage]
    scores: NDArray[np.float32]
    maps: Sequence[NDArray[np.float32]] | NDArray[np.float32]
    masks: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
    valid: Sequence[NDArray[np.bool_]] | NDArray[np.bool_]
    known: NDArray[np.bool_]
    remarks: list[str] = field(default_factory=list)
    drawn: NDArray[np.uint8] | None = None

    def metrics(self) -> dict[str, float]:
        """Return every metric by name; pixel metrics only if a mask marks a pixel that counts."""
        found = of_images(self.scores.tolist(), [image.good for image in self.images])
        return found | self._of_pixels()

    @property
    def has_pixels(self) -> bool:
        """Whether there are defective and normal pixels to measure with."""
        seen = [self.masks[i][self.valid[i]] for i in np.flatnonzero(self.known).tolist()]
        return any(bool(mask.any()) for mask in seen) and any(not mask.all() for mask in seen)

    def _of_pixels(self) -> dict[str, float]:
        if not self.has_pixels:
            return {}
        known = np.flatnonzero(self.known).tolist()
        return of_pixels(*([parts[i] for i in known] for parts in (self.maps, self.masks, self.valid)))


def evaluate(predict: Predict, images: list[TestImage], fit: Fit, trained_on: Collection[str] = ()) -> Evaluation:
    """Run the pictures through a model, with progress; a score is the largest value of a map.

    Args:
        predict: The model.
        images: The test pictures.
        fit: How they are fitted to the network.
        trained_on: Digests of pictures that the model has learned from.

    Raises:
        DataSetError: A mask has another size than its picture.
        ImageError: A picture or a mask cannot be read.
    """

    def infer(frame: Frame) -> AnomalyMap:
        fitted, placement = fit.apply(frame)
        values = predict(fitted)
        score = float(values[placement.looked_at(fit.canvas)].max()) if placement.found else math.inf
        return AnomalyMap(values, placement, score)

    return evaluate_frames(infer, images, fit.bits, trained_on)


def evaluate_frames(
    infer: Infer, images: list[TestImage], bits: int | None, trained_on: Collection[str] = ()
) -> Evaluation:
    """Run the pictures through an engine, with progress; the engine gives the scores.

    Args:
        infer: Method `infer` of the engine.
        images: The test pictures.
        bits: How many bits the values of 16-bit files use; see `edge.frame.images.read_image`.
        trained_on: Digests of pictures that the model has learned from.

    Raises:
        DataSetError: A mask has another size than its picture.
        ImageError: A picture or a mask cannot be read.
    """
    maps: list[NDArray[np.float32]] = []
    masks: list[NDArray[np.uint8]] = []
    scores: list[float] = []
    known: list[bool] = []
    notes, kept = _Notes(set(trained_on)), []
    for image in tracked(images, len(images), "evaluating", "images"):
        frame = read_image(image.path, bits)
        if notes.is_copy(image, frame):
            continue
        kept.append(image)
        found = infer(frame)
        scores.append(found.score)
        maps.append(map_in_plane(found.values, found.placement, (frame.shape[1], frame.shape[0])))
        mask = None if image.good else notes.usable(image, load_mask(image, frame), found.placement)
        masks.append(np.zeros(maps[-1].shape, np.uint8) if mask is None else mask_in_plane(mask.marked))
        known.append((image.good or mask is not None) and found.placement.found)
    if lost := sum(np.isinf(scores)):
        notes.lines.append(
            f"the part was not found in {lost} of {len(kept)} images; a station rejects them, so they score highest"
        )
        # Numbers that reports can draw: just above all others.
        highest = max((score for score in scores if np.isfinite(score)), default=1.0)
        scores = [score if np.isfinite(score) else highest + 0.01 * abs(highest) for score in scores]
    fill_unseen(maps)
    valid = [np.broadcast_to(np.True_, mask.shape) for mask in masks]
    every = Evaluation(kept, np.array(scores, np.float32), maps, masks, valid, np.array(known, bool), notes.lines)
    notes.finish(every)
    return every


class _Notes:
    """Remarks about pictures and masks, collected on the way.

    Attributes:
        lines: The sentences; they are complete after `finish`.
    """

    def __init__(self, trained_on: set[str]) -> None:
        self.lines: list[str] = []
        self._trained_on = trained_on
        self._good, self._bad = Copies(), Copies()
        self._learned: list[Path] = []
        self._without: list[TestImage] = []
        self._doubted: list[str] = []
        self._shares: list[float] = []
        self._unseen: list[TestImage] = []

    def is_copy(self, image: TestImage, frame: Frame) -> bool:
        """Return whether this is a good picture that was there before."""
        digest = pixel_digest(frame)
        if digest in self._trained_on:
            self._learned.append(image.path)
        new = (self._good if image.good else self._bad).is_new(image.path, digest)
        return image.good and not new

    def usable(self, image: TestImage, mask: Mask | None, placement: Placement) -> Mask | None:
        """Return the mask of a defective picture if it makes sense as it is."""
        if mask is None:
            self._without.append(image)
        elif doubt := mask.doubt:
            self._doubted.append(doubt)
        else:
            self._shares.append(float(mask.marked.mean()))
            x0, y0, x1, y1 = placement.seen
            if not mask.marked[y0:y1, x0:x1].any():
                self._unseen.append(image)
            return mask
        return None

    def finish(self, found: Evaluation) -> None:
        """Write the sentences."""
        lines, defects = self.lines, sum(not image.good for image in found.images)
        if str(self._good):
            lines.append(str(self._good))
        both = sorted(self._good.first.keys() & self._bad.first.keys())
        if both:
            good, bad = self._good.first[both[0]], self._bad.first[both[0]]
            lines.append(
                f"{len(both)} images are among both the good ones and the defects: {clean(good)} is {clean(bad)}"
            )
        if self._learned:
            lines.append(
                f"the model has learned from {len(self._learned)} of the test images, so the metrics are too good: "
                f"{clean(self._learned[0])}" + (", ..." if len(self._learned) > 1 else "")
            )
        lines += self._doubted
        if self._shares:
            low, high = min(self._shares), max(self._shares)
            lines.append(f"{len(self._shares)} masks mark {low:.2%} to {high:.2%} of their images")
        if self._without:
            first = self._without[0]
            lines.append(
                f"{len(self._without)} of {defects} defective images have no mask in {clean(first.mask_place)}, "
                f"such as {clean(first.path)}"
            )
        if self._unseen:
            lines.append(
                f"{len(self._unseen)} of {len(self._shares)} masks mark nothing that the network sees (--fit, "
                f"--region), such as that of {clean(self._unseen[0].path)}; these pixels count with the lowest score"
            )
        if not found.has_pixels:
            lines.append("there are only image metrics, because pixel metrics need masks of defects")
        elif self._without or self._doubted:
            lines.append(f"pixel metrics cover the good images and {len(self._shares)} defective ones")


def torch_predictor(model: Network, device: torch.device, fit: Fit) -> Predict:
    """Return a function that runs the model in float32 by the reference mathematics, a picture's tiles in one batch."""
    model = model.to(device).eval()

    @torch.inference_mode()
    def predict(fitted: Frame) -> NDArray[np.float32]:
        maps = model.anomaly_map(normalise(fit.cut(fitted)).to(device))
        merged = fit.merge(maps[:, 0].cpu().numpy())
        return merged if fit.weights is None else merged * fit.weights

    return predict
