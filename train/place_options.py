"""The options of `edge-train fit` that say where to look, and whether the part lies still."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.program import say

if TYPE_CHECKING:
    from edge_inspect.edge.frame.alignment import Alignment

MODES = ("none", "shift", "rigid")


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
        choices=MODES,
        default="none",
        help="for parts that do not lie still: find the part in every frame and bring it to one pose, before all else. "
        "shift: the part is only shifted; rigid: it is shifted and turned. A frame without the part is rejected as "
        "not_found. Only the rectangle round the part is inspected, unless --region names another (default none)",
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
    from edge_inspect.edge.frame.alignment import MOST_TURN
    from edge_inspect.edge.frame.images import read_image
    from edge_inspect.train.alignment import MOST, WIDEST_SHIFT, learnt_alignment, with_learnt_limits
    from edge_inspect.train.datasets import Category

    if arguments.align == "none":
        for option in ("align_part", "align_shift", "align_turn"):
            if getattr(arguments, option) is not None:
                raise UsageError(f"--{option.replace('_', '-')} belongs to --align shift or rigid")
        return None
    paths = Category.open(arguments.data, category).train_images()
    step = -(-len(paths) // MOST)
    pictures = [read_image(path, arguments.bits) for path in paths[::step]]
    part = _parse_part(arguments.align_part)
    given = {"shift": arguments.align_shift, "turn": arguments.align_turn}
    given = {name: value for name, value in given.items() if value is not None}
    learnt = learnt_alignment(
        pictures, arguments.align, part=part, **{"shift": WIDEST_SHIFT, "turn": MOST_TURN, **given}
    )
    learnt = replace(with_learnt_limits(learnt, pictures), **given)
    assert learnt.part is not None
    x, y, width, height = learnt.part
    say(
        f"the part is brought to {x},{y} with {width}x{height} pixels, its middle place in the good images; it is not "
        f"found where it is shifted by more than {learnt.shift:.1%} of the frame"
        + (f", turned by more than {learnt.turn:.0f} degrees" if learnt.mode == "rigid" else "")
        + f", or recognised with a confidence below {learnt.least_confidence:.2f}"
    )
    return learnt


def _parse_part(text: str | None) -> tuple[int, int, int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+),(\d+),(\d+),(\d+)", text)
    if match is None:
        raise UsageError(f"--align-part {text}: give four whole numbers X,Y,W,H like 100,80,320,240")
    x, y, width, height = (int(number) for number in match.groups())
    return x, y, width, height
