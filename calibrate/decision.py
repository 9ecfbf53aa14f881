"""What held-out good images decide: the threshold of each precision, and which precision a station runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_inspect.calibrate.confidence import percent
from edge_inspect.calibrate.contest import Contest
from edge_inspect.calibrate.damage import Budget
from edge_inspect.calibrate.measurement import Measurement, measure
from edge_inspect.calibrate.networks import Networks
from edge_inspect.calibrate.pairing import pair
from edge_inspect.calibrate.preference import Preference, objection, prefer
from edge_inspect.calibrate.threshold import TailFit, images_to_resolve, resolvable_rate, resolves, tail_threshold
from edge_inspect.calibrate.verdicts import Agreement, agreements
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.frame.images import Frame

PIXEL_QUANTILE = 0.999
FEW_GOOD, MANY_GOOD = 30, 100

Say = Callable[[str], None]


@dataclass(frozen=True)
class Decided:
    """What held-out good images say of each precision, and what follows.

    Attributes:
        scores: FP32's of the good parts that set the threshold.
        measured: Scores, maps and latency.
        fits: The threshold of each.
        agreed: How often each gives FP32's verdict.
        preference: What a station runs unless told otherwise, and why.
        contest: What was timed in turns, and what OpenVINO would do by itself on a processor with a faster float.
    """

    scores: Sequence[float]
    measured: Mapping[Precision, Measurement]
    fits: Mapping[Precision, TailFit]
    agreed: Mapping[Precision, Agreement]
    preference: Preference
    contest: Contest

    @property
    def limits(self) -> dict[Precision, float]:
        """The thresholds."""
        return {name: fit.threshold for name, fit in self.fits.items()}

    def scores_in(self, precision: Precision) -> list[float]:
        """Return the scores that set the threshold, moved to a precision as the threshold was."""
        limits = self.limits
        return [score + (limits[precision] - limits["fp32"]) for score in self.scores]


def fit_fp32(scores: Sequence[float], rate: float | None, say: Say) -> TailFit:
    """Set FP32's threshold.

    Args:
        scores: FP32's of good parts, each from a model that has not seen it.
        rate: The share of good parts to reject; `None` is the smallest that the scores resolve.
        say: Is told what is decided.
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
        drafts: The bundle in the making with the networks that give each precision's numbers here, and with those
            that it will hold.
        networks: Both kinds, and what each loses on flaws.
        contest: How fast they are.
        frames: Good ones that the model has not seen.
        scores: FP32's of good parts that set the threshold, each of a model that has not seen it.
        fit: FP32's threshold, of those scores.
        budget: What a precision may lose.
        say: Is told what is decided.
    """
    arithmetic, files = drafts
    measured = {precision: measure(arithmetic, precision, frames) for precision in arithmetic.manifest.precisions}
    if "fp16" in measured:
        here = measure(files, "fp16", frames[:1])
        measured["fp16"] = dataclasses.replace(measured["fp16"], latency_ms=here.latency_ms)
    fits = fit_all(fit, measured)
    for name, fit in fits.items():
        say(f"{name}: {measured[name].latency_ms:.1f} ms, {fit}")
    _warn(scores, fits["fp32"], say)
    agreed = agreements({name: m.scores for name, m in measured.items()}, {n: fit.threshold for n, fit in fits.items()})
    for name, agreement in agreed.items():
        say(f"{name} {agreement} held-out good images")
    against = {name: objection(name, measured, networks, budget) for name in measured}
    own = contest.own_default
    if own is not None and own.type == "bf16" and own.broken:
        against["bf16"] = f"is beyond the budget ({own.broken})"
    preference = prefer(contest.latency_ms, against)
    say(f"a station runs {preference.preferred}: {preference.why}")
    return Decided(scores, measured, fits, agreed, preference, contest)


def fit_all(fit: TailFit, measured: Mapping[Precision, Measurement]) -> dict[Precision, TailFit]:
    """Return FP32's threshold, and those of the other precisions, moved from it by what each does to good pictures.

    Args:
        fit: FP32's.
        measured: What each precision says of the same good pictures.
    """
    exact = measured["fp32"].scores
    return {
        name: fit if name == "fp32" else pair(exact, measurement.scores).moved(fit)
        for name, measurement in measured.items()
    }


def _warn(scores: Sequence[float], fit: TailFit, say: Say) -> None:
    """Tells what a threshold is worth that few good images set, or images that are all alike."""
    if not resolves(fit.rate, fit.images):
        say(
            f"warning: {fit.images} good images cannot tell a false-reject rate of {percent(fit.rate)}, so the "
            f"threshold is extrapolated beyond the highest score: up to {percent(fit.rate_high)} of good parts may be "
            f"rejected, and defects pass that a lower threshold would find; {images_to_resolve(fit.rate)} images can "
            f"tell that rate, {_resolved(fit.images)}"
        )
    elif fit.images < FEW_GOOD:
        say(
            f"warning: the threshold is a guess, for only {fit.images} good images that the model has not seen set it: "
            f"it may reject up to {percent(fit.rate_high)} of good parts; give at least {FEW_GOOD}, better "
            f"{MANY_GOOD}, and {fit.images_wanted} to rely on {percent(fit.rate)}"
        )
    if fit.images > 1 and np.ptp(scores) == 0:
        say("warning: these good images all score the same, so the threshold allows for no variation: are they copies?")


def _resolved(images: int) -> str:
    """What so many good images can tell, in words."""
    rate = resolvable_rate(images)
    if resolves(rate, images):
        return f"and yours tell {percent(rate)} (--false-reject-rate auto)"
    return f"and yours tell none; give at least {images_to_resolve(rate)} for {percent(rate)}"


def thresholds_of(measured: Measurement, fit: TailFit, scores: Sequence[float]) -> dict[str, Any]:
    """Return the thresholds of one precision, for the manifest.

    The pixel threshold is the value that one pixel in a thousand of good parts exceeds. It rejects nothing: it outlines
    the regions of parts that are rejected anyway, and for that rate a single good image has pixels enough: no tail is
    fitted. It is never above the image threshold, so that a rejected part has a region. Padding, where no region can
    lie, does not count.

    Args:
        measured: What the precision says of good pictures that the model has not seen.
        fit: Its threshold.
        scores: Those that set the threshold, in this precision.
    """
    shown = np.concatenate([values.ravel() for values in measured.shown])
    return {
        "image": fit.threshold,
        "pixel": min(float(np.quantile(shown, PIXEL_QUANTILE)), fit.threshold),
        "method": fit.method,
        "image_low": fit.threshold_low,
        "image_high": fit.threshold_high,
        "rate_low": fit.rate_low,
        "rate_high": fit.rate_high,
        "scores": _scores(scores),
    }


def _scores(scores: Sequence[float]) -> dict[str, float] | None:
    """How good parts score; one image does not tell how far they differ."""
    if len(scores) < 2:
        return None
    return {"mean": float(np.mean(scores)), "deviation": float(np.std(scores, ddof=1))}
