"""The options of `calibrate bundle`, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect.edge.program import say, seed

if TYPE_CHECKING:
    from edge_inspect.calibrate.bundling import Request


def rate(text: str) -> float | None:
    """Return the rate that `--false-reject-rate` names; `None` for auto."""
    try:
        return None if text == "auto" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither auto nor a share like 0.01") from None


def add_bundle(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bundle`, and what it runs."""
    parser.description = (
        "Makes a bundle from a checkpoint. It exports the network in FP32 and FP16, quantizes it to INT8 in the form "
        "that measures best here, sets FP32's threshold from good images that the model has not seen, and moves that "
        "threshold to the other precisions. The bundle is written as a whole or not at all. The last lines say what "
        "the threshold does to good parts, to synthetic flaws and to the defects in --defects; report/index.html shows "
        "the same, and how good each precision is. Images in --good that the model was trained on (recognised by their "
        "content) only help to choose INT8 scales. INT8 is judged on synthetic flaws. If it loses more than the "
        "budget, or would give too many parts another verdict than FP32, its layers are ranked by the harm that each "
        "does, and as few of the worst as will do are left in float, within --search-seconds. A station runs the "
        "precision that is fastest on this processor among those that keep the budget; with TensorRT it tries INT8 "
        "first. INT8 that stays beyond the budget is still in the bundle, but no station runs it unless told to."
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the checkpoint")
    parser.add_argument(
        "--good",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of good images; images that the model was trained on may be among them",
    )
    parser.add_argument(
        "--defects",
        type=Path,
        metavar="DIR",
        help="folder of defective images, or of one folder for each kind; the report covers them, but they decide "
        "nothing",
    )
    parser.add_argument(
        "--false-reject-rate",
        type=rate,
        metavar="R|auto",
        help="share of good parts that may be rejected. auto (default): the smallest of 0.1, 0.2, 0.5, 1, 2 and 5 %% "
        "at which two of the good images would be rejected on average",
    )
    parser.add_argument(
        "--calibration-images",
        type=int,
        default=64,
        metavar="N",
        help="most images to choose the INT8 scales with (default 64)",
    )
    parser.add_argument(
        "--seed", type=seed, default=0, help="random seed that picks the images for the INT8 scales (default 0)"
    )
    parser.add_argument(
        "--budget-auroc",
        type=float,
        default=0.5,
        metavar="P",
        help="points of image AUROC that INT8 may lose (default 0.5)",
    )
    parser.add_argument(
        "--budget-aupro", type=float, default=1.0, metavar="P", help="points of AUPRO that INT8 may lose (default 1)"
    )
    parser.add_argument(
        "--budget-rank",
        type=float,
        default=0.98,
        metavar="R",
        help="smallest allowed rank correlation between INT8's scores and FP32's (default 0.98)",
    )
    parser.add_argument(
        "--budget-verdicts",
        type=float,
        default=1.0,
        metavar="P",
        help="per cent of parts, good and flawed, that may get another verdict than FP32's; estimated from scores of "
        "synthetic flaws and held-out good images near the threshold. Layers of INT8 are left in float until half of "
        "this is expected (default %(default)g)",
    )
    parser.add_argument(
        "--search-seconds",
        type=float,
        default=60.0,
        metavar="S",
        help="if INT8 is beyond the budget: the longest time to search for layers to leave in float (default 60; 0: "
        "do not search)",
    )
    parser.add_argument(
        "--sensitivity",
        action="store_true",
        help="rank all layers of INT8 by the harm that each does, even if the budget holds, and however long it takes",
    )
    parser.add_argument(
        "--repeatable",
        action="store_true",
        help="let no clock decide, so that the same pictures give the same networks and thresholds on a busy machine: "
        "forms of INT8 count as equally fast, and a search takes as long as it needs",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="folder to create")
    parser.set_defaults(handler=_bundle)


def request_of(arguments: argparse.Namespace) -> Request:
    """Return what the parsed command line asks for."""
    from edge_inspect.calibrate.bundling import Request
    from edge_inspect.calibrate.networks import Search
    from edge_inspect.calibrate.precisions.damage import Budget

    budget = Budget(arguments.budget_auroc, arguments.budget_aupro, arguments.budget_rank, arguments.budget_verdicts)
    return Request(
        run=arguments.run,
        good=arguments.good,
        out=arguments.out,
        defects=arguments.defects,
        false_reject_rate=arguments.false_reject_rate,
        calibration_images=arguments.calibration_images,
        seed=arguments.seed,
        search=Search(budget, arguments.search_seconds, arguments.sensitivity, arguments.repeatable),
    )


def _bundle(arguments: argparse.Namespace) -> None:
    from edge_inspect.calibrate.bundling import make_bundle

    bundle = make_bundle(request_of(arguments), say)
    say(f"{bundle.path}: {', '.join(bundle.manifest.precisions)}; a station runs {bundle.manifest.preferred}")
