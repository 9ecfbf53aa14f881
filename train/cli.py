"""The command `edge-train`: trains a model on good images, and measures how well it finds defects."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect.edge import __version__
from edge_inspect.edge.errors import CheckFailed, EdgeInspectError, UsageError
from edge_inspect.edge.frame.fit_modes import DEPTHS
from edge_inspect.edge.program import add_json_option, run_command, say, seed, write_json
from edge_inspect.train.fit_options import LazyParser, add_options, add_systems, read_settings
from edge_inspect.train.products.command import add_products

# Modules that may not be installed are imported only inside the handlers, where run_command reports a missing one.
if TYPE_CHECKING:
    from edge_inspect.models.network import Network
    from edge_inspect.train.checkpoint import Checkpoint
    from edge_inspect.train.datasets import Category
    from edge_inspect.train.evaluation import Evaluation


def main(argv: Sequence[str] | None = None) -> int:
    """Run `edge-train`; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="edge-train",
        description="Learns from images of good parts alone what good parts look like.",
        epilog="Next: calibrate bundle RUN --good DIR --out BUNDLE",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=LazyParser)
    fit = commands.add_parser("fit", help="train a model", formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(fit)
    fit.set_defaults(handler=_fit)
    fit.later = add_systems
    _add_evaluate(commands.add_parser("evaluate", help="measure a checkpoint on a test split"))
    add_products(commands.add_parser("products", help="train many products, and make their bundles, on a Ray cluster"))
    _add_regions(commands.add_parser("regions", help="draw where to look and what to ignore, in a browser"))
    _add_teacher(commands.add_parser("teacher", help="make the compact teacher that ships with the program"))
    return run_command(parser, argv)


def _fit(arguments: argparse.Namespace) -> None:
    from edge_inspect.train.checkpoint import DESCRIPTION
    from edge_inspect.train.launch import own_share, wait_for_others, wanted_categories

    names = wanted_categories(arguments.category, arguments.data)
    mine = own_share(names)
    if len(names) == 1:
        for name in mine:  # under torchrun, only one process has the category
            _fit_one(arguments, name, arguments.out)
        return
    failed = []
    for name in mine:
        out = arguments.out / name
        if (out / DESCRIPTION).exists():
            say(f"{out}: already exists")
            continue
        try:
            _fit_one(arguments, name, out)
        except EdgeInspectError as error:
            say(f"{name}: {error}")
            failed.append(name)
    wait_for_others()
    if failed:
        raise CheckFailed(f"not trained: {', '.join(failed)}; the reasons are above, the same command tries again")


def _fit_one(arguments: argparse.Namespace, category: str, out: Path) -> None:
    from edge_inspect.train.training import fit

    checkpoint = fit(read_settings(arguments, category, out))
    images = f"{len(checkpoint.trained_on)} images, {len(checkpoint.held_out)} held out"
    learned = f"{checkpoint.steps} steps on" if checkpoint.steps else "prototypes of"
    say(
        f"{out}: {checkpoint.model} with teacher {checkpoint.teacher}, {learned} {images}, "
        f"{checkpoint.training['seconds']:.0f} s"
    )


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Runs a checkpoint over the test split and prints image AUROC, pixel AUROC, pixel AP, AUPRO (up to a "
        "false-positive rate of 0.3, over the whole data set), RD4AD's per-image PRO, and F1-max. Pixel metrics are "
        "computed in the pixels of the original frame, so that models with different fits can be compared; a pixel "
        "that a fit leaves out (crop, --region) counts with the lowest score. Pixel metrics need masks of the defects; "
        "without masks, only image metrics are printed. If there are no defects to test with, the command draws "
        "synthetic flaws on the good images that the training held out and measures on those."
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the checkpoint")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of categories")
    parser.add_argument("--category", metavar="NAME", help="category to test (default: the one it was trained for)")
    parser.add_argument(
        "--synthetic",
        action="store_true",
        help="test on synthetic flaws on the held-out good images even if there is a test split; use this to choose "
        "between systems",
    )
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="folder for a report: index.html, and the cases as examples.png"
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="SCORE",
        help="threshold that the report shows, such as the one that calibrate show prints for a bundle (default: the "
        "threshold with the best F1 on these images, for orientation)",
    )
    parser.add_argument("--device", default="auto", help="auto (default: the GPU if there is one), cpu, cuda")
    add_json_option(parser)
    parser.set_defaults(handler=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> None:
    from edge_inspect.train import checkpoint
    from edge_inspect.train.datasets import Category, categories
    from edge_inspect.train.report import write_report

    if arguments.threshold is not None and arguments.report is None:
        raise UsageError("--threshold belongs to the report; give --report DIR too")
    about, model = checkpoint.load(arguments.run)
    itself = categories(arguments.data) == ["."]
    category = Category.open(arguments.data, arguments.category or ("." if itself else about.category))
    evaluation = _run_test(arguments, about, model, category)
    metrics = evaluation.metrics()
    for remark in evaluation.remarks:
        say(remark)
    images = len(evaluation.images) if evaluation.drawn is None else sum(image.good for image in evaluation.images)
    _tell(metrics, about, images, evaluation.drawn is not None, arguments.json)
    if arguments.report is not None:
        page = write_report(arguments.report, evaluation, metrics, about, category.root, arguments.threshold)
        say(f"report: {page}")


def _run_test(arguments: argparse.Namespace, about: Checkpoint, model: Network, category: Category) -> Evaluation:
    """Run the model over the test split, or over synthetic flaws if they are asked for or there are no defects."""
    from edge_inspect.train.datasets import NoDefects
    from edge_inspect.train.device import open_device
    from edge_inspect.train.evaluation import evaluate, torch_predictor
    from edge_inspect.train.held_out import held_out_pictures
    from edge_inspect.train.validation import evaluate_flaws

    device = open_device(arguments.device)
    missing = ""
    if not arguments.synthetic:
        try:
            images = category.test_images()
        except NoDefects as error:
            missing = str(error)
        else:
            return evaluate(torch_predictor(model, device, about.fit), images, about.fit, about.trained_on)
    pictures = held_out_pictures(about, category)
    if missing:
        say(f"{missing}. Measured instead, as with --synthetic:")
    say(
        f"synthetic flaws on {len(pictures)} good images held out in training: they compare models, and do not say how "
        "many real defects will be found"
    )
    return evaluate_flaws(model, pictures, about.fit, device, foreground=about.foreground)


def _tell(metrics: dict[str, float], about: Checkpoint, images: int, synthetic: bool, target: Path | None) -> None:
    for name, value in metrics.items():
        say(f"{name:20} {value:.4f}")
    run = {"images": images, "steps": about.steps, "seed": about.seed}
    write_json({**run, **({"synthetic": True} if synthetic else {}), **metrics}, target)


def _add_regions(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Shows a picture on a page in the browser and lets you draw named polygons on it: areas to look at and "
        "areas to ignore. The page is served on 127.0.0.1 alone and needs no network. Save writes the YAML file that "
        "edge-train fit reads with --look and --ignore. Ctrl-C ends the command."
    )
    parser.epilog = (
        "If this computer has no browser, forward the port from one that has, such as with ssh -L "
        "8123:127.0.0.1:8123 THIS-COMPUTER and --port 8123, and open the link there."
    )
    parser.add_argument("picture", type=Path, metavar="PICTURE", help="picture of a part, as the camera gives it")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="YAML file to write; areas in it are loaded for editing"
    )
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="port of the page (default: a free one)")
    parser.add_argument("--no-browser", action="store_true", help="print the link only, and open no browser")
    parser.add_argument(
        "--bits",
        type=int,
        choices=DEPTHS,
        help="for a 16-bit picture that does not say it itself: how many bits a pixel uses (default 16)",
    )
    parser.set_defaults(handler=_regions)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 1 to 65535")
    return int(text)


