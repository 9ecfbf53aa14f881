"""Decisions from held-out good images: the threshold of each precision, and which precision a station runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_inspect.calibrate.networks import Networks
from edge_inspect.calibrate.precisions.contest import Contest
from edge_inspect.calibrate.precisions.damage import Budget
from edge_inspect.calibrate.precisions.measurement import Measurement, measure
from edge_inspect.calibrate.precisions.preference import Preference, objection, prefer
from edge_inspect.calibrate.precisions.verdicts import Agreement, agreements
from edge_inspect.calibrate.thresholds.confidence import percent
from edge_inspect.calibrate.thresholds.pairing import pair
from edge_inspect.calibrate.thresholds.threshold import (
    TailFit,
    images_to_resolve,
    pixel_threshold,
    resolvable_rate,
    resolves,
    tail_threshold,
)
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.bundle.manifest import ScorePart, Thresholds
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.frame.images import Frame

FEW_GOOD, MANY_GOOD = 30, 100

Say = Callable[[str], None]


@dataclass(frozen=True)
class Decided:
    """Measurements of each precision on held-out good images, and the decisions that follow.

    Attributes:
        scores: FP32's scores of the good parts that set the threshold.
        measured: Scores, maps and latency of each precision.
        fits: Threshold of each precision.
        agreed: How often each precision gives FP32's verdict.
        preference: The precision that a station runs unless told otherwise, and the reason.
        contest: The times that were measured in turns, and what OpenVINO would do by default on a processor with a
            faster float.
    """

    scores: Sequence[float]
    measured: Mapping[Precision, Measurement]
    fits: Mapping[Precision, TailFit]
    agreed: Mapping[Precision, Agreement]
    preference: Preference
    contest: Contest

    @property
    def limits(self) -> dict[Precision, float]:
        """Thresholds of the precisions."""
        return {name: fit.threshold for name, fit in self.fits.items()}

    def scores_in(self, precision: Precision) -> list[float]:
        """Return the scores that set the threshold, moved to a precision in the same way as the threshold."""
        limits = self.limits
        return [score + (limits[precision] - limits["fp32"]) for score in self.scores]


def fit_fp32(scores: Sequence[float], rate: float | None, say: Say) -> TailFit:
    """Set FP32's threshold.

    Args:
        scores: FP32's scores of good parts, each from a model that has not seen the part.
        rate: Share of good parts to reject; `None` takes the smallest that can be estimated from the scores.
        say: Called with each decision.
    """
    if rate is None:
        rate = resolvable_rate(len(scores))
        say(f"the threshold is set to reject {percent(rate)} of good parts, which {len(scores)} images can tell")
    return tail_threshold(scores, rate)


def decide(
    drafts: tuple[Bundle, Bundle],
    networks: Networks,
    contest: Contest,
    frames: Sequence[Frame],
    scores: Sequence[float],
    fit: TailFit,
    budget: Budget,
    say: Say,
) -> Decided:
    """Move FP32's threshold to the other precisions, and choose among them.

    Args:
        drafts: Two bundles in the making: one with the networks that give each precision's numbers on this machine,
            one with the networks that the bundle will hold.
        networks: Both kinds of networks, and the loss of each precision on flaws.
        contest: Times of the precisions.
        frames: Good frames that the model has not seen.
        scores: FP32's scores of the good parts that set the threshold, each from a model that has not seen the part.
        fit: FP32's threshold, set by these scores.
        budget: How much a precision may lose.
        say: Called with each decision.
    """
    arithmetic, files = drafts
    measured = {precision: measure(arithmetic, precision, frames) for precision in arithmetic.manifest.precisions}
    if "fp16" in measured:
        here = measure(files, "fp16", frames[:1])
        measured["fp16"] = dataclasses.replace(measured["fp16"], latency_ms=here.latency_ms)
    fits = fit_all(fit, measured)
    for name, fit in fits.items():
        say(f"{name}: {measured[name].latency_ms:.1f} ms, {fit}")
    for warning in warnings_about(scores, fits["fp32"]):
        say(warning)
    agreed = agreements({name: m.scores for name, m in measured.items()}, {n: fit.threshold for n, fit in fits.items()})
    for name, agreement in agreed.items():
        say(f"{name} {agreement} held-out good images")
    exact = measured["fp32"].scores
    against = {name: objection(m.scores, exact, networks.beyond(name, budget)) for name, m in measured.items()}
    own = contest.own_default
    if own is not None and own.type == "bf16" and own.broken:
        against["bf16"] = f"is beyond the budget ({own.broken})"
    preference = prefer(contest.latency_ms, against)
    say(f"a station runs {preference.preferred}: {preference.why}")
    return Decided(scores, measured, fits, agreed, preference, contest)


def fit_all(fit: TailFit, measured: Mapping[Precision, Measurement]) -> dict[Precision, TailFit]:
    """Return the threshold of each precision: FP32's, moved by the precision's effect on good pictures.

    Args:
        fit: FP32's threshold.
        measured: Measurements of each precision on the same good pictures.
    """
    exact = measured["fp32"].scores
    return {
        name: fit if name == "fp32" else pair(exact, measurement.scores).moved(fit)
        for name, measurement in measured.items()
    }


def warnings_about(scores: Sequence[float], fit: TailFit) -> list[str]:
    """Return warnings if few good images set the threshold, or if the images are all alike.

    Args:
        scores: Scores that set the threshold.
        fit: The threshold.
    """
    warnings = []
    if not resolves(fit.rate, fit.images):
        warnings.append(
            f"warning: {fit.images} good images cannot tell a false-reject rate of {percent(fit.rate)}, so the "
            f"threshold is extrapolated beyond the highest score: up to {percent(fit.rate_high)} of good parts may be "
            f"rejected, and defects that a lower threshold would find pass; {images_to_resolve(fit.rate)} images can "
            f"tell that rate, {_resolved(fit.images)}"
        )
    elif fit.images < FEW_GOOD:
        warnings.append(
            f"warning: the threshold is a guess, because only {fit.images} good images that the model has not seen set "
            f"it: it may reject up to {percent(fit.rate_high)} of good parts; give at least {FEW_GOOD}, better "
            f"{MANY_GOOD}, and {fit.images_wanted} to rely on {percent(fit.rate)}"
        )
    if fit.images > 1 and np.ptp(scores) == 0:
        warnings.append(
            "warning: these good images all score the same, so the threshold allows for no variation: are they copies?"
        )
    return warnings


def _resolved(images: int) -> str:
    """Return which rate so many good images can tell, in words."""
    rate = resolvable_rate(images)
    if resolves(rate, images):
        return f"and yours tell {percent(rate)} (--false-reject-rate auto)"
    return f"and yours tell none; give at least {images_to_resolve(rate)} for {percent(rate)}"


def thresholds_of(measured: Measurement, fit: TailFit, scores: Sequence[float]) -> Thresholds:
    """Return the thresholds of one precision, for the manifest.

    Args:
        measured: Measurement of the precision on good pictures that the model has not seen.
        fit: The precision's image threshold.
        scores: Scores that set the threshold, in this precision.
    """
    return Thresholds(
        image=fit.threshold,
        pixel=pixel_threshold(measured.shown, fit.threshold),
        method=fit.method,
        image_low=fit.threshold_low,
        image_high=fit.threshold_high,
        rate_low=fit.rate_low,
        rate_high=fit.rate_high,
        scores=_scores(scores),
    )


def _scores(scores: Sequence[float]) -> ScorePart | None:
    """Return how good parts score; `None` for a single image, which does not tell how much scores differ."""
    if len(scores) < 2:
        return None
    return ScorePart(mean=float(np.mean(scores)), deviation=float(np.std(scores, ddof=1)))
