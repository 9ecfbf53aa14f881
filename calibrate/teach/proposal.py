"""The next bundle as a proposal: it is kept only if it is no worse on the labelled parts than the bundle in use."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edge_inspect.calibrate.teach.labelled_parts import LabelledPart, NoParts, frame_of
from edge_inspect.calibrate.teach.next_bundle import NothingLearned
from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.engines.opening import open_checked_engine
from edge_inspect.edge.errors import BundleError
from edge_inspect.edge.files import sync_folder


class Counts(NamedTuple):
    """The verdicts of a bundle on the labelled parts, in the precision that a station would run on this machine.

    Attributes:
        good: Number of parts labelled good.
        false_rejects: Number of these that it rejects.
        defects: Number of parts labelled defect.
        missed: Number of these that it accepts.
    """

    good: int
    false_rejects: int
    defects: int
    missed: int

    def __str__(self) -> str:
        rejected = f"{self.false_rejects} of {self.good} good parts rejected"
        return f"{rejected}, {self.missed} of {self.defects} defects missed"


class Proposal(NamedTuple):
    """The result of `propose`.

    Attributes:
        bundle: The proposed bundle; `None` if the bundle in use is to stay.
        why: The reason, for a person.
        before: Verdicts of the bundle in use on all labelled parts.
        after: Verdicts of the next bundle; `None` if none was made.
    """

    bundle: Bundle | None
    why: str
    before: Counts
    after: Counts | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the proposal as `--json` writes it."""
        return {
            "proposed": self.bundle is not None,
            "why": self.why,
            "bundle": None if self.bundle is None else self.bundle.manifest.name,
            "digest": None if self.bundle is None else self.bundle.digest,
            "before": self.before._asdict(),
            "after": None if self.after is None else self.after._asdict(),
        }


def propose(parent: Bundle, parts: Sequence[LabelledPart], out: Path, make: Callable[[Path], Bundle]) -> Proposal:
    """Make the next bundle, and keep it if it rejects no more good parts and misses no more defects than the parent.

    Args:
        parent: The bundle in use.
        parts: All labelled parts, also those that the next bundle does not learn from.
        out: Folder of the proposed bundle. It appears only if the bundle is proposed.
        make: Makes the next bundle in the folder that it is given.

    Raises:
        BundleError: `out` exists already, or cannot be written.
        EngineError: No engine reproduces a bundle's golden frames here.
    """
    if out.exists():
        raise BundleError(f"{out}: already exists; give another --out or remove it")
    before = count(parent, parts)
    hidden = out.with_name(f".{out.name}.judged")
    shutil.rmtree(hidden, ignore_errors=True)  # of a process that was killed
    try:
        hidden.mkdir(parents=True)
        try:
            made = make(hidden / out.name)
        except (NothingLearned, NoParts) as error:
            return Proposal(None, str(error), before)
        after = count(made, parts)
        worse = after.false_rejects > before.false_rejects or after.missed > before.missed
        told = f"before: {before}; with the next bundle: {after}"
        if worse:
            return Proposal(None, f"the next bundle is worse on the labelled parts ({told})", before, after)
        (hidden / out.name).rename(out)
        sync_folder(out.parent)
    except OSError as error:
        raise BundleError(f"{out}: cannot be written: {error.strerror}; nothing was left behind") from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return Proposal(open_bundle(out), f"the next bundle is no worse on the labelled parts ({told})", before, after)


def count(bundle: Bundle, parts: Sequence[LabelledPart]) -> Counts:
    """Return the verdicts of a bundle on labelled parts; a part that is not found in its picture is rejected.

    Raises:
        EngineError: No engine reproduces the golden frames here.
    """
    rejected = {"good": 0, "defect": 0}
    with open_checked_engine(bundle, engine="openvino") as engine:
        limit = bundle.manifest.decision.thresholds[engine.precision].image
        for part in parts:
            anomaly = engine.infer(frame_of(part, bundle.fit.bits))
            rejected[part.word] += not anomaly.placement.found or anomaly.score > limit
    good = sum(part.word == "good" for part in parts)
    defects = len(parts) - good
    return Counts(good, rejected["good"], defects, defects - rejected["defect"])
