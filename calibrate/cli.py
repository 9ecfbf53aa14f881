"""The command `calibrate`: a checkpoint to a bundle that a station can trust."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edge import __version__
from edge.command import add_json_option, run_command, say, write_json


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `calibrate`; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="calibrate",
        description="Turns a trained checkpoint into a bundle: ONNX in FP32 and INT8, thresholds, golden frames.",
        epilog="Next: edge-inspect run --config FILE, on the box.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_bundle(commands.add_parser("bundle", help="make a bundle"))
    _add_verify(commands.add_parser("verify", help="check a bundle's digests, and an engine against its golden frames"))
    _add_show(commands.add_parser("show", help="say what a bundle holds"))
    return run_command(parser, argv)


def _add_bundle(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Exports a checkpoint, quantizes it to INT8 in the form that measures fastest here, sets thresholds from good "
        "images the model has not seen, and writes the bundle whole or not at all. Of the images in --good, those the "
        "model was trained on (told by their content) only help to choose INT8 scales."
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the checkpoint")
    parser.add_argument(
        "--good", type=Path, required=True, metavar="DIR", help="good images; those trained on may be among them"
    )
    parser.add_argument(
        "--defects", type=Path, metavar="DIR", help="defective images: reported on, never used to decide"
    )
    parser.add_argument(
        "--false-reject-rate",
        type=float,
        default=0.001,
        metavar="R",
        help="good parts that may be rejected (default 0.001)",
    )
    parser.add_argument(
        "--calibration-images",
        type=int,
        default=64,
        metavar="N",
        help="images for the INT8 scales, at most (default 64)",
    )
    parser.add_argument("--seed", type=int, default=0, help="which images those are (default 0)")
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="folder to make")
    parser.set_defaults(handler=_bundle)


def _bundle(arguments: argparse.Namespace) -> None:
    from calibrate.bundling import Request, make_bundle

    bundle = make_bundle(
        Request(
            run=arguments.run,
            good=arguments.good,
            out=arguments.out,
            defects=arguments.defects,
            false_reject_rate=arguments.false_reject_rate,
            calibration_images=arguments.calibration_images,
            seed=arguments.seed,
        ),
        say,
    )
    say(f"{bundle.path}: {', '.join(bundle.manifest.precisions)}; a station runs {bundle.manifest.preferred}")


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.description = "Checks every digest, and that the engine reproduces the golden frames. Exit status 1 if not."
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--engine", choices=("openvino",), default="openvino", help="openvino (default)")
    add_json_option(parser)
    parser.set_defaults(handler=_verify)


def _verify(arguments: argparse.Namespace) -> None:
    from edge.bundle import open_bundle
    from edge.engines import check_golden, open_engine
    from edge.errors import BundleError, CheckFailed, EngineError

    try:
        bundle = open_bundle(arguments.bundle)
        differences = {p: check_golden(bundle, open_engine(bundle, p)) for p in bundle.manifest.precisions}
    except (BundleError, EngineError) as error:
        if not arguments.bundle.exists():
            raise
        raise CheckFailed(str(error)) from error
    for precision, difference in differences.items():
        allowed = bundle.manifest.golden.tolerance[precision]
        say(f"{precision}: golden maps differ by {difference:.2e} at most; {allowed:g} is allowed")
    write_json({"bundle": bundle.manifest.name, "digest": bundle.digest, "golden": differences}, arguments.json)


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.description = "Prints what a bundle is, for a person."
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.set_defaults(handler=_show)


def _show(arguments: argparse.Namespace) -> None:
    from edge.bundle import open_bundle

    bundle = open_bundle(arguments.bundle)
    manifest, fit = bundle.manifest, bundle.fit
    print(f"{manifest.name}: {manifest.model.system} for {manifest.model.category}, teacher {manifest.model.teacher}")
    print(f"  made      {manifest.created}, digest {bundle.digest[:16]}")
    tiles = f" {fit.tiles[0]}x{fit.tiles[1]} to {fit.canvas[0]}x{fit.canvas[1]}" if fit.mode == "tile" else ""
    print(f"  input     {fit.width}x{fit.height}, {fit.mode}{tiles}" + (", grey" if fit.grey else ""))
    print(f"  decided   {manifest.decision.false_reject_rate:g} of good parts rejected; {manifest.decision.method}")
    for precision in manifest.precisions:
        limits = manifest.decision.thresholds[precision]
        size = manifest.files[f"model.{precision}.onnx"].bytes / 1e6
        preferred = ", preferred" if precision == manifest.preferred else ""
        above = f"threshold {limits.image:.4f}, regions above {limits.pixel:.4f}"
        print(f"  {precision}      {size:.1f} MB, {above}{preferred}")


if __name__ == "__main__":
    sys.exit(main())
