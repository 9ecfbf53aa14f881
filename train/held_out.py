"""The good pictures that a training held out."""

from __future__ import annotations

from pathlib import Path

from edge_inspect.edge.errors import DataSetError
from edge_inspect.edge.frame.images import pixel_digest, read_image
from edge_inspect.train.checkpoint import Checkpoint
from edge_inspect.train.copies import Copies
from edge_inspect.train.datasets import Category


def held_out_pictures(about: Checkpoint, category: Category) -> list[Path]:
    """Return the good pictures of a category that a training held out.

    Raises:
        DataSetError: There are none, because nothing was held out or the pictures have changed.
    """
    if not about.held_out:
        raise DataSetError(
            f"{category.root}: the training on {len(about.trained_on)} good images held out none to draw flaws on; "
            "train again with more images, or with a larger --hold-out"
        )
    wanted, copies = set(about.held_out), Copies()
    found = []
    for path in [*category.train_images(), *category.held_out_images()]:
        digest = pixel_digest(read_image(path, about.fit.bits))
        if digest in wanted and copies.is_new(path, digest):
            found.append(path)
    if not found:
        raise DataSetError(
            f"{category.root}: holds none of the {len(wanted)} good images that the training held out; "
            "give the folder of images that it was trained with"
        )
    return found
