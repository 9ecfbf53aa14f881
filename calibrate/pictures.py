"""The pictures that a bundle is made from: good ones that the model has and has not seen, and defective ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.errors import DataSetError
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame, list_images, nothing_here, pixel_digest, read_image
from edge_inspect.edge.frame.images.folder import look_into
from edge_inspect.edge.text import clean
from edge_inspect.train.checkpoint import Checkpoint
from edge_inspect.train.copies import Copies
from edge_inspect.train.datasets import load_fitted
from edge_inspect.train.material import normalise


def list_good(folder: Path) -> list[Path]:
    """Return the good images of a folder.

    Raises:
        DataSetError: There is no such folder, or it holds no images.
    """
    return _images("--good", folder)


def list_defects(folder: Path) -> dict[Path, str]:
    """Return the defective images of a folder and its subfolders except `good`, each with its folder's name as kind.

    Raises:
        DataSetError: There is no such folder, or it holds no images.
    """
    found = dict.fromkeys(_images("--defects", folder, within=True), clean(folder.name))
    for each in sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith(".")):
        found |= dict.fromkeys(look_into(each).images if each.name != "good" else [], clean(each.name))
    return found or dict.fromkeys(_images("--defects", folder), clean(folder.name))


def _images(option: str, folder: Path, within: bool = False) -> list[Path]:
    """Return the images of a folder; with `within`, only those that lie directly in it."""
    if not folder.is_dir():
        raise DataSetError(f"{option} {clean(folder)}: no such folder")
    images = look_into(folder).images if within else list_images(folder)
    if not images and not within:
        raise DataSetError(f"{option} {nothing_here(folder)}")
    return images


def split_seen(
    about: Checkpoint, images: list[Path], copies: Copies, say: Callable[[str], None]
) -> tuple[list[Path], dict[Path, Frame]]:
    """Split the images into those that the model was trained on and those that it was not, these with their pixels.

    Copies of either go to `copies`. Images in which the part is not found are left out and reported. Images that the
    model was trained on score too low to set a threshold.

    Raises:
        DataSetError: The model was trained on all of the images.
    """
    trained = set(about.trained_on)
    seen: list[Path] = []
    unseen: dict[Path, Frame] = {}
    lost: list[Path] = []
    for path in images:
        frame = read_image(path, about.fit.bits)
        digest = pixel_digest(frame)
        if not copies.is_new(path, digest):
            continue
        if digest in trained:
            seen.append(path)
        elif _has_part(about.fit, frame):
            unseen[path] = frame
        else:
            lost.append(path)
    if lost:
        every = len(lost) + len(unseen)
        say(f"the part was not found in {len(lost)} of {every} good images, such as {clean(lost[0])}")
    if not unseen:
        raise DataSetError(
            f"{clean(images[0].parent)}: the model was trained on each of these {len(images)} images, so they cannot "
            "set a threshold; give good images it has not seen, or train with --hold-out above 0"
        )
    return seen, unseen


def read_defects(
    about: Checkpoint, defects: Sequence[Path], good: Copies, say: Callable[[str], None]
) -> dict[Path, Frame]:
    """Return the defective images in which the part is found; report the others, and those that are good ones too."""
    frames = {path: read_image(path, about.fit.bits) for path in defects}
    if both := [clean(path) for path, frame in frames.items() if pixel_digest(frame) in good.first]:
        say(f"{len(both)} images are among --good and --defects: {both[0]}" + (", ..." if len(both) > 1 else ""))
    found = {path: frame for path, frame in frames.items() if _has_part(about.fit, frame)}
    if lost := len(frames) - len(found):
        say(f"the part was not found in {lost} of {len(frames)} defective images; a station rejects them unseen")
    return found


def _has_part(fit: Fit, frame: Frame) -> bool:
    return fit.aligner is None or fit.aligner.find(frame).found


def draw_pictures(fit: Fit, images: Sequence[Path], count: int, seed: int) -> NDArray[np.uint8]:
    """Return images drawn at random and fitted, (N, H, W, 3) BGR; if the fit cuts tiles, each one drawn is a tile.

    Args:
        fit: How frames are fitted to the network.
        images: Files of the images.
        count: Most images, or tiles, to draw.
        seed: Random seed.
    """
    tiles = fit.grid.count
    drawn = sorted(np.random.default_rng(seed).permutation(len(images) * tiles)[:count])
    return np.concatenate(
        [
            load_fitted([images[image]], fit)[[place % tiles for place in places]]
            for image, places in itertools.groupby(drawn, lambda place: place // tiles)
        ]
    )


def network_inputs(pictures: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Return the network's input for each picture, (1, 3, H, W)."""
    return [np.ascontiguousarray(normalise(picture[None]).numpy()) for picture in pictures]
