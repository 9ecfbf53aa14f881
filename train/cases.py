"""The cases of an evaluation that are worth a look, and how a page shows them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.fit import Fit
from edge.images import Frame, read_image
from edge.overlay import blend, heat
from train.datasets import TestImage
from train.evaluation import Evaluation

THUMBNAIL = 320
JPEG_QUALITY = 82


@dataclass(frozen=True)
class Threshold:
    """Where good ends.

    Attributes:
        value: In units of the score.
        given: A bundle's, above which a part is rejected; otherwise the F1-max threshold, from which on it is.
    """

    value: float
    given: bool

    def rejects(self, score: float) -> bool:
        """Whether a part of this score is taken out."""
        return score > self.value if self.given else score >= self.value


@dataclass(frozen=True)
class Case:
    """One test picture and what became of it.

    Attributes:
        index: Its place in the evaluation.
        image: The picture.
        score: The largest value of its map.
        rejected: Whether the threshold takes it out.
    """

    index: int
    image: TestImage
    score: float
    rejected: bool

    @property
    def name(self) -> str:
        """Kind and file name."""
        return f"{self.image.kind}/{self.image.path.name}"

    @property
    def verdict(self) -> tuple[str, bool]:
        """What became of it, and whether that is right."""
        if self.image.good:
            return ("rejected by mistake", False) if self.rejected else ("accepted", True)
        return ("detected", True) if self.rejected else ("escapes", False)


@dataclass(frozen=True)
class Gallery:
    """Cases to look at together, the most telling first."""

    title: str
    text: str
    cases: list[Case]


def galleries(cases: Sequence[Case], threshold: float, count: int) -> list[Gallery]:
    """The cases worth a look: defects most clearly found and escaping first, good parts rejected first, borderline."""
    falling = sorted(cases, key=lambda case: -case.score)
    bad, good = [c for c in falling if not c.image.good], [c for c in falling if c.image.good]
    nearest = sorted(cases, key=lambda case: abs(case.score - threshold))
    return [
        Gallery("Most clearly found", "The defects with the highest scores.", bad[:count]),
        Gallery("Escaping first", "The defects with the lowest scores: the first to be missed.", bad[::-1][:count]),
        Gallery("Rejected first", "The good parts with the highest scores: the first false alarms.", good[:count]),
        Gallery("Borderline", "The images nearest to the threshold, good or defective.", nearest[:count]),
    ]


def show_galleries(evaluation: Evaluation, fit: Fit, shown: Sequence[Gallery], threshold: float) -> str:
    """Galleries as HTML: each case's picture, the true defect's outline and the map over the picture, side by side.

    Raises:
        ImageError: A picture cannot be read.
    """
    seen = evaluation.maps[evaluation.valid]
    low, high = float(np.median(seen)), float(np.quantile(evaluation.scores, 0.9))
    chosen = {case.index: case for gallery in shown for case in gallery.cases}
    figures = {i: _figure(case, evaluation, fit, (low, high), threshold) for i, case in chosen.items()}
    scale = heat(np.linspace(0, 1, 160, dtype=np.float32)[None].repeat(12, axis=0), 0, 1)
    parts = [
        "<h2>Cases</h2>\n<p>What the network sees of each image; the same with the true defect outlined in yellow; and "
        "with the anomaly map, where a white line surrounds what reaches the threshold. One scale for all maps:</p>\n"
        f'<div class="scale soft">≤ {low:.3g} {_image(scale, "colours from low to high")} ≥ {high:.3g}</div>'
    ]
    for gallery in shown:
        inside = "\n".join(figures[case.index] for case in gallery.cases)
        parts.append(f'<h2>{gallery.title}</h2>\n<p class="soft">{gallery.text}</p>\n<div class="cases">{inside}</div>')
    return "\n".join(parts)


def _figure(case: Case, evaluation: Evaluation, fit: Fit, scale: tuple[float, float], threshold: float) -> str:
    picture, anomaly, mask, above = _thumbnails(case, evaluation, fit, threshold)
    name = escape(case.name)
    images = [_image(picture, f"{name}: the image")]
    if not case.image.good:
        truth = _outlined(_outlined(picture, mask, (0, 0, 0), 4), mask, (0, 255, 255), 2)  # shows on any ground
        images.append(_image(truth, f"{name}: the true defect outlined"))
    overlay = _outlined(blend(picture, anomaly, *scale), above, (255, 255, 255), 1)
    images.append(_image(overlay, f"{name}: the anomaly map over the image"))
    verdict, right = case.verdict
    return (
        f'<figure class="case"><div class="pictures{" three" if len(images) == 3 else ""}">{"".join(images)}</div>'
        f"<figcaption><b>{name}</b> score {case.score:.4f} "
        f'<span class="verdict {"right" if right else "wrong"}">{verdict}</span></figcaption></figure>'
    )


def _thumbnails(
    case: Case, evaluation: Evaluation, fit: Fit, threshold: float
) -> tuple[Frame, NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8]]:
    """What the network sees of a frame, without padding, small, in the frame's proportions.

    Returns:
        The picture, its map, and two 0/1 masks: the ground truth and where the map reaches the threshold.
    """
    frame = read_image(case.image.path)
    placement = fit.apply(frame)[1]
    x0, y0, x1, y1 = placement.valid
    left, top = (round(v) for v in placement.to_frame(x0, y0))
    right, bottom = (round(v) for v in placement.to_frame(x1, y1))
    picture = frame[top:bottom, left:right]
    scale = min(1.0, THUMBNAIL / max(picture.shape[:2]))
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    values = evaluation.maps[case.index, y0:y1, x0:x1]
    anomaly = np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), np.float32)
    mask = _resized_mask(evaluation.masks[case.index, y0:y1, x0:x1] > 0, size)
    return picture, anomaly, mask, _resized_mask(values >= threshold, size)


def _resized_mask(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A mask at another width and height, 0 or 1; nothing is too small to remain."""
    return np.asarray(cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0, np.uint8)


def _outlined(picture: Frame, mask: NDArray[np.uint8], colour: tuple[int, int, int], thickness: int) -> Frame:
    """A copy with the outlines of a 0/1 mask, BGR."""
    drawn: Frame = picture.copy()
    contours = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0]
    cv2.drawContours(drawn, contours, -1, colour, thickness)
    return drawn


def _image(picture: Frame, alt: str) -> str:
    """An `img` element that holds its picture; `alt` is HTML."""
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
    height, width = picture.shape[:2]
    source = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    return f'<img alt="{alt}" width="{width}" height="{height}" src="{source}">'
