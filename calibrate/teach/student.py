"""The next bundle of a student that is trained again, with the good parts that people labelled. It needs torch.

The student is trained anew and not from where it stopped. The threshold must come from good parts that the network has
not seen, and a student that goes on has seen those that it was trained with. Labelled defects are not learned from: the
new bundle says how many of them it finds.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_inspect.calibrate.bundling import Request, make_bundle
from edge_inspect.calibrate.manifest import ManifestDraft
from edge_inspect.calibrate.pictures import list_good
from edge_inspect.calibrate.teach.judgement import Judged, changes, judge
from edge_inspect.calibrate.teach.labelled_parts import Contradiction, LabelledPart, LabelledParts
from edge_inspect.calibrate.teach.lesson import LESSON, lesson_file
from edge_inspect.calibrate.teach.result import Taught, counts
from edge_inspect.calibrate.teach.written_bundle import write_signed
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.bundle.manifest import PARENT, TAUGHT
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.errors import BundleError, UsageError
from edge_inspect.edge.text import clean
from edge_inspect.models.memory import PROTOTYPES
from edge_inspect.train import checkpoint
from edge_inspect.train.augmentation import Augmentation
from edge_inspect.train.checkpoint import DESCRIPTION, Checkpoint
from edge_inspect.train.settings import TrainingSettings
from edge_inspect.train.systems import system_of
from edge_inspect.train.training import fit

JUDGED: Precision = "fp32"
"""Precision in which labelled parts are judged before and afterwards; every bundle has it."""


class Retraining(NamedTuple):
    """What a student is trained again from.

    Attributes:
        run: Folder of the checkpoint that the parent was made from.
        good: Folder of the good pictures that it was trained with.
        new_run: Folder of the new checkpoint.
        teacher_weights: Weight file of the teacher; `None`: as in `edge-train fit`.
    """

    run: Path
    good: Path
    new_run: Path
    teacher_weights: Path | None = None


def teach_student(
    parent: Bundle,
    parts: LabelledParts,
    out: Path,
    again: Retraining,
    *,
    key: Ed25519PrivateKey | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Taught:
    """Train the student again with the labelled good parts, and write the next bundle.

    An interrupted training goes on with the next call, because its state is kept in `again.new_run`.

    Args:
        parent: The bundle to teach.
        parts: The labelled parts.
        out: Folder to create. It appears complete and signed, or not at all.
        again: What the student is trained from.
        key: Private key to sign the bundle with; `None` leaves it unsigned.
        say: Called with each step.

    Raises:
        UsageError: No part is labelled good, or the checkpoint is not that of the bundle, or has no student.
        DataSetError: The good pictures are missing.
        CheckpointError: The checkpoint or the teacher's weights cannot be read.
        BundleError: `out` exists already, or cannot be written.
    """
    if out.exists():
        raise BundleError(f"{clean(out)}: already exists; give another --out or remove it")
    if not parts.good:
        raise UsageError("no part is labelled good, so the student can learn nothing; label good parts")
    about, _ = checkpoint.load(again.run)
    _check(parent, about, again.run)
    good = list_good(again.good)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as name:
        folder = Path(name)
        pictures = folder / about.category / "train" / "good"
        _link(good, pictures, "")
        _link([part.picture for part in parts.good], pictures, "labelled-")
        for part in parts.defects:
            _link([part.picture], folder / "defects" / (part.kind or "defect"), f"{part.digest[:16]}-")
        say(f"the student is trained again with {len(good)} good pictures and {len(parts.good)} labelled good parts")
        if not _is_done(again.new_run, parts.good):
            fit(_settings(about, folder, again))
        defects = folder / "defects" if parts.defects else None
        made = make_bundle(Request(again.new_run, pictures, folder / "bundle" / out.name, defects), say)
        judged = judge(parent, made, JUDGED, parts.all)
        return _write(parent, parts, made, judged, out, key)


def _check(parent: Bundle, about: Checkpoint, run: Path) -> None:
    """Raise an error unless the checkpoint is one that the bundle may come from, and has a student."""
    model = parent.manifest.model
    if (about.model, about.teacher, about.category) != (model.system, model.teacher, model.category):
        raise UsageError(
            f"--run {clean(run)}: is {about.model} of {about.category} with teacher {about.teacher}, and "
            f"{clean(parent.path)} is {model.system} of {model.category} with {model.teacher}; give the folder of the "
            "checkpoint that the bundle was made from"
        )
    if system_of(about.model).own_memory:
        raise UsageError(f"{clean(parent.path)}: has a memory and no student; give --what memory")


def _settings(about: Checkpoint, data: Path, again: Retraining) -> TrainingSettings:
    """Return the settings of the training that made the checkpoint, for other pictures."""
    options = {option.name: about.options[option.keyword] for option in system_of(about.model).options if option.builds}
    return TrainingSettings(
        data=data,
        category=about.category,
        out=again.new_run,
        model=about.model,
        options={name: str(value) for name, value in options.items()},
        memory=PROTOTYPES if "memory" in about.training else 0,
        teacher=about.teacher,
        teacher_weights=again.teacher_weights,
        fit=about.fit,
        steps=about.steps,
        recipe=about.training["recipe"],
        batch=about.training["batch"],
        learning_rate=about.training["learning_rate"],
        seed=about.seed,
        cross_fit=about.training.get("cross_fit", True),
        foreground=about.foreground,
        augment=Augmentation.read(about.training["augment"]),
    )


def _is_done(run: Path, good: Iterable[LabelledPart]) -> bool:
    """Return whether a finished training has these parts; a call that was interrupted afterwards left it.

    Raises:
        UsageError: The checkpoint there is of other parts.
    """
    if not (run / DESCRIPTION).exists():
        return False
    about, _ = checkpoint.load(run)
    if {part.digest for part in good} <= {*about.trained_on, *about.held_out}:
        return True
    raise UsageError(f"{clean(run)}: holds a checkpoint that has not learned these parts; give another --new-run")


def _link(pictures: Iterable[Path], folder: Path, prefix: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures):
        (folder / f"{prefix}{number:06}{picture.suffix}").symlink_to(picture.resolve())


def _write(
    parent: Bundle,
    parts: LabelledParts,
    made: Bundle,
    judged: list[Judged],
    out: Path,
    key: Ed25519PrivateKey | None,
) -> Taught:
    before, after = (each.manifest.decision.thresholds[JUDGED].image for each in (parent, made))
    identity = {"name": parent.manifest.name, "digest": parent.digest}
    provenance: dict[str, Any] = {
        "parent": identity,
        "what": "student",
        "labels": counts(parts),
        "prototypes": None,
        "scored": 0,
        "above": 0,
        "still_rejected_high": 1.0,
        "monotone": False,
    }
    contents = {name: made.file(name) for name in made.manifest.files}
    learned = [part.digest for part in parts.good]
    contents[LESSON] = json.dumps(lesson_file(parent, JUDGED, judged, learned), indent=1).encode()
    draft = ManifestDraft.of(made.manifest).with_name(out).with_provenance({TAUGHT: provenance, PARENT: identity})
    bundle = write_signed(out, draft.as_dict(), contents, key)
    found = [*parts.contradictions, *_misjudged(judged, after)]
    return Taught(bundle, "student", JUDGED, before, after, None, parts, changes(judged, before, after), found)


def _misjudged(judged: Iterable[Judged], limit: float) -> list[Contradiction]:
    """Return the labelled parts that the new bundle still judges otherwise than people do."""
    found = []
    for each in judged:
        if not each.found:
            found.append(Contradiction(each.part.id, "the part was not found in its picture, so nothing is learned"))
        elif each.part.word == "good" and each.after > limit:
            found.append(Contradiction(each.part.id, "this good part is still rejected: it is unlike the others"))
        elif each.part.word == "defect" and each.after <= limit:
            found.append(Contradiction(each.part.id, "this defect is not found: it scores like good parts"))
    return found
