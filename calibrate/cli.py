"""The command `calibrate`: turns a checkpoint into a bundle that a station can trust."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_inspect.calibrate.bundle_options import add_bundle, rate
from edge_inspect.calibrate.key_options import add_keygen, add_sign
from edge_inspect.calibrate.teach.options import add_teach
from edge_inspect.calibrate.teach.propose_options import add_propose
from edge_inspect.edge import __version__
from edge_inspect.edge.cli import PRECISIONS
from edge_inspect.edge.engines.registry import ENGINES, EVERYWHERE
from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.program import add_json_option, run_command, say, write_json

_BUILT = [kind.name for kind in ENGINES.values() if kind.built]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `calibrate`; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="calibrate",
        description="Turns a trained checkpoint into a bundle: ONNX in FP32, FP16 and INT8, thresholds, golden frames.",
        epilog="Next: edge-inspect run --config FILE, on the box.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_bundle(commands.add_parser("bundle", help="make a bundle"))
    _add_compile(commands.add_parser("compile", help="build engines on this box and keep those that pass the checks"))
    _add_verify(commands.add_parser("verify", help="check a bundle's signature, digests, and engines on golden frames"))
    _add_show(commands.add_parser("show", help="say what a bundle holds"))
    _add_diff(commands.add_parser("diff", help="say what changed between two bundles, and which verdicts change"))
    _add_threshold(commands.add_parser("threshold", help="make the next bundle, with thresholds from the line's parts"))
    add_teach(commands.add_parser("teach", help="make the next bundle, taught by labelled parts"))
    add_propose(commands.add_parser("propose", help="teach, and keep the next bundle only if it is no worse"))
    add_keygen(commands.add_parser("keygen", help="make the keys that bundles are signed with"))
    add_sign(commands.add_parser("sign", help="sign a bundle"))
    return run_command(parser, argv)


def _add_compile(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Builds the bundle's engine for this box (TensorRT's for its GPU), checks it on the golden frames, and stores "
        "it where the service looks for it. An engine that drifts or cannot be built is refused, with the numbers, and "
        "the next more precise one is tried. The command needs no torch. The service does the same when it first "
        "starts. The exit status is 1 if no engine holds."
    )
    parser.epilog = "On the box: sudo -u edge-inspect calibrate compile bundles/bottle"
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle to build engines for, a folder or a .zip")
    parser.add_argument(
        "--precision",
        choices=("auto", *(precision for precision in PRECISIONS if precision != "bf16")),
        default="auto",
        help="precision to build; auto (default): the bundle's precisions for the engine, in their order",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="folder for engines; a service looks into `engines` beside its outbox, or where engine.cache says "
        "(default /var/lib/edge-inspect/engines, or ~/.cache/edge-inspect)",
    )
    parser.add_argument(
        "--workspace", type=int, default=1024, metavar="MIB", help="MiB of memory that a tactic may use (default 1024)"
    )
    parser.add_argument(
        "--again", action="store_true", help="build even if there is an engine already, or one was refused before"
    )
    parser.add_argument(
        "--via",
        choices=(*_BUILT, "torch-tensorrt"),
        default=_BUILT[0],
        help=f"engine to build (default {_BUILT[0]}). torch-tensorrt compiles the checkpoint instead of the bundle, "
        "for comparison on a workstation, and stores nothing",
    )
    parser.add_argument("--run", type=Path, metavar="RUN", help="the checkpoint's folder, with --via torch-tensorrt")
    add_json_option(parser)
    parser.set_defaults(handler=_compile)


def _compile(arguments: argparse.Namespace) -> None:
    from dataclasses import asdict

    from edge_inspect.calibrate.compiling import on_this_box, try_in_turn
    from edge_inspect.edge.bundle.bundle import open_bundle

    via_torch = arguments.via == "torch-tensorrt"
    if via_torch != (arguments.run is not None):
        raise UsageError("--via torch-tensorrt and --run RUN, its checkpoint, go together")
    if arguments.workspace < 1:
        raise UsageError(f"--workspace {arguments.workspace} must be at least 1")
    bundle = open_bundle(arguments.bundle)
    if via_torch:
        from edge_inspect.calibrate.torch_route import with_torch_tensorrt

        open_one = with_torch_tensorrt(bundle, arguments.run, arguments.workspace)
    else:
        open_one = on_this_box(arguments.via, bundle, arguments.cache, arguments.workspace, arguments.again)
    # Torch-TensorRT is compared with the engine that runs its own network.
    engine = "tensorrt" if via_torch else arguments.via
    precision = None if arguments.precision == "auto" else arguments.precision
    attempts = try_in_turn(bundle, precision, engine, open_one, say)
    attempted = [asdict(attempt) for attempt in attempts]
    write_json({"bundle": bundle.manifest.name, "via": arguments.via, "attempts": attempted}, arguments.json)


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Checks that a bundle, a folder or a .zip, is what it was made to be: it is signed with one of the public keys "
        "(if any are given), every file has its digest, and each precision reproduces the golden frames on this box. "
        "The exit status is 1 if a check fails; the message names the file or the check, with numbers."
    )
    parser.epilog = "Example: calibrate verify bundles/bottle --public-key keys/signing-key.pub.pem"
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle to check, a folder or a .zip")
    parser.add_argument(
        "--engine", choices=ENGINES, default=EVERYWHERE, help=f"engine to check with (default {EVERYWHERE})"
    )
    parser.add_argument(
        "--public-key",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="public key that the bundle must be signed with; may be given more than once, and then one must match",
    )
    add_json_option(parser)
    parser.set_defaults(handler=_verify)


def _verify(arguments: argparse.Namespace) -> None:
    from edge_inspect.calibrate.verification import verify
    from edge_inspect.edge.bundle.signature import read_public_key

    trusted = [read_public_key(path) for path in arguments.public_key]
    verification = verify(arguments.bundle, trusted, arguments.engine)
    for check in verification.checks:
        say(f"{'ok    ' if check.ok else 'FAILED'}  {check.what:11}  {check.detail if check.ok else ''}".rstrip())
    write_json(verification.as_dict(), arguments.json)
    verification.raise_failed()


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.description = "Prints a bundle's contents for a person to read."
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle to describe, a folder or a .zip")
    parser.set_defaults(handler=_show)


def _show(arguments: argparse.Namespace) -> None:
    from edge_inspect.calibrate.teach.description import origins
    from edge_inspect.calibrate.thresholds.confidence import LEVEL, percent
    from edge_inspect.calibrate.verification import describe_signature
    from edge_inspect.edge.bundle.bundle import open_bundle
    from edge_inspect.edge.bundle.manifest import model_file
    from edge_inspect.edge.bundle.promise import promise_of

    bundle = open_bundle(arguments.bundle)
    manifest, fit, promise = bundle.manifest, bundle.fit, promise_of(bundle.manifest)
    if promise.warning:
        print(promise.warning)
    print(f"{manifest.name}: {manifest.model.system} for {manifest.model.category}, teacher {manifest.model.teacher}")
    print(f"  made      {manifest.created}, digest {bundle.digest}")
    print(f"  signed    {describe_signature(bundle)}")
    tiles = f" {fit.tiles[0]}x{fit.tiles[1]} to {fit.canvas[0]}x{fit.canvas[1]}" if fit.mode == "tile" else ""
    further = (", grey" if fit.grey else "") + (f", {fit.bits} of 16 bits" if fit.bits else "")
    print(f"  input     {fit.width}x{fit.height}, {fit.mode}{tiles}{further}")
    decision = manifest.decision
    asked = f"to reject {percent(decision.false_reject_rate)} of good parts, from {decision.held_out_images} held-out"
    few = decision.images_wanted is not None and decision.held_out_images < decision.images_wanted
    print(f"  decided   {asked}" + (f"; {decision.images_wanted} would be enough" if few else ""))
    for sentence in promise.sentences:
        print(f"            {sentence}")
    for origin in origins(bundle):
        print(f"            {origin}")
    for precision in manifest.precisions:
        limits = manifest.decision.thresholds[precision]
        size = manifest.files[model_file(precision)].bytes / 1e6
        preferred = ", preferred" if precision == manifest.preferred else ""
        above = f"threshold {limits.image:.4f}, regions grow down to {limits.pixel:.4f}"
        print(f"  {precision}      {size:.1f} MB, {above}{preferred}")
        print(f"            {limits.method or decision.method}")
        if limits.rate_low is not None and limits.rate_high is not None:
            rates = f"{percent(limits.rate_low)} to {percent(limits.rate_high)}"
            print(f"            will reject {rates} of good parts ({percent(LEVEL)} confidence)")


def _add_diff(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Says what changed from bundle A to bundle B: network, fit, thresholds, sizes, scores of held-out good images, "
        "latency, provenance. With --images it also lists the images that get another verdict when each bundle is run "
        "as a station would run it. The exit status is 0 whether or not they differ."
    )
    parser.epilog = "Example: calibrate diff bundles/bottle-v1 bundles/bottle-v2 --images photos"
    parser.add_argument("a", type=Path, metavar="A", help="the older bundle")
    parser.add_argument("b", type=Path, metavar="B", help="the newer bundle")
    parser.add_argument(
        "--images",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="folder of images to judge with both bundles; may be given more than once",
    )
    add_json_option(parser)
    parser.set_defaults(handler=_diff)


def _diff(arguments: argparse.Namespace) -> None:
    from edge_inspect.calibrate.comparison import compare
    from edge_inspect.edge.bundle.bundle import open_bundle

    comparison = compare(open_bundle(arguments.a), open_bundle(arguments.b), arguments.images)
    if str(arguments.json) != "-":
        for line in comparison.lines():
            print(line)
    write_json(comparison.as_dict(), arguments.json)


def _add_threshold(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Makes the next bundle: the same networks and golden frames, with thresholds from parts of the line that a "
        "station has judged in shadow. Bad parts may be among them, up to --bad-share: parts whose scores no good part "
        "would have are left out. A station with the new bundle compares its line with how these parts scored and what "
        "their pictures showed. The command also runs on the box, and needs no torch. The new bundle is not signed."
    )
    parser.epilog = (
        "Example: calibrate threshold bundles/bottle --scores /var/lib/edge-inspect/outbox.shadow-station1.jsonl --out "
        "bundles/bottle-2"
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the bundle that judged the parts")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--scores", type=Path, metavar="FILE", help="scores that the station has collected in shadow")
    source.add_argument(
        "--evidence", type=Path, metavar="DIR", help="evidence folder, with the parts that were saved evenly in shadow"
    )
    parser.add_argument(
        "--bad-share",
        type=float,
        default=0.02,
        metavar="P",
        help="largest possible share of bad parts on the line (default 0.02)",
    )
    parser.add_argument(
        "--false-reject-rate",
        type=rate,
        metavar="R|auto",
        help="share of good parts that may be rejected. auto (default): the smallest of 0.1, 0.2, 0.5, 1, 2 and 5 %% "
        "at which two of the good parts would be rejected on average",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="NEXT", help="folder to create")
    add_json_option(parser)
    parser.set_defaults(handler=_threshold)


def _threshold(arguments: argparse.Namespace) -> None:
    from edge_inspect.calibrate.line.next_bundle import make_next
    from edge_inspect.calibrate.line.parts import read_evidence, read_scores
    from edge_inspect.edge.bundle.bundle import open_bundle

    parent = open_bundle(arguments.bundle)
    parts = read_scores(arguments.scores, parent) if arguments.scores else read_evidence(arguments.evidence, parent)
    made = make_next(parent, parts, arguments.out, bad_share=arguments.bad_share, rate=arguments.false_reject_rate)
    before = parent.manifest.decision.thresholds[parts.precision].image
    total = parts.scores.size
    doubt = f" ({made.undecided} of these may be good)" if made.undecided else ""
    say(f"{total} parts, {made.left_out} of them left out as bad{doubt}; {parts.precision}: {made.fit}")
    above, above_before = (int((parts.scores > limit).sum()) for limit in (made.fit.threshold, before))
    say(f"of these parts it would reject {above}; the threshold before, {before:.4f}, would reject {above_before}")
    if above > made.left_out + 2 * made.fit.rate * total + 3:
        say("warning: this is more than expected; look at the parts, and at --bad-share")
    for sentence in made.wide:
        say(f"warning: {sentence}")
    say(f"{made.bundle.path}: made; if your stations require signed bundles, sign it with calibrate sign")
    write_json(
        {
            "bundle": made.bundle.manifest.name,
            "digest": made.bundle.digest,
            "precision": parts.precision,
            "threshold": made.fit.threshold,
            "threshold_before": before,
            "false_reject_rate": made.fit.rate,
            "parts": total,
            "left_out": made.left_out,
            "undecided": made.undecided,
        },
        arguments.json,
    )


if __name__ == "__main__":
    sys.exit(main())
