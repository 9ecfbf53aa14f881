"""The cases of an evaluation that are worth a look, and how a page shows them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame, read_image
from edge_inspect.edge.text import clean
from edge_inspect.train.datasets import TestImage
from edge_inspect.train.evaluation import Evaluation
from edge_inspect.train.thumbnails import Panel, panels, scale_bar, side_by_side, size_of, small, small_map, small_mask


@dataclass(frozen=True)
class Threshold:
    """The threshold between good and bad.

    Attributes:
        value: Threshold in units of the score.
        given: Whether it is a bundle's threshold, and scores above it are rejected. Otherwise it is the F1-max
            threshold, and scores that equal it are rejected too.
    """

    value: float
    given: bool

    def rejects(self, score: float) -> bool:
        """Return whether a part with this score is rejected."""
        return score > self.value if self.given else score >= self.value


@dataclass(frozen=True)
class JudgedPicture:
    """One test picture and its verdict.

    Attributes:
        index: Index of the picture in the evaluation.
        image: The picture.
        score: Largest value of its map.
        rejected: Whether it is rejected at the threshold.
    """

    index: int
    image: TestImage
    score: float
    rejected: bool

    @property
    def name(self) -> str:
        """Kind and file name of the picture."""
        return clean(f"{self.image.kind}/{self.image.path.name}")

    @property
    def verdict(self) -> tuple[str, bool]:
        """Verdict in words, and whether it is right."""
        if self.image.good:
            return ("rejected by mistake", False) if self.rejected else ("accepted", True)
        return ("detected", True) if self.rejected else ("escapes", False)


@dataclass(frozen=True)
class Gallery:
    """Cases to show together, the most telling first."""

    title: str
    text: str
    cases: list[JudgedPicture]


def galleries(cases: Sequence[JudgedPicture], threshold: float, count: int) -> list[Gallery]:
    """Return the cases worth a look: defects found most clearly, escaping defects, rejected good parts, borderline."""
    falling = sorted(cases, key=lambda case: -case.score)
    bad, good = [c for c in falling if not c.image.good], [c for c in falling if c.image.good]
    nearest = sorted(cases, key=lambda case: abs(case.score - threshold))
    return [
        Gallery("Most clearly found", "The defects with the highest scores.", bad[:count]),
        Gallery("Escaping first", "The defects with the lowest scores: the first to be missed.", bad[::-1][:count]),
        Gallery("Rejected first", "The good parts with the highest scores: the first false alarms.", good[:count]),
        Gallery("Borderline", "The images nearest to the threshold, good or defective.", nearest[:count]),
    ]


def draw_galleries(
    evaluation: Evaluation, fit: Fit, shown: Sequence[Gallery], threshold: float
) -> tuple[str, list[tuple[str, list[Frame]]]]:
    """Draw each case's picture, the true defect's outline and the map over the picture, side by side.

    Returns:
        The galleries as HTML, and the rows of a contact sheet: each case once, with its caption and pictures.

    Raises:
        ImageError: A picture cannot be read.
    """
    chosen = {case.index: case for gallery in shown for case in gallery.cases}
    seen = {i: _thumbnails(case, evaluation, fit, threshold) for i, case in chosen.items()}
    middle = np.median(np.concatenate([values.ravel() for _, values, _, _ in seen.values()]))
    scale = float(middle), float(np.quantile(evaluation.scores, 0.9))
    drawn = {
        i: panels(escape(chosen[i].name), picture, values, scale, mask if mask.any() else None, above)
        for i, (picture, values, mask, above) in seen.items()
    }
    parts = [
        "<h2>Cases</h2>\n<p>For each image: what the network sees; the same with the true defect outlined in yellow; "
        "and the anomaly map, with a white line around pixels that reach the threshold. All maps have one scale:</p>\n"
        f"{scale_bar(*scale)}"
    ]
    for gallery in shown:
        inside = "\n".join(_figure(case, drawn[case.index]) for case in gallery.cases)
        parts.append(f'<h2>{gallery.title}</h2>\n<p class="soft">{gallery.text}</p>\n<div class="cases">{inside}</div>')
    rows = [
        (f"{case.name}  score {case.score:.4f}  {case.verdict[0]}", [picture for _, picture in drawn[i]])
        for i, case in chosen.items()
    ]
    return "\n".join(parts), rows


def _figure(case: JudgedPicture, drawn: Sequence[Panel]) -> str:
    verdict, right = case.verdict
    return (
        f'<figure class="case">{side_by_side(drawn)}'
        f"<figcaption><b>{escape(case.name)}</b> score {case.score:.4f} "
        f'<span class="verdict {"right" if right else "wrong"}">{verdict}</span></figcaption></figure>'
    )


def _thumbnails(
    case: JudgedPicture, evaluation: Evaluation, fit: Fit, threshold: float
) -> tuple[Frame, NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a small image of what the network sees of a frame, without padding, in the frame's proportions.

    Returns:
        The picture, its map, and two 0/1 masks: the ground truth, and where the map reaches the threshold.
    """
    values, mask = evaluation.maps[case.index], evaluation.masks[case.index] > 0
    if evaluation.drawn is None:
        frame = read_image(case.image.path, fit.bits)
        left, top, right, bottom = fit.apply(frame)[1].seen
        picture = frame[top:bottom, left:right]
        across, down = values.shape[1] / frame.shape[1], values.shape[0] / frame.shape[0]
        x0, y0, x1, y1 = int(left * across), int(top * down), math.ceil(right * across), math.ceil(bottom * down)
    else:
        x0, y0, x1, y1 = _shown(evaluation.valid[case.index])
        picture = evaluation.drawn[case.index, y0:y1, x0:x1]
    size = size_of(picture.shape[1], picture.shape[0])
    values, mask = values[y0:y1, x0:x1], mask[y0:y1, x0:x1]
    above = small_mask(values >= threshold, size)
    return small(picture, size), small_map(values, size), small_mask(mask, size), above


def _shown(valid: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return the rectangle of pixels that show the frame: left, top, right, bottom; everything if none does."""
    rows, columns = np.flatnonzero(valid.any(axis=1)), np.flatnonzero(valid.any(axis=0))
    if not len(rows):
        return 0, 0, valid.shape[1], valid.shape[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
