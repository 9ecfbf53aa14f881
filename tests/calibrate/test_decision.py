"""The thresholds of a precision, and the warnings about a threshold that few good pictures set."""

from __future__ import annotations

import numpy as np
import pytest

from edge_inspect.calibrate.decision import thresholds_of, warnings_about
from edge_inspect.calibrate.precisions.measurement import Measurement
from edge_inspect.calibrate.thresholds.threshold import tail_threshold


def warned(images: int, rate: float) -> list[str]:
    scores = np.random.default_rng(0).normal(size=images).tolist()
    return warnings_about(scores, tail_threshold(scores, rate))


@pytest.mark.parametrize(
    ("images", "rate", "wanted", "instead"),
    [
        (20, 0.001, "999 images can tell that rate", "yours tell 5 % (--false-reject-rate auto)"),
        (120, 0.002, "499 images can tell that rate", "yours tell 2 % (--false-reject-rate auto)"),
        (400, 0.0001, "9999 images can tell that rate", "yours tell 0.5 % (--false-reject-rate auto)"),
        (4, 0.05, "19 images can tell that rate", "yours tell none; give at least 19 for 5 %"),
    ],
)
def test_a_rate_that_the_scores_cannot_tell_is_warned_of(images: int, rate: float, wanted: str, instead: str) -> None:
    (said,) = warned(images, rate)
    assert said.startswith(f"warning: {images} good images cannot tell a false-reject rate of {100 * rate:.3g} %")
    assert "extrapolated beyond the highest score" in said and wanted in said and said.endswith(instead)


def test_few_images_are_warned_of_and_enough_are_not() -> None:
    (said,) = warned(21, 0.05)
    assert said.startswith("warning: the threshold is a guess, because only 21 good images")
    assert warned(40, 0.05) == warned(999, 0.001) == []


def test_images_that_all_score_the_same_are_said() -> None:
    (said,) = warnings_about([0.5] * 40, tail_threshold([0.5] * 40, 0.05))
    assert said.endswith("are they copies?")


def test_padding_has_no_part_in_the_pixel_threshold() -> None:
    values = np.zeros((20, 20), np.float32)
    values[5:15] = 1
    fit = tail_threshold([3.0], 0.1)
    for factor, pixel in ((1, 1), (9, 3)):
        measured = Measurement([3.0], [values * factor], [values[5:15] * factor], 1.0)
        assert thresholds_of(measured, fit, [3.0]).pixel == pixel, "no higher than the image threshold"
