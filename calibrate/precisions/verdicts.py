"""Verdicts of the thresholds on images: whether the precisions agree, and which defects escape."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edge_inspect.calibrate.precisions.measurement import measure
from edge_inspect.calibrate.thresholds.confidence import LEVEL, percent
from edge_inspect.calibrate.thresholds.threshold import clopper_pearson
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.frame.images import Frame


@dataclass(frozen=True)
class Agreement:
    """How often a precision and FP32, each by its own threshold, give the same verdict.

    Attributes:
        images: Number of images that both judged.
        same: Number of images on which they agree.
    """

    images: int
    same: int

    def __str__(self) -> str:
        """Return the agreement in words."""
        return f"gives the verdict of FP32 on {self.same} of {self.images}"


@dataclass(frozen=True)
class Escapes:
    """How many defective images a precision accepts.

    Attributes:
        images: Number of defective images.
        rejected: Number of images above the threshold.
        escape_rate: Share of images that are not rejected.
        escape_low: Lower end of the interval (Clopper and Pearson) of that share among all defects like these.
        escape_high: Upper end of this interval.
    """

    images: int
    rejected: int
    escape_rate: float
    escape_low: float
    escape_high: float

    def __str__(self) -> str:
        """Return one line for a person."""
        return (
            f"{self.images - self.rejected} of {self.images} defective images escape, {percent(self.escape_rate)}; "
            f"of all defects like these, {percent(self.escape_low)} to {percent(self.escape_high)} "
            f"({percent(LEVEL)} confidence)"
        )


def agreements(
    scores: Mapping[Precision, Sequence[float]], thresholds: Mapping[Precision, float]
) -> dict[Precision, Agreement]:
    """Return how often each other precision agrees with FP32 on the same images."""
    verdicts = {precision: [score > thresholds[precision] for score in found] for precision, found in scores.items()}
    reference = verdicts.pop("fp32")
    return {
        precision: Agreement(len(reference), sum(a == b for a, b in zip(found, reference, strict=True)))
        for precision, found in verdicts.items()
    }


def escapes(scores: Sequence[float], threshold: float) -> Escapes:
    """Return how many defective images a threshold lets escape, from their scores, at least one."""
    escaped = sum(score <= threshold for score in scores)
    return Escapes(len(scores), len(scores) - escaped, escaped / len(scores), *clopper_pearson(escaped, len(scores)))


def judge_defects(
    bundle: Bundle, frames: Sequence[Frame], thresholds: Mapping[Precision, float], say: Callable[[str], None]
) -> tuple[dict[str, Any], dict[Precision, list[float]]]:
    """Return how many defective images each precision would let escape, for the report, and the images' scores.

    They decide nothing.
    """
    scores = {precision: measure(bundle, precision, frames).scores for precision in bundle.manifest.precisions}
    report: dict[str, Any] = {}
    for precision, found in scores.items():
        escaped = escapes(found, thresholds[precision])
        say(f"{precision}: {escaped}")
        report[precision] = {**asdict(escaped), "scores": [round(score, 6) for score in found]}
    for precision, agreement in agreements(scores, thresholds).items():
        say(f"{precision} {agreement} defective images")
        report[precision]["verdicts_as_fp32"] = asdict(agreement)
    return report, scores
