"""The options of `calibrate teach`, and what it prints."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect.calibrate.key_options import read_signing_key
from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.program import add_json_option, say, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from edge_inspect.calibrate.teach.result import Taught

SHOWN = 10
"""Number of parts that are named on the terminal; `--json` has all of them."""


WHAT = {
    "threshold": "threshold: only the threshold",
    "memory": "memory (default for a bundle with a memory): the memory and the threshold",
}
STUDENT = {"student": "student: trains the student again, from --run and --good"}


def add_teach(parser: argparse.ArgumentParser) -> None:
    """Describe `calibrate teach` to its parser."""
    parser.description = (
        "Makes the next bundle from one that judged some parts wrongly, and from the labels that people gave those "
        "parts. A bundle with a memory learns what good parts look like that it rejected: their unusual places "
        "become further prototypes. Labelled defects stay visible, unless they look like what more than a fifth of "
        "the labelled good parts show; the command names such defects. Then the threshold is set: no good part "
        "that passed before is rejected, unless the threshold must be lowered to find a labelled defect. This "
        "needs no torch and takes about a minute for 500 parts. With --what student, on a workstation, the "
        "student is trained again with the labelled good parts. BUNDLE is not changed."
    )
    parser.epilog = (
        "Example: calibrate teach bundles/bottle --labels /var/lib/edge-inspect-page/labels --out bundles/bottle-2; "
        "then load it on the station: edge-inspect command bundle bottle-2 --config config.yaml"
    )
    add_teaching_options(parser, STUDENT)
    student = parser.add_argument_group("with --what student, on a workstation with edge-inspect[train]")
    student.add_argument(
        "--run", type=Path, metavar="RUN", help="folder of the checkpoint that BUNDLE was made from; it is not changed"
    )
    student.add_argument(
        "--good", type=Path, metavar="DIR", help="folder of the good images that this checkpoint was trained with"
    )
    student.add_argument(
        "--new-run",
        type=Path,
        metavar="DIR",
        help="folder of the new checkpoint (default: NEXT with -run at its end). If the command is interrupted, the "
        "same command resumes from there",
    )
    student.add_argument(
        "--teacher-weights", type=Path, metavar="FILE", help="weights of the teacher, if edge-train fit was given some"
    )
    add_json_option(parser)
    parser.set_defaults(handler=_teach)


def add_teaching_options(parser: argparse.ArgumentParser, further: Mapping[str, str] | None = None) -> None:
    """Add the options that `calibrate teach` and `calibrate propose` share.

    Args:
        parser: Parser of the command.
        further: Further values of `--what`, with their explanations.
    """
    what = WHAT | dict(further or {})
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle to teach, a folder or a .zip")
    parser.add_argument(
        "--labels",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of a page's labels; or a folder with good/, defects/ and defects/KIND/",
    )
    parser.add_argument(
        "--station", metavar="SITE/LINE/STATION", help="only labels of this station (default: of all in the folder)"
    )
    parser.add_argument(
        "--recipe",
        metavar="NAME",
        help="only labels of parts that this recipe of the station judged (default: of all parts)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="NEXT", help="folder to create")
    parser.add_argument(
        "--what",
        choices=tuple(what),
        help="what to teach. " + ". ".join(what.values()),
    )
    parser.add_argument(
        "--prototypes",
        type=int,
        metavar="N",
        help="largest number of new prototypes in each of the memory's two banks (default a quarter of those present)",
    )
    parser.add_argument("--key", type=Path, metavar="FILE", help="private key to sign the new bundle with")
    parser.add_argument(
        "--passphrase-file",
        type=Path,
        metavar="FILE",
        help="file whose first line is the passphrase of the private key (default: no passphrase)",
    )


def key_of(arguments: argparse.Namespace) -> Ed25519PrivateKey | None:
    """Return the private key that `--key` names; `None` without `--key`. Raises the same as `read_signing_key`."""
    return read_signing_key(arguments) if arguments.key else None


def _teach(arguments: argparse.Namespace) -> None:
    from edge_inspect.calibrate.teach.labelled_parts import read_parts
    from edge_inspect.edge.bundle.bundle import open_bundle

    _check(arguments)
    key = key_of(arguments)
    parent = open_bundle(arguments.bundle)
    parts = read_parts(arguments.labels, parent.fit.bits, arguments.station, recipe=arguments.recipe)
    say(f"{len(parts.good)} parts labelled good, {len(parts.defects)} labelled defect, {parts.unsure} unsure")
    if arguments.what == "student":
        from edge_inspect.calibrate.teach.student import Retraining, teach_student

        new_run = arguments.new_run or arguments.out.with_name(f"{arguments.out.name}-run")
        again = Retraining(arguments.run, arguments.good, new_run, arguments.teacher_weights)
        taught = teach_student(parent, parts, arguments.out, again, key=key, say=say)
    else:
        from edge_inspect.calibrate.teach.next_bundle import teach

        what, prototypes = arguments.what, arguments.prototypes
        taught = teach(parent, parts, arguments.out, what=what, prototypes=prototypes, key=key, say=say)
    for line in summary(taught, signed=key is not None):
        say(line)
    write_json(taught.as_dict(), arguments.json)


def _check(arguments: argparse.Namespace) -> None:
    if arguments.prototypes is not None and arguments.what in ("threshold", "student"):
        raise UsageError("--prototypes belongs to --what memory")
    if arguments.what == "student" and not (arguments.run and arguments.good):
        raise UsageError(
            "--what student needs --run RUN, the checkpoint that BUNDLE was made from, and --good DIR, the good images "
            "that it was trained with"
        )
    for name in ("run", "good", "new_run", "teacher_weights"):
        if getattr(arguments, name) is not None and arguments.what != "student":
            raise UsageError(f"--{name.replace('_', '-')} belongs to --what student")


def summary(taught: Taught, *, signed: bool) -> list[str]:
    """Return what teaching changed, in lines for a person."""
    changes = taught.changes
    lines = [
        f"threshold in {taught.precision}: {taught.before:.4f} before, {taught.after:.4f} now: "
        f"{taught.bundle.manifest.decision.method}"
    ]
    lines.append(
        f"of {changes.parts} labelled parts {len(changes.now_accepted)} are accepted that were rejected, and "
        f"{len(changes.now_rejected)} are rejected that were accepted"
    )
    lines += _named("accepted now", changes.now_accepted) + _named("rejected now", changes.now_rejected)
    for each in taught.contradictions[:SHOWN]:
        lines.append(f"warning: {each.id}: {each.why}")
    if len(taught.contradictions) > SHOWN:
        lines.append(f"warning: {len(taught.contradictions) - SHOWN} more such parts; --json has them all")
    lines += taught.as_dict()["promise"]
    unsigned = "" if signed else "; if your stations require signed bundles, sign it with calibrate sign"
    return [*lines, f"{taught.bundle.path}: made{' and signed' if signed else ''}{unsigned}"]


def _named(title: str, ids: Sequence[str]) -> list[str]:
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return [f"{title}: {', '.join(ids[:SHOWN])}{more}"] if ids else []
