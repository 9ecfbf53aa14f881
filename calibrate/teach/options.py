"""The options of `calibrate teach`, and what it prints."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.program import add_json_option, say, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from edge_inspect.calibrate.teach.result import Taught

SHOWN = 10
"""Number of parts that are named on the terminal; `--json` has all of them."""


def add_teach(parser: argparse.ArgumentParser) -> None:
    """Describe `calibrate teach` to its parser."""
    parser.description = (
        "Makes the next bundle from one that judged some parts wrongly, and from the labels that people gave those "
        "parts. A bundle with a memory learns what good parts look like that it rejected: their unusual places become "
        "further prototypes. What a labelled defect shows is never learned as good; where both look alike, the command "
        "names the parts. Then the threshold is set: no good part that passed before is rejected, unless the threshold "
        "must be lowered to find a labelled defect. The command needs no torch and takes a minute for some hundred "
        "parts. BUNDLE is not changed."
    )
    parser.epilog = (
        "Example: calibrate teach bundles/bottle --labels /var/lib/edge-inspect-page/labels --out bundles/bottle-2; "
        "then load it on the station: edge-inspect command bundle bottle-2 --config config.yaml"
    )
    add_teaching_options(parser)
    add_json_option(parser)
    parser.set_defaults(handler=_teach)


def add_teaching_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `calibrate teach` and `calibrate propose` share."""
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
    parser.add_argument("--out", type=Path, required=True, metavar="NEXT", help="folder to create")
    parser.add_argument(
        "--what",
        choices=("threshold", "memory", "student"),
        help="what to teach. threshold: only the threshold. memory (default for a bundle with a memory): the memory "
        "and the threshold. student: refused, with the commands that train the student anew on a workstation",
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
    """Return the private key that `--key` and `--passphrase-file` name; `None` without `--key`.

    Raises:
        UsageError: The key or the passphrase cannot be read, or they do not belong together.
    """
    from edge_inspect.calibrate.signing import read_passphrase, read_private_key

    passphrase = read_passphrase(arguments.passphrase_file) if arguments.passphrase_file else None
    return read_private_key(arguments.key, passphrase) if arguments.key else None


def _teach(arguments: argparse.Namespace) -> None:
    from edge_inspect.calibrate.teach.labelled_parts import read_parts
    from edge_inspect.calibrate.teach.next_bundle import teach
    from edge_inspect.edge.bundle.bundle import open_bundle

    if arguments.what == "student":
        raise UsageError(
            "--what student: a student is trained on a workstation: export the labels from the page, add their good "
            "parts to the pictures of good parts, then run edge-train fit --data DIR, and calibrate bundle"
        )
    if arguments.prototypes is not None and arguments.what == "threshold":
        raise UsageError("--prototypes belongs to --what memory")
    key = key_of(arguments)
    parent = open_bundle(arguments.bundle)
    parts = read_parts(arguments.labels, parent.fit.bits, arguments.station)
    say(f"{len(parts.good)} parts labelled good, {len(parts.defects)} labelled defect, {parts.unsure} unsure")
    taught = teach(parent, parts, arguments.out, what=arguments.what, prototypes=arguments.prototypes, key=key, say=say)
    for line in summary(taught, signed=key is not None):
        say(line)
    write_json(taught.as_dict(), arguments.json)


def summary(taught: Taught, *, signed: bool) -> list[str]:
    """Return what teaching changed, in lines for a person."""
    changes = taught.changes
    lines = [
        f"threshold in {taught.precision}: {taught.before:.4f} before, {taught.after:.4f} now: {taught.rule.method}"
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
