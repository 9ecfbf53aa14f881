"""The watch of one bundle on one camera: compares pictures, scores and rejects with the calibration, and warns."""

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
    "frozen": "the camera gives the same picture again and again; check the camera and its cable",
    "dark": "the picture is too dark; check the lamp and the exposure, and whether something covers the lens",
    "overexposed": "the picture is overexposed; check the exposure, and light from other sources",
    "out_of_focus": "the picture is out of focus; check the lens, its front glass, and the distance to the part",
    "many_rejects": "more parts are rejected than usual",
    "score_drift": "the scores of the parts have moved away from those of the calibration",
    "disk": "the disk has less free space than the outbox may need; free some space",
    "throttled": "the box runs slower to protect itself; check its cooling and its power supply",
}
"""A sentence for each warning: what is wrong, and what to check. For rejects and drift the likely cause is added."""


_OF_PICTURES: dict[Measure, HealthWarning] = {
    "light": "light_changed",
    "focus": "focus_changed",
    "position": "position_changed",
}
_CHANGES: tuple[HealthWarning, ...] = ("many_rejects", "score_drift", *_OF_PICTURES.values())


class CalibrationWatch:
    """Compares the pictures, scores and rejects of a station with the calibration of its bundle.

    The camera thread calls `see`, and the engine thread calls `add`; any thread may call the other methods.

    Args:
        bundle: The bundle; its manifest says what pictures and scores were like at calibration.
        precision: Precision of the engine.
        defect_share: Share of bad parts that is normal on the line.
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
        """Take in the figures of a frame; `live` is whether the camera gives frames at its own rate."""
        self._pictures.see(figures, live=live)
        self._change.add(figures)

    def add(self, decision: Decision) -> None:
        """Take in the decision on a part."""
        self._rejects.add(rejected=not decision.ok)
        if self._drift is not None and decision.not_found is None:
            self._drift.add(decision.score)

    def picture(self) -> PictureHealth | None:
        """Return the figures of the last frame, and how far pictures have changed; `None` before the first frame."""
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
        """Return how far the scores have moved; `None` if the bundle does not say what scores were like."""
        return None if self._drift is None else DriftHealth(shift=self._drift.shift, limit=self._drift.limit)

    def rejects(self) -> RejectHealth:
        """Return the share of rejected parts, and the state of its control chart."""
        chart = self._rejects
        return RejectHealth(share=chart.share, usual=chart.usual, evidence=chart.sum, limit=chart.limit)

    def changes(self) -> list[HealthWarning]:
        """Return the warnings about changes since the calibration, or since the start: rejects, pictures, scores."""
        changed = [_OF_PICTURES[measure] for measure in self._change.changed]
        many: list[HealthWarning] = ["many_rejects"] if self._rejects.alarmed else []
        drifted: list[HealthWarning] = ["score_drift"] if self._drift is not None and self._drift.drifted else []
        return [*many, *changed, *drifted]

    def warnings(self) -> list[HealthWarning]:
        """Return all warnings about pictures, rejects and scores."""
        return [*self._pictures.warnings, *self.changes()]

    def cause(self) -> Cause | None:
        """Return the likely cause of the changes; `None` if there are none."""
        return likely_cause(self._change.changes) if self.changes() else None

    def remedy(self) -> str | None:
        """Return a sentence on what has changed in the pictures and what to do; `None` if nothing has changed."""
        cause = self.cause()
        return None if cause is None else remedy(cause, self._change.changes)

    def sentence(self, warning: HealthWarning) -> str:
        """Return a warning as a sentence for the status: what is wrong, the likely cause, and what to check.

        The sentence keeps the figures of the moment at which the warning began, so that the status does not change with
        every part.
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
        share = f" ({100 * chart.share:.0f} % of about the last 200 parts; up to {100 * chart.usual:.0f} % are usual)"
        seen = f"{SENTENCES[warning]}{share if warning == 'many_rejects' else ''}"
        return f"{seen}: {remedy(likely_cause(changes), changes)}"