def _regions(arguments: argparse.Namespace) -> None:
    from edge_inspect.train.area_server import edit_areas

    edit_areas(
        arguments.picture,
        arguments.out,
        bits=arguments.bits,
        port=arguments.port,
        browser=not arguments.no_browser,
    )


def _add_teacher(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Distils a compact teacher (ResNet-18 at half width) from a large one. It learns from rendered pictures, not "
        "photographs, so nobody else's licence applies. The defaults make the file that ships with this program; on "
        "two cores that takes about half an hour."
    )
    parser.add_argument("--source", default="resnet18", metavar="NAME", help="network to learn from (default resnet18)")
    parser.add_argument(
        "--source-weights",
        type=Path,
        metavar="FILE",
        help="weight file of that network (default: timm fetches the weights)",
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder of further pictures to learn from")
    parser.add_argument(
        "--rendered", type=int, default=4000, metavar="N", help="number of rendered pictures (default 4000)"
    )
    parser.add_argument("--steps", type=int, default=3600, help="optimiser steps (default 3600)")
    parser.add_argument("--seed", type=seed, default=0, help="random seed for pictures and weights (default 0)")
    parser.add_argument("--device", default="auto", help="auto (default: the GPU if there is one), cpu, cuda")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="safetensors file to write")
    parser.set_defaults(handler=_teacher)


def _teacher(arguments: argparse.Namespace) -> None:
    from edge_inspect.train.distill import Distillation, distil

    loss = distil(
        Distillation(
            source=arguments.source,
            source_weights=arguments.source_weights,
            out=arguments.out,
            images=arguments.images,
            rendered=arguments.rendered,
            steps=arguments.steps,
            seed=arguments.seed,
            device=arguments.device,
        )
    )
    say(f"{arguments.out}: {arguments.steps} steps, loss {loss:.3f}; use it with --teacher embedded --teacher-weights")


if __name__ == "__main__":
    sys.exit(main())
