"""The next bundle, taught by labelled parts: what `calibrate teach` makes. It needs no torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_inspect.calibrate.counts import found_flaws
from edge_inspect.calibrate.engines import engines_forgotten
from edge_inspect.calibrate.golden import LEAST_TOLERANCE, MARGIN
from edge_inspect.calibrate.line.next_bundle import recounted
from edge_inspect.calibrate.manifest import ManifestDraft
from edge_inspect.calibrate.teach.judgement import Seen, changes, found_kinds, judge
from edge_inspect.calibrate.teach.labelled_parts import Contradiction, LabelledParts, frame_of
from edge_inspect.calibrate.teach.lesson import LESSON, learned_pictures, lesson_file
from edge_inspect.calibrate.teach.result import Taught, What, counts
from edge_inspect.calibrate.teach.threshold_rule import AIM, TaughtThreshold, taught_threshold
from edge_inspect.calibrate.teach.written_bundle import write_signed
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.bundle.manifest import GOLDEN, PARENT, REPORT, TAUGHT, DefectsFound, FlawsFound, Thresholds
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.opening import open_checked_engine
from edge_inspect.edge.errors import BundleError, UsageError
from edge_inspect.edge.text import clean

Say = Callable[[str], None]

PAGE = "report/index.html"
"""The parent's report. A bundle with another memory does not keep it, because its figures are the parent's."""


class NothingLearned(UsageError):
    """The labels change nothing: the bundle judges the parts as people do already."""


class _Lesson(NamedTuple):
    """What was learned, before it is written.

    Attributes:
        networks: New ONNX files; none if only the threshold was taught.
        prototypes: See `Taught`.
        scores: Scores of labelled good parts by networks that have not learned from them.
        seen: What the parent sees in the labelled parts in FP32, by id, if that is known.
        contradictions: See `Taught`.
    """

    networks: Mapping[str, bytes]
    prototypes: tuple[int, int] | None
    scores: Mapping[str, float]
    seen: Mapping[str, Seen]
    contradictions: list[Contradiction]


def teach(
    parent: Bundle,
    parts: LabelledParts,
    out: Path,
    *,
    what: What | None = None,
    prototypes: int | None = None,
    key: Ed25519PrivateKey | None = None,
    say: Say = lambda text: None,
) -> Taught:
    """Write the next bundle, taught by labelled parts.

    Args:
        parent: The bundle to teach.
        parts: The labelled parts.
        out: Folder to create. It appears complete and signed, or not at all.
        what: `memory` extends the bundle's memory and sets the threshold, `threshold` only sets the threshold. `None`
            takes `memory` for a bundle with a memory.
        prototypes: Largest number of new prototypes in each bank; `None` takes a quarter of those present.
        key: Private key to sign the bundle with; `None` leaves it unsigned.
        say: Called with each step.

    Raises:
        UsageError: The bundle has no memory.
        NothingLearned: The labels change nothing.
        BundleError: `out` exists already, or cannot be written.
        EngineError: No engine reproduces the parent's golden frames here.
    """
    if out.exists():
        raise BundleError(f"{clean(out)}: already exists; give another --out or remove it")
    with open_checked_engine(parent, engine="openvino") as engine:
        precision = engine.precision
    with engines_forgotten():
        lesson = _learn(parent, parts, what, prototypes, say)
        return _Making(parent, parts, lesson, precision, say).write(out, key)


def _learn(parent: Bundle, parts: LabelledParts, what: What | None, prototypes: int | None, say: Say) -> _Lesson:
    """Extend the memory if that is asked for."""
    nothing = _Lesson({}, None, {}, {}, [])
    if what == "threshold":
        return nothing
    # The memory needs onnx, which a box without the page does not have.
    from edge_inspect.calibrate.teach.memory import banks_of, grow

    banks = banks_of(parent)
    if not banks and what == "memory":
        raise UsageError(f"{clean(parent.path)}: has no memory that could learn; give --what threshold")
    if not banks or not parts.good:
        if what == "memory":
            raise UsageError("no part is labelled good, so the memory can learn nothing; label good parts")
        return nothing
    grown = grow(parent, banks, parts, prototypes, say)
    return _Lesson(grown.networks, (grown.before, grown.after), grown.scores, grown.seen, grown.contradictions)


class _Making:
    """A taught bundle in the making."""

    def __init__(self, parent: Bundle, parts: LabelledParts, lesson: _Lesson, precision: Precision, say: Say) -> None:
        self._parent, self._parts, self._lesson, self._say = parent, parts, lesson, say
        self._here = precision
        # A memory's threshold is set in FP32, whose networks without a block were scored.
        self._exact: Precision = "fp32" if lesson.networks else precision
        contents = {name: parent.file(name) for name in parent.manifest.files} | dict(lesson.networks)
        self._contents = contents
        self._draft = Bundle(parent.path / "taught", parent.manifest, "", contents.__getitem__)
        seen = lesson.seen if precision == "fp32" else {}
        self._judged = judge(parent, self._draft if lesson.networks else parent, precision, parts.all, seen)
        self._rule = self._threshold()

    def _threshold(self) -> TaughtThreshold:
        decision, judged = self._parent.manifest.decision, self._judged
        known = learned_pictures(self._parent)
        shift = decision.thresholds[self._exact].image - decision.thresholds[self._here].image
        defects = [each.after + shift for each in judged if each.part.word == "defect" and each.found]
        wrong: list[float] = []
        right: list[float] = []
        for each in judged:
            if each.part.word == "good" and each.found and each.part.digest not in known:
                rejected = each.before > decision.thresholds[self._here].image
                (wrong if rejected else right).append(self._lesson.scores.get(each.part.id, each.after + shift))
        aim = AIM if self._lesson.networks else 0.0
        return taught_threshold(decision, decision.thresholds[self._exact], wrong, right, defects, aim)

    def write(self, out: Path, key: Ed25519PrivateKey | None) -> Taught:
        limits = self._limits()
        before = self._parent.manifest.decision.thresholds[self._here].image
        after = limits[self._here].image
        grew = self._lesson.prototypes is not None and self._lesson.prototypes[0] != self._lesson.prototypes[1]
        if not grew and after == before:
            raise NothingLearned(
                f"these labels change nothing: the threshold {before:.4g} suits them, and the memory knows what the "
                "good parts show; label parts that were judged wrongly"
            )
        changed = changes(self._judged, before, after)
        manifest = self._manifest(out, limits, after)
        bundle = write_signed(out, manifest, self._contents, key)
        found = [*self._parts.contradictions, *self._lesson.contradictions, *self._limited(after)]
        what: What = "memory" if self._lesson.networks else "threshold"
        return Taught(bundle, what, self._here, before, after, self._lesson.prototypes, self._parts, changed, found)

    def _limits(self) -> dict[Precision, Thresholds]:
        """Return the thresholds of each precision, as far apart as in the parent."""
        moved = self._rule.image - self._rule.before
        limits: dict[Precision, Thresholds] = {}
        for precision, own in self._parent.manifest.decision.thresholds.items():
            image = own.image + moved
            limits[precision] = own.model_copy(
                update={
                    "image": image,
                    "pixel": min(own.pixel, image),
                    "method": self._rule.method if precision == self._exact else _moved(self._exact, own, image),
                    "image_low": None if own.image_low is None else min(own.image_low, image),
                    "image_high": None if own.image_high is None else max(own.image_high, image),
                    # More prototypes or a higher threshold may reject fewer parts than the parent promised at least.
                    "rate_low": None if own.rate_low is None else 0.0,
                    "rate_high": self._rule.rate_high,
                }
            )
        return limits

    def _manifest(self, out: Path, limits: Mapping[Precision, Thresholds], after: float) -> dict[str, Any]:
        decision = self._parent.manifest.decision
        identity = {"name": self._parent.manifest.name, "digest": self._parent.digest}
        flaws = self._flaws(limits)
        defects = found_kinds(self._judged, after) or self._known_defects()
        if self._lesson.networks:
            self._say("golden frames and synthetic flaws are judged anew")
            from edge_inspect.calibrate.teach.golden_frames import golden_again

            self._contents[GOLDEN] = golden_again(self._parent, self._draft)
            self._contents.pop(PAGE, None)
        fresh = [each.part.digest for each in self._judged if each.part.word == "good" and self._lesson.networks]
        lesson = lesson_file(self._parent, self._here, self._judged, fresh)
        self._contents[LESSON] = json.dumps(lesson, indent=1).encode()
        moved = self._rule.image - self._rule.before
        # A lower threshold is nearer to usual good parts, so maps may differ less; see `calibrate.golden.tolerances`.
        tolerance = {
            name: value if name == "fp32" else max(value + MARGIN * min(moved, 0.0), LEAST_TOLERANCE)
            for name, value in self._parent.manifest.golden.tolerance.items()
        }
        return (
            ManifestDraft.of(self._parent.manifest)
            .with_name(out)
            .with_decision(
                limits,
                method=self._rule.method,
                false_reject_rate=decision.false_reject_rate,
                held_out_images=decision.held_out_images,
                images_wanted=decision.images_wanted,
                flaws=flaws,
                defects=defects,
            )
            .with_tolerance(tolerance)
            .with_provenance({TAUGHT: self._provenance(), PARENT: identity})
            .as_dict()
        )

    def _provenance(self) -> dict[str, Any]:
        parent = self._parent
        return {
            "parent": {"name": parent.manifest.name, "digest": parent.digest},
            "what": "memory" if self._lesson.networks else "threshold",
            "labels": counts(self._parts),
            "prototypes": None if self._lesson.prototypes is None else list(self._lesson.prototypes),
            "scored": self._rule.wrong,
            "above": self._rule.above,
            "still_rejected_high": self._rule.still_rejected[1],
            "monotone": self._rule.image >= self._rule.before,
        }

    def _flaws(self, limits: Mapping[Precision, Thresholds]) -> list[FlawsFound]:
        """Return how many synthetic flaws the new bundle finds; with another memory they are drawn and judged anew."""
        if not self._lesson.networks:
            return recounted(self._parent, limits)
        from edge_inspect.calibrate.flaw_sizes import PICTURES, score_flaws

        limit = limits[self._here].image
        passing = [each for each in self._judged if each.found and each.after <= limit]
        good = [each.part for each in passing if each.part.word == "good"]
        if not good:
            return []
        frames = [frame_of(part, self._parent.fit.bits) for part in good[:: max(1, len(good) // PICTURES)][:PICTURES]]
        sized = score_flaws(self._draft, self._here, frames)
        if REPORT in self._contents:
            report = json.loads(self._contents[REPORT])
            widths = [{"width": w, "scores": [round(score, 6) for score in scores]} for w, scores in sized.items()]
            report["flaws"] = {"precision": self._here, "widths": widths}
            self._contents[REPORT] = json.dumps(report, indent=2).encode()
        return found_flaws(sized, limit)

    def _known_defects(self) -> Sequence[DefectsFound]:
        return (
            ()
            if self._lesson.networks or self._rule.image != self._rule.before
            else self._parent.manifest.decision.defects
        )

    def _limited(self, after: float) -> list[Contradiction]:
        """Return good parts and defects that the new threshold still judges otherwise than people do."""
        found = []
        for each in self._judged:
            if not each.found:
                found.append(
                    Contradiction(each.part.id, "the part was not found in its picture, so nothing is learned")
                )
            elif each.part.word == "good" and each.after > after:
                why = (
                    "a higher threshold would miss labelled defects"
                    if self._rule.limited
                    else "it is unlike the others"
                )
                found.append(Contradiction(each.part.id, f"this good part is still rejected: {why}"))
            elif each.part.word == "defect" and each.after <= after:
                found.append(
                    Contradiction(
                        each.part.id,
                        "this defect is not found: it scores like good parts, and a threshold that finds it would "
                        "reject more good parts than the bundle promises",
                    )
                )
        return found


def _moved(exact: Precision, own: Thresholds, image: float) -> str:
    return f"the parent's {own.image:.4g} moved by {image - own.image:+.4g}, as that of {exact}"
