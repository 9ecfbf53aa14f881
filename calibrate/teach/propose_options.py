"""The options of `calibrate propose`, and what it runs."""

from __future__ import annotations

import argparse
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect.calibrate.teach.options import add_teaching_options, key_of
from edge_inspect.edge.errors import CheckFailed, UsageError
from edge_inspect.edge.program import add_json_option, say, write_json

if TYPE_CHECKING:
    from edge_inspect.edge.bundle.bundle import Bundle

_DAYS = re.compile(r"(\d{1,5}) ?d(?:ays?)?")
BAD_SHARE = 0.02


def add_propose(parser: argparse.ArgumentParser) -> None:
    """Describe `calibrate propose` to its parser."""
    parser.description = (
        "Makes the next bundle as calibrate teach does, and keeps it only if it is no worse: on all labelled parts it "
        "may reject no more good parts and miss no more defects than BUNDLE. The exit status is 1 if it is not "
        "proposed; the message says why, and nothing is left behind. A nightly job can run this command, and a person "
        "decides in the morning whether a station gets the bundle."
    )
    parser.epilog = (
        "Example: calibrate propose bundles/bottle --labels /var/lib/edge-inspect-page/labels --since '7 days' --out "
        "proposed/bottle-2"
    )
    add_teaching_options(parser)
    parser.add_argument(
        "--since",
        type=since,
        metavar="WHEN",
        help="learn only from labels given since then, such as 2026-11-30, 2026-11-30T06:00 (UTC) or '7 days'; all "
        "labels still decide whether the next bundle is no worse (default: learn from all)",
    )
    parser.add_argument(
        "--evidence",
        type=Path,
        metavar="DIR",
        help="evidence folder: the parts that were saved evenly in shadow set the threshold, as with calibrate "
        "threshold; the labels then only decide whether the next bundle is no worse",
    )
    add_json_option(parser)
    parser.set_defaults(handler=_propose)


def since(text: str) -> datetime:
    """Return the time that `--since` names."""
    if (days := _DAYS.fullmatch(text.strip())) is not None:
        return datetime.now(timezone.utc) - timedelta(days=int(days[1]))
    try:
        found = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a time like 2026-11-30 nor a span like '7 days'"
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)


def check_propose(arguments: argparse.Namespace) -> None:
    """Check the options, the labels' folder and the bundle; no bundle is made.

    Raises:
        UsageError: Options do not go together, or the key cannot be read.
        BundleError: The bundle is damaged.
    """
    from edge_inspect.edge.bundle.bundle import open_bundle

    if arguments.prototypes is not None and arguments.what == "threshold":
        raise UsageError("--prototypes belongs to --what memory")
    for option in ("since", "what", "prototypes"):
        if arguments.evidence is not None and getattr(arguments, option) is not None:
            raise UsageError(f"--{option} belongs to labels that are learned from; with --evidence none are")
    key_of(arguments)
    open_bundle(arguments.bundle)


def _propose(arguments: argparse.Namespace) -> None:
    from edge_inspect.calibrate.teach.labelled_parts import read_parts
    from edge_inspect.calibrate.teach.proposal import propose
    from edge_inspect.edge.bundle.bundle import open_bundle

    check_propose(arguments)
    parent = open_bundle(arguments.bundle)
    everything = read_parts(arguments.labels, parent.fit.bits, arguments.station, recipe=arguments.recipe)
    say(f"{len(everything.good)} parts labelled good and {len(everything.defects)} labelled defect judge the bundles")
    proposal = propose(parent, everything.all, arguments.out, lambda folder: _next(arguments, parent, folder))
    write_json(proposal.as_dict(), arguments.json)
    if proposal.bundle is None:
        raise CheckFailed(f"not proposed: {proposal.why}")
    say(f"{proposal.bundle.path}: proposed: {proposal.why}")


def _next(arguments: argparse.Namespace, parent: Bundle, folder: Path) -> Bundle:
    """Make the next bundle: taught by the labels, or with a threshold from the evidence."""
    if arguments.evidence is not None:
        from edge_inspect.calibrate.line.next_bundle import make_next
        from edge_inspect.calibrate.line.parts import read_evidence
        from edge_inspect.calibrate.signing import sign_bundle

        parts = read_evidence(arguments.evidence, parent)
        made = make_next(parent, parts, folder, bad_share=BAD_SHARE, rate=None).bundle
        key = key_of(arguments)
        return made if key is None else sign_bundle(folder, key)
    from edge_inspect.calibrate.teach.labelled_parts import read_parts
    from edge_inspect.calibrate.teach.next_bundle import teach

    learned = read_parts(arguments.labels, parent.fit.bits, arguments.station, arguments.since, arguments.recipe)
    options = {"what": arguments.what, "prototypes": arguments.prototypes, "key": key_of(arguments)}
    return teach(parent, learned, folder, say=say, **options).bundle
