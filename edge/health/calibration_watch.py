"""The watch over pictures and scores: are they as at calibration? With the warnings where they are not."""

from __future__ import annotations

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.contract.health import (
    Cause,
    DriftHealth,
    HealthWarning,
    PictureChangeHealth,
    PictureHealth,
    RejectHealth,
)
from edge_inspect.edge.decision import Decision
from edge_inspect.edge.health.cause import likely_cause, remedy
from edge_inspect.edge.health.drift import ScoreDrift
from edge_inspect.edge.health.picture import Measure, PictureFigures, PictureWatch
from edge_inspect.edge.health.picture_change import PictureChange
from edge_inspect.edge.health.rejects import RejectChart, usual_share

SENTENCES: dict[HealthWarning, str] = {
    "frozen": "the camera gives the same picture again and again; it hangs, or its cable does",
    "dark": "the picture is dark: the lamp, the exposure, or something before the lens",
    "overexposed": "the picture is overexposed: the exposure, or light from elsewhere",
    "out_of_focus": "the picture is out of focus: the lens, its glass, or the distance",
    "many_rejects": "more parts are rejected than usual",
    "score_drift": "parts do not score as at calibration",
    "disk": "the disk has less room than the outbox may need; make room on it",
    "throttled": "the box slows itself down: look at its cooling and power supply",
}
"""Of each warning: what is seen, and what to look at where the pictures do not say it."""


_OF_PICTURES: dict[Measure, HealthWarning] = {
    "light": "light_changed",
    "focus": "focus_changed",
    "position": "position_changed",
}
_CHANGES: tuple[HealthWarning, ...] = ("many_rejects", "score_drift", *_OF_PICTURES.values())


class CalibrationWatch:
    """The pictures and scores of a bundle on a camera. `see` belongs to the camera's thread, `add` to the engine's.

    Args:
        bundle: What its manifest says of the calibration is the measure.
        precision: The engine's.
        defect_share: The share of bad parts that is usual on the line.
    """

    def __init__(self, bundle: Bundle, precision: Precision, defect_share: float = 0.0) -> None:
        decision, pictures = bundle.manifest.decision, bundle.manifest.input.pictures
        limits = decision.thresholds[precision]
        scores = limits.scores
        self._pictures = PictureWatch(pictures)
        self._change = PictureChange(None if pictures is None else pictures.norm)
        self._rejects = RejectChart(usual_share(decision, limits, defect_share))
        self._sentences: dict[tuple[HealthWarning, Cause | None], str] = {}
        self._drift = None
        if scores is not None:
            images = decision.held_out_images
            self._drift = ScoreDrift(scores.mean, scores.deviation, images, defect_share, scores.wander)

    def see(self, figures: PictureFigures, *, live: bool) -> None:
        """Take in a frame that shows this."""
        self._pictures.see(figures, live=live)
        self._change.add(figures)

    def add(self, decision: Decision) -> None:
        """Take in the decision on a part, whether accepted or rejected."""
        self._rejects.add(rejected=not decision.ok)
        if self._drift is not None:
            self._drift.add(decision.score)

    def picture(self) -> PictureHealth | None:
        """Return the last frame's figures."""
        last = self._pictures.last
        if last is None:
            return None
        return PictureHealth(
            level=last.level, saturated=last.saturated, sharpness=last.sharpness, changes=self._picture_changes()
        )

    def _picture_changes(self) -> PictureChangeHealth | None:
        changes = self._change.changes
        if not changes:
            return None
        limits = {f"{measure}_limit": change.limit for measure, change in changes.items()}
        return PictureChangeHealth(**{measure: change.value for measure, change in changes.items()}, **limits)

    def drift(self) -> DriftHealth | None:
        """Return how far the scores have moved."""
        return None if self._drift is None else DriftHealth(shift=self._drift.shift, limit=self._drift.limit)

    def rejects(self) -> RejectHealth:
        """Return how many parts are rejected."""
        chart = self._rejects
        return RejectHealth(share=chart.share, usual=chart.usual, evidence=chart.sum, limit=chart.limit)

    def changes(self) -> list[HealthWarning]:
        """Return what has changed since the calibration, or since the start: pictures, share of rejects, scores."""
        changed = [_OF_PICTURES[measure] for measure in self._change.changed]
        many: list[HealthWarning] = ["many_rejects"] if self._rejects.alarmed else []
        drifted: list[HealthWarning] = ["score_drift"] if self._drift is not None and self._drift.drifted else []
        return [*many, *changed, *drifted]

    def warnings(self) -> list[HealthWarning]:
        """Return what is not as it was at calibration."""
        return [*self._pictures.warnings, *self.changes()]

    def cause(self) -> Cause | None:
        """Return the likely cause of what `changes` says; `None` where that is nothing."""
        return likely_cause(self._change.changes) if self.changes() else None

    def remedy(self) -> str | None:
        """Return what has changed in the pictures and what to do, in words; `None` where `changes` says nothing."""
        cause = self.cause()
        return None if cause is None else remedy(cause, self._change.changes)

    def sentence(self, warning: HealthWarning) -> str:
        """Return a warning in a sentence, for the status: what is seen, the likely cause, and what to look at.

        The figures in it are those of its beginning, so that a status is said once.
        """
        if warning not in _CHANGES:
            return SENTENCES[warning]
        changes = self.changes()
        self._sentences = {key: text for key, text in self._sentences.items() if key[0] in changes}
        return self._sentences.setdefault((warning, self.cause()), self._word(warning))

    def _word(self, warning: HealthWarning) -> str:
        chart, changes = self._rejects, self._change.changes
        for measure, changed in _OF_PICTURES.items():
            if warning == changed:
                return remedy(measure, changes)
        share = f" ({100 * chart.share:.0f} % of about the last 200, up to {100 * chart.usual:.0f} % are usual)"
        seen = f"{SENTENCES[warning]}{share if warning == 'many_rejects' else ''}"
        return f"{seen}: {remedy(likely_cause(changes), changes)}"
