"""The good pictures that look least like the others, on one HTML page: does one of them show a defect?

A defective part among the good pictures does harm twice: the model learns its defect, and its score raises the
threshold. It shows itself, because each picture is judged by a model that has not seen it: cross-fitting does that to
the pictures that were learned from, and the model itself to those held out. The page is one file that needs no others:
pictures are inline, nothing is fetched, there is no script.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edge_inspect.edge import __version__
from edge_inspect.edge.files import write_atomically
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame, read_image
from edge_inspect.edge.program import say
from edge_inspect.edge.text import clean
from edge_inspect.train.checkpoint import Checkpoint
from edge_inspect.train.crossfit import FEWEST, CrossFit
from edge_inspect.train.pages import facts_of, fill, heading, now, show_facts, show_tiles
from edge_inspect.train.resume import writing
from edge_inspect.train.thumbnails import panels, scale_bar, side_by_side, size_of, small, small_map

PAGE = "doubtful.html"
SHARE, FEWEST_SHOWN, MOST_SHOWN = 0.1, 24, 96
"""The share of the pictures that is shown, but no fewer and no more than so many."""


class Judged(NamedTuple):
    """Good pictures that were judged by models that have not seen them.

    Attributes:
        pictures: How they were fitted, and which model judged each of them.
        maps: Their maps; see `CrossFit.scores`.
        scores: Their scores.
        paths: Their files.
    """

    pictures: CrossFit
    maps: Tensor
    scores: Sequence[float]
    paths: Sequence[Path]

    @classmethod
    def of(cls, pictures: CrossFit, maps: Tensor, paths: Sequence[Path]) -> Judged:
        """Compute the scores."""
        return cls(pictures, maps, pictures.scores(maps), paths)


@dataclass(frozen=True)
class DoubtfulPicture:
    """A good picture with a high score.

    Attributes:
        path: Its file.
        score: Its score by a model that has not seen it.
        picture: What the network sees of it, at the size of a thumbnail.
        values: Its map, at the same size.
    """

    path: Path
    score: float
    picture: Frame
    values: NDArray[np.float32]

    @classmethod
    def draw(cls, path: Path, score: float, fit: Fit, values: NDArray[np.float32]) -> DoubtfulPicture:
        """Read the picture; `values` is its map, (height, width) of the fit's canvas.

        Raises:
            ImageError: The picture cannot be read.
        """
        fitted, placement = fit.apply(read_image(path, fit.bits))
        x0, y0, x1, y1 = placement.valid
        size = size_of((x1 - x0) * placement.scale_x, (y1 - y0) * placement.scale_y)
        if fit.weights is not None:
            values = values * fit.weights
        return cls(path, score, small(fitted[y0:y1, x0:x1], size), small_map(values[y0:y1, x0:x1], size))


def show_doubtful(folder: Path, about: Checkpoint, judged: Iterable[Judged]) -> None:
    """Write `doubtful.html` into a training's folder, and say which pictures come first on it.

    Args:
        folder: Folder of the training.
        about: Description of the trained model.
        judged: The pictures; if they are few, nothing is written, because one looks at all of them anyway.

    Raises:
        ImageError: A picture cannot be read.
        UsageError: The page cannot be written.
    """
    # Near duplicates too: a small defect may be all that tells a picture from a good one.
    scored = [(score, place, of) for of in judged for place, score in enumerate(of.scores)]
    if len(scored) < FEWEST:
        return
    shown = min(max(round(SHARE * len(scored)), FEWEST_SHOWN), MOST_SHOWN)
    highest = sorted(scored, key=lambda each: -each[0])[:shown]
    doubtful = [
        DoubtfulPicture.draw(of.paths[place], score, of.pictures.fit, of.pictures.map_of(place, of.maps))
        for score, place, of in highest
    ]
    page = folder / PAGE
    html = _render(about, doubtful, [score for score, *_ in scored])
    with writing(folder):
        write_atomically(page, html.encode(errors="replace"))  # a file name need not be valid UTF-8
    first, second, third = (clean(each.path.name) for each in doubtful[:3])
    say(
        f"the good images that look least like the others are {first}, {second} and {third}; such images set the "
        f"threshold. Look at {page}: if one shows a defect, remove it and train again"
    )


def _render(about: Checkpoint, doubtful: Sequence[DoubtfulPicture], scores: Sequence[float]) -> str:
    low = float(np.median(np.concatenate([each.values.ravel() for each in doubtful])))
    high = float(np.quantile(scores, 0.9))
    title = heading(about.category, about)
    return fill(
        "doubtful.html",
        head=f"<title>doubtful: {title}</title>",
        title=title,
        facts=show_facts({**facts_of(about), "folder": clean(doubtful[0].path.parent.resolve())}),
        tiles=show_tiles(
            [
                (f"{len(doubtful)} of {len(scores)}", "good images, highest scores first"),
                (f"{doubtful[0].score:.4g}", "highest score"),
                (f"{np.median(scores):.4g}", "median score"),
            ]
        ),
        scale=scale_bar(low, high),
        cases="\n".join(_figure(rank + 1, each, (low, high)) for rank, each in enumerate(doubtful)),
        footer=f"Written by edge-train fit, edge-inspect {escape(__version__)}, on {now()}.",
    )


def _figure(rank: int, doubtful: DoubtfulPicture, scale: tuple[float, float]) -> str:
    name = escape(clean(doubtful.path.name))
    return (
        f'<figure class="case">{side_by_side(panels(name, doubtful.picture, doubtful.values, scale))}'
        f"<figcaption>{rank}. <b>{name}</b> score {doubtful.score:.4g}</figcaption></figure>"
    )
