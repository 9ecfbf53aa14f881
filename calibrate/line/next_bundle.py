"""The next bundle: a bundle's networks with thresholds from a line's own parts. Runs on the box, without torch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from edge_inspect.calibrate.counts import found_flaws
from edge_inspect.calibrate.line.parts import LineParts
from edge_inspect.calibrate.line.reference import picture_reference, score_reference, wide_limits
from edge_inspect.calibrate.line.scores import sort_out
from edge_inspect.calibrate.manifest import ManifestDraft
from edge_inspect.calibrate.thresholds.confidence import percent
from edge_inspect.calibrate.thresholds.threshold import TailFit, clopper_pearson, resolvable_rate, tail_threshold
from edge_inspect.edge.bundle.bundle import Bundle, write_bundle
from edge_inspect.edge.bundle.manifest import PARENT, REPORT, THRESHOLD_SOURCE, FlawsFound, ScorePart, Thresholds
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.errors import BundleError, UsageError
from edge_inspect.edge.health.picture import PictureRange
from edge_inspect.edge.text import clean


class NextBundle(NamedTuple):
    """A bundle with a threshold from the line's own parts.

    Attributes:
        bundle: The bundle.
        fit: Threshold in the precision that judged, and what it promises.
        left_out: Number of parts that were taken as bad.
        undecided: How many of these may be good.
        wide: Warnings about pictures that differ so much that a station notices less; empty if they do not.
    """

    bundle: Bundle
    fit: TailFit
    left_out: int
    undecided: int
    wide: list[str]


def make_next(parent: Bundle, parts: LineParts, out: Path, *, bad_share: float, rate: float | None) -> NextBundle:
    """Write a bundle with thresholds, and references for the station to compare its line with, from the line's parts.

    Everything else is the parent's, including golden frames and report.

    Args:
        parent: The bundle that judged the parts.
        parts: Scores of the parts, bad ones among them.
        out: Folder to create.
        bad_share: Largest share of bad parts among them.
        rate: Share of good parts to reject; `None` takes the smallest that can be estimated from the good scores.

    Raises:
        UsageError: A share is out of range, or the parent has no such precision.
        BundleError: `out` exists already, or cannot be written.
    """
    if not 0 <= bad_share < 0.5:
        raise UsageError(f"--bad-share {bad_share:g} must be at least 0 and below 0.5")
    if rate is not None and not 0 < rate < 1:
        raise UsageError(f"--false-reject-rate {rate:g} must lie between 0 and 1")
    if parts.precision not in parent.manifest.precisions:
        raise UsageError(f"{clean(parent.path)}: has no {parts.precision}, in which the parts were judged")
    if out.exists():
        raise BundleError(f"{out}: already exists; give another --out or remove it")
    good, undecided = sort_out(parts.scores, bad_share)
    fit = tail_threshold(good.tolist(), resolvable_rate(good.size) if rate is None else rate)
    # Undecided parts are not counted as good ones; should they be good, the threshold rejects them.
    fit = dataclasses.replace(fit, rate_high=clopper_pearson(fit.above + undecided, fit.images + undecided)[1])
    left_out = parts.scores.size - good.size
    limits = _limits(parent, parts.precision, fit, score_reference(parts, good))
    pictures = picture_reference(parts, good)
    source = {
        **_source(parent, parts, pictures),
        "left_out": int(left_out),
        "undecided": undecided,
        "bad_share": bad_share,
    }
    manifest = (
        ManifestDraft.of(parent.manifest)
        .with_name(out)
        .with_decision(
            limits,
            method=_method(fit),
            false_reject_rate=fit.rate,
            held_out_images=fit.images,
            images_wanted=fit.images_wanted,
            flaws=recounted(parent, limits),
        )
        .with_provenance({THRESHOLD_SOURCE: source, PARENT: source["parent"]})
    )
    if pictures is not None:
        manifest = manifest.with_pictures(pictures)
    contents = {name: parent.file(name) for name in parent.manifest.files}
    wide = [] if pictures is None else wide_limits(pictures)
    return NextBundle(write_bundle(out, manifest.as_dict(), contents), fit, left_out, undecided, wide)


def _source(parent: Bundle, parts: LineParts, pictures: PictureRange | None) -> dict[str, Any]:
    """Return which parts the threshold comes from, for the manifest's provenance."""
    return {
        "source": parts.source,
        "parent": {"name": parent.manifest.name, "digest": parent.digest},
        "stations": list(parts.stations),
        "precision": parts.precision,
        "parts": int(parts.scores.size),
        "pictures": 0 if pictures is None or pictures.norm is None else pictures.norm.images,
    }


def _method(fit: TailFit) -> str:
    """Return how the threshold was found, in words, for the manifest."""
    return fit.method.replace("held-out good scores", "scores of good parts of the line")


def _limits(parent: Bundle, judged: Precision, fit: TailFit, seen: ScorePart) -> dict[Precision, Thresholds]:
    """Return the thresholds of each precision.

    A precision that did not judge gets a threshold as far from the judging one's as in the parent. In the parent that
    distance is the median shift between the scores of the same pictures (calibrate/thresholds/pairing.py), which does
    not depend on the line.
    """
    thresholds = parent.manifest.decision.thresholds
    limits: dict[Precision, Thresholds] = {}
    for precision, own in thresholds.items():
        shift = own.image - thresholds[judged].image
        image, low, high = (value + shift for value in (fit.threshold, fit.threshold_low, fit.threshold_high))
        moved = f"that of {judged} moved by {shift:+.4g}, as in the parent"
        limits[precision] = Thresholds(
            image=image,
            pixel=min(own.pixel, image),
            method=_method(fit) if precision == judged else moved,
            image_low=low,
            image_high=high,
            rate_low=fit.rate_low,
            rate_high=fit.rate_high,
            scores=seen.model_copy(update={"mean": seen.mean + shift}),
        )
    return limits


def recounted(parent: Bundle, limits: Mapping[Precision, Thresholds]) -> list[FlawsFound]:
    """Return how many of the flaws that the parent was tried with the new threshold finds; old parents had no flaws."""
    try:
        flaws = json.loads(parent.file(REPORT))["flaws"]
        limit = limits[flaws["precision"]].image
        return found_flaws({each["width"]: each["scores"] for each in flaws["widths"]}, limit)
    except (BundleError, KeyError, TypeError, ValueError):
        return []


def describe_source(bundle: Bundle) -> str | None:
    """Return where a threshold from a line's own parts came from, for a person; `None` for other bundles."""
    source = bundle.manifest.provenance.get(THRESHOLD_SOURCE)
    if not isinstance(source, dict):
        return None
    try:
        return (
            f"by {source['parts']} parts of the line, {source['left_out']} of them left out as bad (up to "
            f"{percent(source['bad_share'])} were to be expected), judged by {source['parent']['name']} "
            f"{source['parent']['digest'][:16]}"
        )
    except (KeyError, TypeError):  # written by a later release
        return "by parts of the line"
