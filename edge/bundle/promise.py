"""Sentences on what the threshold of a bundle does to parts, for `calibrate`, its report and the demo."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_inspect.edge.bundle.manifest import TAUGHT, DecisionPart, FlawsFound, Manifest
from edge_inspect.edge.text import clean

FEW_FOUND = 0.5
"""Share of the largest synthetic flaws that must be found; below it, there is a warning that most flaws pass."""

GOOD_TO_BEGIN_WITH = 100

ENOUGH_LABELLED = 10
"""Number of labelled good parts from which on a promise about parts like them says anything."""


@dataclass(frozen=True)
class Promise:
    """What a threshold does to parts.

    Attributes:
        warning: A warning that most flaws pass, with the remedies; empty if most are found.
        sentences: What is known of good parts, parts like the labelled ones, synthetic flaws and real defects, as far
            as it was measured.
    """

    warning: str
    sentences: list[str]

    @property
    def lines(self) -> list[str]:
        """The warning, if there is one, and the sentences."""
        return [self.warning, *self.sentences] if self.warning else self.sentences


def promise_of(manifest: Manifest) -> Promise:
    """Return what the threshold of a bundle's preferred precision does to parts."""
    decision = manifest.decision
    said = [_good(manifest), _taught(manifest), _flaws(decision), _defects(decision)]
    return Promise(_warning(manifest), [sentence for sentence in said if sentence])


def in_100(share: float, up: bool = False) -> str:
    """Return a share as a number in 100 parts, with two significant digits; `up` rounds up, for an upper bound."""
    value = 100 * share
    if value == 0:
        return "0"
    digits = max(0, 1 - math.floor(math.log10(value)))
    steps = value * 10**digits
    return f"{(math.ceil(steps - 1e-9) if up else round(steps)) / 10**digits:.{digits}f}".removesuffix(".0")


def _good(manifest: Manifest) -> str:
    high = manifest.decision.thresholds[manifest.preferred].rate_high
    # A 90 % interval leaves 5 % beyond either end, so the upper end alone holds with even more certainty.
    return "" if high is None else f"Of good parts at most {in_100(high, up=True)} in 100 will be rejected (90 % sure)."


def _taught(manifest: Manifest) -> str:
    """Return what teaching promises; an empty text if the bundle was not taught."""
    lesson = manifest.provenance.get(TAUGHT)
    if not isinstance(lesson, dict):
        return ""
    try:
        said = ["No part that the bundle before accepted is rejected."] if lesson["monotone"] else []
        if lesson["scored"] >= ENOUGH_LABELLED:
            high = in_100(lesson["still_rejected_high"], up=True)
            like = f"like the {lesson['scored']} that were rejected and labelled good"
            said.append(f"Of good parts {like} at most {high} in 100 will be rejected (90 % sure).")
    except (KeyError, TypeError, ValueError):  # written by a later release
        return ""
    return " ".join(said)


def _flaws(decision: DecisionPart) -> str:
    if not decision.flaws:
        return ""
    first, *others = sorted(decision.flaws, key=lambda flaws: -flaws.width)
    said = [f"of {in_100(flaws.width)} % {_found(flaws)}" for flaws in others]
    begun = f"Of synthetic flaws of {in_100(first.width)} % of the part's width {_found(first)} in 100 are found"
    return ", ".join([begun, *said]) + "."


def _found(flaws: FlawsFound) -> str:
    """Return the number of found flaws in 100."""
    return f"{100 * flaws.found / flaws.drawn:.0f}"


def _defects(decision: DecisionPart) -> str:
    if not decision.defects:
        return ""
    kinds = ", ".join(f"{clean(each.kind)} {each.found} of {each.images}" for each in decision.defects)
    images, found = (sum(counts) for counts in zip(*((d.images, d.found) for d in decision.defects), strict=True))
    return f"Of {images} images of real defects {found} are found: {kinds}."


def _warning(manifest: Manifest) -> str:
    decision = manifest.decision
    largest = max(decision.flaws, key=lambda flaws: flaws.width, default=None)
    if largest is None or largest.found >= FEW_FOUND * largest.drawn:
        return ""
    remedies = ", ".join(f"{place}. {remedy}" for place, remedy in enumerate(_remedies(manifest), start=1))
    return (
        f"Warning: most flaws pass: of {largest.drawn} synthetic ones of {in_100(largest.width)} % of the part's width "
        f"{largest.found} are found. What helps, in this order: {remedies}."
    )


def _remedies(manifest: Manifest) -> list[str]:
    decision, model, fit = manifest.decision, manifest.model, manifest.input.fit
    now = max(decision.held_out_images, manifest.provenance.get("good_images", 0))
    cut = fit.get("mode") == "tile" or fit.get("region") is not None
    systems = " or ".join(f"--model {name}" for name in ("rd", "aand", "dmdd") if name != model.system)
    teacher = "wide_resnet50_2" if model.teacher.startswith("resnet18") else "resnet18"
    return [
        "good pictures without a defect among them (the training's doubtful.html shows those least like the others)",
        f"more good pictures ({now} now; give at least {max(GOOD_TO_BEGIN_WITH, 2 * now)})",
        f"{'more tiles or a smaller region' if cut else 'tiles or a region'}, so that the network sees flaws larger "
        "(edge-train fit --fit tile, --region)",
        f"another teacher or system (--teacher {teacher}, {systems})",
        "parts that lie alike in every picture (a fixture, or edge-train fit --align rigid)",
    ]
