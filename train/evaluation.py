"""A model against a test split: every picture through it, and every metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from edge.errors import DataSetError
from edge.fit import Fit
from edge.images import Frame, read_image
from models.registry import System
from train.datasets import TestImage, load_ground_truth
from train.material import normalise
from train.metrics import summarise
from train.progress import tracked

Predict = Callable[[Frame], NDArray[np.float32]]
"""A fitted picture, (H, W, 3) uint8 BGR of the fit's canvas, to its anomaly map, (H, W) float32."""


@dataclass(frozen=True)
class Evaluation:
    """What a model says of a test split; pixel values are in the plane of the fit's canvas, padding does not count.

    Attributes:
        images: The pictures.
        scores: The largest value of each one's map, (N,).
        maps: Anomaly maps, (N, H, W) float32.
        masks: Ground truth, (N, H, W), 0 or 1.
        valid: Pixels that show the frame, (N, H, W).
        drawn: Where the pictures were drawn and are in no file: as the network sees them, (N, H, W, 3) uint8 BGR.
    """

    images: list[TestImage]
    scores: NDArray[np.float32]
    maps: NDArray[np.float32]
    masks: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    drawn: NDArray[np.uint8] | None = None

    def metrics(self) -> dict[str, float]:
        """Every metric by name.

        Raises:
            DataSetError: No defective pixel is left on the canvas.
        """
        good = [image.good for image in self.images]
        if not (self.masks.astype(bool) & self.valid).any():
            raise DataSetError("no ground-truth mask marks a pixel the network sees; check the masks and --fit")
        return summarise(self.scores.tolist(), good, self.maps, self.masks, self.valid)


def evaluate(predict: Predict, images: list[TestImage], fit: Fit) -> Evaluation:
    """Runs the pictures through a model, with progress.

    Raises:
        DataSetError: A defective picture has no mask, or one of another size.
        ImageError: A picture cannot be read.
    """
    width, height = fit.canvas
    shape = (len(images), height, width)
    maps, masks, valid = np.zeros(shape, np.float32), np.zeros(shape, np.uint8), np.zeros(shape, bool)
    scores = np.zeros(len(images), np.float32)
    for i, image in enumerate(tracked(images, len(images), "evaluating", "images")):
        fitted, placement = fit.apply(read_image(image.path))
        x0, y0, x1, y1 = placement.valid
        maps[i] = predict(fitted)
        masks[i] = load_ground_truth(image, fit)
        valid[i, y0:y1, x0:x1] = True
        scores[i] = maps[i, y0:y1, x0:x1].max()
    return Evaluation(images, scores, maps, masks, valid)


def torch_predictor(model: System, device: torch.device, fit: Fit) -> Predict:
    """The model in float32, as the reference mathematics has it; all tiles of a picture in one batch."""
    model = model.to(device).eval()

    @torch.inference_mode()
    def predict(fitted: Frame) -> NDArray[np.float32]:
        maps = model.anomaly_map(normalise(fit.cut(fitted)).to(device))
        return fit.merge(maps[:, 0].cpu().numpy())

    return predict
