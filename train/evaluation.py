"""A model against a test split: every picture through it, every metric, and a page of example maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from edge.errors import DataSetError
from edge.fit import Fit
from edge.images import Frame, read_image, write_image
from edge.overlay import blend, contact_sheet
from models.discrepancy import anomaly_map
from models.rd import ReverseDistillation
from train.datasets import TestImage, load_ground_truth
from train.metrics import summarise
from train.progress import tracked
from train.training import normalise

Predict = Callable[[Frame], NDArray[np.float32]]
"""A fitted picture, (H, W, 3) uint8 BGR, to its anomaly map, (H, W) float32."""


@dataclass(frozen=True)
class Evaluation:
    """What a model says of a test split; pixel values are in the network's plane, padding does not count.

    Attributes:
        images: The pictures.
        scores: The largest value of each one's map, (N,).
        maps: Anomaly maps, (N, H, W) float32.
        masks: Ground truth, (N, H, W), 0 or 1.
        valid: Pixels that show the frame, (N, H, W).
    """

    images: list[TestImage]
    scores: NDArray[np.float32]
    maps: NDArray[np.float32]
    masks: NDArray[np.uint8]
    valid: NDArray[np.bool_]

    def metrics(self) -> dict[str, float]:
        """Every metric by name.

        Raises:
            DataSetError: No defective pixel is left in the network's plane.
        """
        good = [image.good for image in self.images]
        if not (self.masks.astype(bool) & self.valid).any():
            raise DataSetError("no ground-truth mask marks a pixel the network sees; check the masks and --fit")
        return summarise(self.scores.tolist(), good, self.maps, self.masks, self.valid)

    def write_examples(self, path: Path, fit: Fit, count: int = 12) -> None:
        """Writes a page: picture, ground truth and map of defects (highest, lowest) and of the worst good parts."""
        bad = [i for i in np.argsort(-self.scores) if not self.images[i].good]
        good = [i for i in np.argsort(-self.scores) if self.images[i].good]
        third = max(1, count // 3)
        chosen = list(dict.fromkeys([*bad[:third], *bad[-third:], *good[:third]]))
        low, high = float(np.median(self.maps)), float(np.quantile(self.scores, 0.9))
        rows = []
        for i in chosen:
            image = self.images[i]
            fitted = fit.apply(read_image(image.path))[0]
            truth = fitted.copy()
            contours = cv2.findContours(self.masks[i], cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
            cv2.drawContours(truth, contours, -1, (60, 60, 230), 1)
            caption = f"{image.kind}/{image.path.name}  score {self.scores[i]:.4f}"
            rows.append((caption, [fitted, truth, blend(fitted, self.maps[i], low, high)]))
        write_image(path, contact_sheet(rows, columns=3))


def evaluate(predict: Predict, images: list[TestImage], fit: Fit) -> Evaluation:
    """Runs the pictures through a model, with progress.

    Raises:
        DataSetError: A defective picture has no mask, or one of another size.
        ImageError: A picture cannot be read.
    """
    shape = (len(images), fit.height, fit.width)
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


def torch_predictor(model: ReverseDistillation, device: torch.device) -> Predict:
    """The model in float32, as the reference mathematics has it."""
    model = model.to(device).eval()

    @torch.inference_mode()
    def predict(fitted: Frame) -> NDArray[np.float32]:
        teacher, student = model(normalise(fitted[None]).to(device))
        values: NDArray[np.float32] = anomaly_map(teacher, student, fitted.shape[:2])[0, 0].cpu().numpy()
        return values

    return predict
