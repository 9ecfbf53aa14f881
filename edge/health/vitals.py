"""What one station tells of its pictures and scores, and the warnings that come of it."""

from __future__ import annotations

from edge.bundle import Bundle
from edge.decision import Decision
from edge.health.drift import ScoreDrift
from edge.health.picture import PictureWatch
from edge.images import Frame
from edge.messages import DriftHealth, HealthWarning, PictureHealth, Precision

SAID: dict[HealthWarning, str] = {
    "frozen": "the camera gives the same picture again and again; it hangs, or its cable does",
    "dark": "the picture is dark: the lamp, the exposure, or something before the lens",
    "overexposed": "the picture is overexposed: the exposure, or light from elsewhere",
    "out_of_focus": "the picture is out of focus: the lens, its glass, or the distance",
    "score_drift": "good parts do not score as at calibration: look at lamp and lens, or calibrate again",
    "disk": "the disk has less room than the outbox may need; make room on it",
    "throttled": "the box slows itself down: look at its cooling and power supply",
}
"""Of each warning: what is seen and what to look at."""


class Vitals:
    """The pictures and scores of a bundle on a camera. `see` belongs to the camera's thread, `judge` to the engine's.

    Args:
        bundle: What its manifest says of the calibration is the measure.
        precision: The engine's.
    """

    def __init__(self, bundle: Bundle, precision: Precision) -> None:
        decision = bundle.manifest.decision
        scores = decision.thresholds[precision].scores
        self._pictures = PictureWatch(bundle.manifest.input.pictures)
        self._drift = None if scores is None else ScoreDrift(scores.mean, scores.deviation, decision.held_out_images)

    def see(self, frame: Frame, *, live: bool) -> None:
        """A frame has come."""
        self._pictures.see(frame, live=live)

    def judge(self, decision: Decision) -> None:
        """A part was judged."""
        if self._drift is not None and decision.ok:
            self._drift.add(decision.score)

    def picture(self) -> PictureHealth | None:
        """The last frame's figures."""
        last = self._pictures.last
        if last is None:
            return None
        return PictureHealth(level=last.level, saturated=last.saturated, sharpness=last.sharpness)

    def drift(self) -> DriftHealth | None:
        """How far the scores have moved."""
        return None if self._drift is None else DriftHealth(shift=self._drift.shift, limit=self._drift.limit)

    def warnings(self) -> list[HealthWarning]:
        """What is not as it was at calibration."""
        drifted: list[HealthWarning] = ["score_drift"] if self._drift is not None and self._drift.drifted else []
        return [*self._pictures.warnings, *drifted]
