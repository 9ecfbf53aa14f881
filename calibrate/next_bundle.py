"""The next bundle: a bundle's networks with thresholds from a line's own parts. Runs on the box, without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from calibrate.confidence import percent
from calibrate.counts import found_flaws
from calibrate.line_parts import LineParts
from calibrate.line_scores import good_scores
from calibrate.threshold import TailFit, resolvable_rate, tail_threshold
from edge.bundle import REPORT, THRESHOLD_SOURCE, Bundle, Thresholds, write_bundle
from edge.errors import BundleError, UsageError
from edge.messages import Precision, format_time, utc_now
from edge.text import clean


class NextBundle(NamedTuple):
    """A bundle with a threshold of the line's own.

    Attributes:
        bundle: It.
        fit: The threshold in the precision that judged, and what it promises.
        left_out: Parts that were taken for bad.
    """

    bundle: Bundle
    fit: TailFit
    left_out: int


def make_next(parent: Bundle, parts: LineParts, out: Path, *, bad_share: float, rate: float | None) -> NextBundle:
    """Write a bundle that differs from its parent in its thresholds alone; its golden frames are the parent's.

    Args:
        parent: The bundle that judged the parts.
        parts: What they scored, bad ones among them.
        out: The folder to make.
        bad_share: The largest share of bad parts among them.
        rate: Share of good parts to reject; `None`: the smallest that the good scores resolve.

    Raises:
        UsageError: A share is out of range, or the parent has no such precision.
        BundleError: `out` is there already, or cannot be written.
    """
    if not 0 <= bad_share < 0.5:
        raise UsageError(f"--bad-share {bad_share:g} must be at least 0 and below 0.5")
    if rate is not None and not 0 < rate < 1:
        raise UsageError(f"--false-reject-rate {rate:g} must lie between 0 and 1")
    if parts.precision not in parent.manifest.precisions:
        raise UsageError(f"{clean(parent.path)}: has no {parts.precision}, in which the parts were judged")
    if out.exists():
        raise BundleError(f"{out}: is there already; give another --out or remove it")
    good = good_scores(parts.scores, bad_share)
    fit = tail_threshold(good.tolist(), resolvable_rate(good.size) if rate is None else rate)
    left_out = parts.scores.size - good.size
    fields = parent.manifest.model_dump(mode="json", exclude={"format", "files"})
    limits = _limits(parent, parts.precision, fit, good)
    fields["decision"] |= {
        "false_reject_rate": fit.rate,
        "held_out_images": fit.images,
        "images_wanted": fit.images_wanted,
        "method": limits[parts.precision]["method"],
        "thresholds": limits,
        "flaws": _recounted(parent, limits),
        "defects": [],
    }
    fields |= {"name": clean(out.name.removesuffix(".zip")), "created": format_time(utc_now())}
    fields["provenance"][THRESHOLD_SOURCE] = {
        "source": parts.source,
        "parent": {"name": parent.manifest.name, "digest": parent.digest},
        "stations": list(parts.stations),
        "precision": parts.precision,
        "parts": int(parts.scores.size),
        "left_out": int(left_out),
        "bad_share": bad_share,
    }
    contents = {name: parent.file(name) for name in parent.manifest.files}
    return NextBundle(write_bundle(out, fields, contents), fit, left_out)


def _limits(
    parent: Bundle, judged: Precision, fit: TailFit, good: NDArray[np.float64]
) -> dict[Precision, dict[str, Any]]:
    """Return the thresholds of each precision; of those that did not judge, by how both scored the parent's images.

    A score that lies z deviations above the mean in one precision does so in another: they compute the same.
    """
    thresholds = parent.manifest.decision.thresholds
    before = thresholds[judged]
    mean, deviation = float(good.mean()), float(good.std(ddof=1))
    limits: dict[Precision, dict[str, Any]] = {}
    for precision, own in thresholds.items():
        scale, shift = _as_in(before, own)
        image, low, high = (scale * value + shift for value in (fit.threshold, fit.threshold_low, fit.threshold_high))
        method = f"{fit.method.replace('held-out good scores', 'scores of good parts of the line')}"
        limits[precision] = {
            "image": image,
            "pixel": min(own.pixel, image),
            "method": method if precision == judged else f"as for {judged}: {method}",
            "image_low": low,
            "image_high": high,
            "rate_low": fit.rate_low,
            "rate_high": fit.rate_high,
            "scores": {"mean": scale * mean + shift, "deviation": scale * deviation},
        }
    return limits


def _recounted(parent: Bundle, limits: dict[Precision, dict[str, Any]]) -> list[dict[str, float]]:
    """Return how many flaws the new threshold finds of those that the parent was tried with; older ones were not."""
    try:
        flaws = json.loads(parent.file(REPORT))["flaws"]
        limit = limits[flaws["precision"]]["image"]
        return found_flaws({each["width"]: each["scores"] for each in flaws["widths"]}, limit)
    except (BundleError, KeyError, TypeError, ValueError):
        return []


def _as_in(judged: Thresholds, other: Thresholds) -> tuple[float, float]:
    """Return factor and summand that bring scores of the precision that judged to those of another one."""
    if judged.scores is None or other.scores is None or judged.scores.deviation <= 0:
        return 1.0, other.image - judged.image
    scale = other.scores.deviation / judged.scores.deviation
    return scale, other.scores.mean - scale * judged.scores.mean


def describe_source(bundle: Bundle) -> str | None:
    """Return where a threshold of a line's own parts came from, for a person; `None` of other bundles."""
    source = bundle.manifest.provenance.get(THRESHOLD_SOURCE)
    if not isinstance(source, dict):
        return None
    try:
        return (
            f"by {source['parts']} parts of the line, {source['left_out']} of them left out as bad (up to "
            f"{percent(source['bad_share'])} were to be expected), judged by {source['parent']['name']} "
            f"{source['parent']['digest'][:16]}"
        )
    except (KeyError, TypeError):  # of a later release
        return "by parts of the line"
