"""How the scores of another precision follow those of FP32, so that the threshold can be moved to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_inspect.calibrate.thresholds.threshold import TailFit


@dataclass(frozen=True)
class Pairing:
    """The effect of a precision on the scores of good pictures near the threshold.

    If each precision took a threshold from its own scores, that would be another estimate, and the scatter between two
    estimates changes verdicts. Paired scores of the same pictures scatter far less. A shift is enough: a line through
    the pairs, or its slope alone, changes more verdicts (docs/measurements.md, "Precisions").

    Attributes:
        shift: Median difference from FP32's scores, over the upper half of the pictures.
        pictures: Number of pictures in that half.
    """

    shift: float
    pictures: int

    def moved(self, fit: TailFit) -> TailFit:
        """Return FP32's threshold moved to this precision; its promise stays the same."""
        return dataclasses.replace(
            fit,
            threshold=fit.threshold + self.shift,
            threshold_low=fit.threshold_low + self.shift,
            threshold_high=fit.threshold_high + self.shift,
            method=f"FP32's threshold moved by {self.shift:+.4g}, the median shift of {self.pictures} paired scores",
        )


def pair(fp32: Sequence[float], scores: Sequence[float]) -> Pairing:
    """Pair the scores of the same good pictures.

    Args:
        fp32: Scores in FP32, at least one.
        scores: Scores in the other precision.
    """
    exact, other = np.asarray(fp32, np.float64), np.asarray(scores, np.float64)
    upper = exact >= np.median(exact)
    return Pairing(float(np.median((other - exact)[upper])), int(np.count_nonzero(upper)))
