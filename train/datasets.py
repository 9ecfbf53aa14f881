"""The categories of a data set, each one product, and their pictures; `train.layouts` knows how they lie on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.errors import DataSetError
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame, Mask, pixel_digest, read_image, read_mask
from edge_inspect.edge.text import clean
from edge_inspect.train.copies import Copies
from edge_inspect.train.layouts import EXPECTED, Layout, NoDefects, TestImage, recognise, subfolders
from edge_inspect.train.progress import tracked

__all__ = ["Category", "GoodImages", "NoDefects", "TestImage", "categories", "load_fitted", "load_mask"]


@dataclass(frozen=True)
class Category:
    """One product of a data set: its training and test pictures."""

    root: Path
    layout: Layout

    @classmethod
    def open(cls, data: Path, name: str = ".") -> Category:
        """Find category `name` in the folder `data`; `.` is the folder itself.

        Raises:
            DataSetError: There is no such folder or category; the message names those that exist.
        """
        _require_folder(data)
        layout = recognise(data / name)
        if layout is None:
            raise DataSetError(_unknown(data, name))
        return cls(data / name, layout)

    def train_images(self) -> list[Path]:
        """Return the good pictures to learn from, sorted by name.

        Raises:
            DataSetError: There are none, or VisA's split file is wrong.
        """
        return self.layout.train_images(self.root)

    def held_out_images(self) -> list[Path]:
        """Return good pictures that the data set keeps from both training and test, sorted by name; most have none."""
        return self.layout.held_out_images(self.root)

    def test_images(self) -> list[TestImage]:
        """Return the test pictures, sorted by kind and name, each with its mask.

        Raises:
            NoDefects: There is no defective picture.
            DataSetError: There is no good picture, a mask matches no picture, or VisA's split file is wrong.
        """
        return sorted(self.layout.test_images(self.root), key=lambda image: (image.kind, image.path))


def categories(data: Path) -> list[str]:
    """Return the names of all categories in the folder `data`, sorted; only `.` if the folder is itself a category.

    Raises:
        DataSetError: There is no such folder, or it has no category.
    """
    _require_folder(data)
    names = _names(data)
    if not names:
        raise DataSetError(f"{data}: has no categories; {EXPECTED}")
    return names


class GoodImages:
    """Good pictures as the network sees them, without copies.

    Args:
        paths: Files of the pictures.
        fit: How they are fitted to the network.

    Attributes:
        paths: Files that are not copies, in the same order.
        digests: Digests of their pixels.
        shown: For each picture, x0, y0, x1, y1 in canvas pixels of the part that shows the frame and not padding.
        copies: The copies.
        lost: Files of pictures in which the part was not found; they are left out.

    Raises:
        ImageError: A picture cannot be read.
    """

    def __init__(self, paths: Sequence[Path], fit: Fit) -> None:
        self._tiles = fit.grid.count
        self._fitted = np.empty((len(paths) * self._tiles, fit.height, fit.width, 3), np.uint8)
        self.paths: list[Path] = []
        self.digests: dict[Path, str] = {}
        self.shown: dict[Path, tuple[int, int, int, int]] = {}
        self.copies = Copies()
        self.lost: list[Path] = []
        for path in tracked(paths, len(paths), "reading", "images"):
            frame = read_image(path, fit.bits)
            digest = pixel_digest(frame)
            if self.copies.is_new(path, digest):
                fitted, placement = fit.apply(frame)
                if not placement.found:
                    self.lost.append(path)
                    continue
                self._tiles_of(len(self.paths))[:] = fit.cut(fitted)
                self.paths.append(path)
                self.digests[path] = digest
                self.shown[path] = placement.valid

    @property
    def fitted(self) -> NDArray[np.uint8]:
        """All pictures, (N, height, width, 3) uint8 BGR, a picture's tiles after each other, until `only` is called."""
        return self._fitted[: len(self.paths) * self._tiles]

    def only(self, chosen: Sequence[Path]) -> NDArray[np.uint8]:
        """Return some of the pictures, (N, height, width, 3) uint8 BGR, a picture's tiles after each other.

        The chosen pictures overwrite the others, because memory may not have room for both. After that, `fitted` is no
        longer valid.

        Args:
            chosen: Files of the pictures to return, in the order of `paths`.
        """
        places = {path: place for place, path in enumerate(self.paths)}
        for to, path in enumerate(chosen):
            self._tiles_of(to)[:] = self._tiles_of(places[path])
        return self._fitted[: len(chosen) * self._tiles]

    def _tiles_of(self, place: int) -> NDArray[np.uint8]:
        return self._fitted[place * self._tiles : (place + 1) * self._tiles]


def load_fitted(paths: Sequence[Path], fit: Fit) -> NDArray[np.uint8]:
    """Read pictures as the network sees them: (N, height, width, 3) uint8 BGR.

    N is the number of pictures times the number of the fit's tiles; a picture's tiles follow each other.
    """
    tiles = fit.grid.count
    fitted = np.empty((len(paths) * tiles, fit.height, fit.width, 3), np.uint8)
    for i, path in enumerate(paths):
        fitted[i * tiles : (i + 1) * tiles] = fit.cut(fit.apply(read_image(path, fit.bits))[0])
    return fitted


def load_mask(image: TestImage, frame: Frame) -> Mask | None:
    """Read the mask of a defective test picture; return `None` if it has none.

    Args:
        image: The picture.
        frame: Its pixels, as they were read.

    Raises:
        DataSetError: The mask has another size than its picture.
        ImageError: The mask cannot be read.
    """
    if image.mask is None:
        return None
    mask = read_mask(image.mask)
    (height, width), (tall, wide) = mask.marked.shape, frame.shape[:2]
    if (height, width) != (tall, wide):
        sideways = (height, width) == (wide, tall)
        raise DataSetError(
            f"{clean(image.mask)}: is {width}x{height} pixels, its image {wide}x{tall}"
            + ("; one of them lies on its side" if sideways else "")
            + ". Both are turned as their EXIF orientation says: draw a mask on the upright image"
        )
    return mask


def _names(data: Path) -> list[str]:
    return ["."] if recognise(data) else sorted(name for name in subfolders(data) if recognise(data / name))


def _require_folder(data: Path) -> None:
    if not data.is_dir():
        raise DataSetError(f"{data}: no such folder")


def _unknown(data: Path, name: str) -> str:
    """Return the message that `name` is not a category of `data`; it lists the layouts, or the categories there are."""
    names, itself = _names(data), Path(name) == Path()
    what = f"{data}: is not itself a category" if itself else f"{data}: has no category {name!r}"
    if names == ["."]:
        return f"{what}; it is one itself, so leave the category out or give '.'"
    known = f"there are {', '.join(names)}" if names else "there is none"
    hint = not names or (not itself and (data / name).is_dir())
    return f"{what}; {known}" + (f"; {EXPECTED}" if hint else "")
