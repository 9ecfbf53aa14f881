"""The options of `edge-train fit` that say where to look, and whether the part lies still."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.fit_modes import ALIGN_MODES
from edge_inspect.edge.program import say

if TYPE_CHECKING:
    from edge_inspect.edge.frame.alignment import Alignment

NO_ALIGNMENT = "none"


def add_place_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to `fit`."""
    parser.add_argument(
        "--look",
        type=Path,
        metavar="FILE",
        help="areas that are looked at; the rest of the frame is ignored. FILE is YAML as edge-train regions writes it "
        "(its list `look`), or a mask image, white where to look",
    )
    parser.add_argument(
        "--ignore",
        type=Path,
        metavar="FILE",
        help="areas that are ignored, such as a lamp: nothing in them can change a score. FILE as for --look",
    )
    parser.add_argument(
        "--align",
        choices=(NO_ALIGNMENT, *ALIGN_MODES),
        default=NO_ALIGNMENT,
        help="for parts that do not lie still: find the part in every frame and bring it to one pose, before all else. "
        "shift: the part is only shifted; rigid: it is shifted and turned. A frame without the part is rejected as "
        "not_found. Only the part is looked at, unless --look or --region says where (default none)",
    )
    parser.add_argument(
        "--align-part",
        metavar="X,Y,W,H",
        help="with --align: rectangle round the part in the good images, in pixels (default: what stands out from the "
        "background)",
    )
    parser.add_argument(
        "--align-shift",
        type=float,
        metavar="SHARE",
        help="with --align: how far the part may be shifted to each side, as a share of the frame (default: a little "
        "farther than in the good images)",
    )
    parser.add_argument(
        "--align-turn",
        type=float,
        metavar="DEGREES",
        help="with --align rigid: how far the part may be turned to each side (default: a little farther than in the "
        "good images)",
    )


def learn_alignment(arguments: argparse.Namespace, category: str) -> Alignment | None:
    """Return the alignment that was asked for, learnt from the good images of a category; `None` for none.

    Raises:
        UsageError: An option is wrong, or the part cannot be told from the background.
        DataSetError: There are no good images.
        ImageError: One of them cannot be read.
    """
    from edge_inspect.edge.frame.images import read_image
    from edge_inspect.train.alignment import MOST, learnt_alignment
    from edge_inspect.train.datasets import Category

    if arguments.align == NO_ALIGNMENT:
        for option in ("align_part", "align_shift", "align_turn"):
            if getattr(arguments, option) is not None:
                raise UsageError(f"--{option.replace('_', '-')} belongs to --align shift or rigid")
        return None
    paths = Category.open(arguments.data, category).train_images()
    step = -(-len(paths) // MOST)
    pictures = [read_image(path, arguments.bits) for path in paths[::step]]
    part = parse_box("--align-part", arguments.align_part)
    limits = {"shift": arguments.align_shift, "turn": arguments.align_turn}
    given = {name: value for name, value in limits.items() if value is not None}
    learnt = learnt_alignment(pictures, arguments.align, part=part, **given)
    x, y, width, height = learnt.part
    say(
        f"the part is brought to {x},{y} with {width}x{height} pixels, its middle place in the good images; it is not "
        f"found where it is shifted by more than {learnt.shift:.1%} of the frame"
        + (f", turned by more than {learnt.turn:.0f} degrees" if learnt.mode == "rigid" else "")
        + f", or recognised with a confidence below {learnt.least_confidence:.2f}"
    )
    return learnt


def parse_box(option: str, text: str | None) -> tuple[int, int, int, int] | None:
    """Return x, y, width and height of an option like 10,20,300,200; `None` if it is not given.

    Raises:
        UsageError: It is something else.
    """
    if text is None:
        return None
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"{option} {text}: is not X,Y,WIDTH,HEIGHT in pixels") from error
    return x, y, width, height
