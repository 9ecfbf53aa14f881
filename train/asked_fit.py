"""The fit that the options of `edge-train fit` ask for."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace

import cv2

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.alignment import Alignment
from edge_inspect.edge.frame.areas import Areas
from edge_inspect.edge.frame.fit import Fit, parse_size
from edge_inspect.edge.frame.fit_modes import OVERLAP
from edge_inspect.edge.frame.images import read_image
from edge_inspect.edge.frame.tiles import grid_for
from edge_inspect.edge.program import say
from edge_inspect.edge.text import clean
from edge_inspect.train.area_files import read_areas
from edge_inspect.train.datasets import Category
from edge_inspect.train.input_size import SIDE, input_size
from edge_inspect.train.place_options import learn_alignment, parse_box


def asked_fit(arguments: argparse.Namespace) -> Fit:
    """Return the fit as far as the options name it, without an alignment; this reads no training pictures.

    Raises:
        UsageError: An option has a value that it cannot have.
    """
    width, height = (SIDE, SIDE) if arguments.size == "auto" else parse_size(arguments.size)
    overlap = OVERLAP if arguments.overlap is None else arguments.overlap
    region, areas = parse_box("--region", arguments.region), read_areas(arguments.look, arguments.ignore)
    fit = Fit(width, height, arguments.fit, region, arguments.grey, overlap=overlap, bits=arguments.bits, areas=areas)
    if fit.mode != "tile" and (arguments.tiles is not None or arguments.overlap is not None):
        raise UsageError(f"--tiles and --overlap belong to --fit tile, not to --fit {fit.mode}")
    return fit if arguments.tiles in (None, "auto") else replace(fit, tiles=_parse_tiles(arguments.tiles))


def parse_fit(arguments: argparse.Namespace, category: str) -> Fit:
    """Return the fit that was asked for; a size or tiles that were not named are taken from the training pictures.

    Raises:
        UsageError: An option has a value that it cannot have.
        DataSetError: There are no training pictures.
        ImageError: One of them cannot be read.
    """
    fit = asked_fit(arguments)
    if (alignment := learn_alignment(arguments, category)) is not None:
        fit = replace(_round_the_part(fit, alignment), alignment=alignment)
    if fit.mode != "tile":
        if arguments.size == "auto" and fit.mode != "crop":
            width, height = input_size(Category.open(arguments.data, category).train_images(), fit)
            say(f"the network's input is {width}x{height} pixels; --size names another")
            return replace(fit, width=width, height=height)
        return fit
    if arguments.tiles not in (None, "auto"):
        return fit
    first = Category.open(arguments.data, category).train_images()[0]
    _, _, region_w, region_h = fit.region_of(read_image(first, fit.bits))
    columns, rows = grid_for((region_w, region_h), (fit.width, fit.height), fit.overlap)
    seen = f"{region_w}x{region_h} pixels to inspect"
    say(f"{columns}x{rows} tiles of {fit.width}x{fit.height}, as {clean(first.name)} has {seen}")
    return replace(fit, tiles=(columns, rows))


def _round_the_part(fit: Fit, alignment: Alignment) -> Fit:
    """Return the fit to the part alone, unless it names a region or areas to look at.

    Beside the part lies what another pose brings into the frame.
    """
    from edge_inspect.train.alignment import part_outline

    if fit.region is not None:
        return fit
    height, width = alignment.reference.shape[:2]
    areas = fit.areas or Areas(size=(width, height))
    if areas.look or areas.size != (width, height):
        return replace(fit, region=alignment.part)
    outline = part_outline(alignment)
    if outline is None:
        say(
            "the part does not stand out from the background everywhere, so the rectangle round it is looked at; "
            "--look names its outline"
        )
        return replace(fit, region=alignment.part)
    say("only the part is looked at, by its outline; --look or --region names something else")
    x, y, across, down = cv2.boundingRect(outline.mask(areas.size))
    return replace(fit, region=(x, y, across, down), areas=areas.model_copy(update={"look": (outline,)}))


def _parse_tiles(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise UsageError(f"--tiles {text}: is neither auto nor COLUMNSxROWS like 3x1")
    return int(match[1]), int(match[2])
