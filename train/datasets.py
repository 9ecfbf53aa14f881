"""Inspection pictures on disk, in the layout of MVTec AD.

DIR/CATEGORY/train/good/*.png                    good parts, to learn from
DIR/CATEGORY/test/good/*.png                     good parts, to test with
DIR/CATEGORY/test/<kind of defect>/*.png
DIR/CATEGORY/ground_truth/<kind>/<stem>_mask.png, or <stem>.png
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import DataSetError
from edge.fit import Fit
from edge.images import list_images, read_image, read_mask

LAYOUT = "expected the layout of MVTec AD: {root}/train/good/*.png, test/good/*.png, test/<defect>/*.png"


@dataclass(frozen=True)
class TestImage:
    """A picture of the test split.

    Attributes:
        path: The picture.
        kind: `good`, or the kind of defect.
        mask: Its ground truth, where there is one.
    """

    __test__ = False  # not a test, whatever pytest thinks of the name

    path: Path
    kind: str
    mask: Path | None

    @property
    def good(self) -> bool:
        """Whether the part is good."""
        return self.kind == "good"


@dataclass(frozen=True)
class Category:
    """One product of a data set: its training and test pictures."""

    root: Path

    @classmethod
    def open(cls, data: Path, name: str) -> Category:
        """Finds category `name` in the folder `data`.

        Raises:
            DataSetError: There is no such folder or category; the message names those that exist.
        """
        if not data.is_dir():
            raise DataSetError(f"{data}: no such folder")
        if not (data / name / "train" / "good").is_dir():
            there = sorted(path.name for path in data.iterdir() if (path / "train" / "good").is_dir())
            known = (
                f"there are {', '.join(there)}" if there else "there is none; " + LAYOUT.format(root=data / "CATEGORY")
            )
            raise DataSetError(f"{data}: has no category {name!r}; {known}")
        return cls(data / name)

    def train_images(self) -> list[Path]:
        """The good pictures to learn from, sorted by name.

        Raises:
            DataSetError: There is none.
        """
        folder = self.root / "train" / "good"
        images = list_images(folder)
        if not images:
            raise DataSetError(f"{folder}: holds no images; " + LAYOUT.format(root=self.root))
        return images

    def test_images(self) -> list[TestImage]:
        """The test pictures, sorted by kind and name, each with its mask.

        Raises:
            DataSetError: There is none, only one of good and defective, or a mask matches no picture.
        """
        folder = self.root / "test"
        if not folder.is_dir():
            raise DataSetError(f"{folder}: no such folder; " + LAYOUT.format(root=self.root))
        images = [
            TestImage(path, kind.name, None if kind.name == "good" else self._mask(kind.name, path.stem))
            for kind in sorted(folder.iterdir())
            if kind.is_dir()
            for path in list_images(kind)
        ]
        if not any(image.good for image in images) or all(image.good for image in images):
            raise DataSetError(f"{folder}: needs images in good/ and in at least one folder of defects")
        self._refuse_stray_masks({image.mask for image in images if image.mask})
        return images

    def _mask(self, kind: str, stem: str) -> Path | None:
        for name in (f"{stem}_mask.png", f"{stem}.png"):
            path = self.root / "ground_truth" / kind / name
            if path.is_file():
                return path
        return None

    def _refuse_stray_masks(self, used: set[Path]) -> None:
        folder = self.root / "ground_truth"
        kinds = [kind for kind in folder.iterdir() if kind.is_dir()] if folder.is_dir() else []
        there = {path for kind in kinds for path in list_images(kind)}
        stray = sorted(there - used)
        if stray:
            raise DataSetError(
                f"{stray[0]}: matches no image in {self.root / 'test' / stray[0].parent.name} "
                f"({len(stray)} such masks); a mask is named after its image, with or without _mask"
            )


def hold_out(images: Sequence[Path], share: float, seed: int) -> tuple[list[Path], list[Path]]:
    """Splits sorted pictures into those to learn from and those held out for thresholds, by seed; both stay sorted."""
    count = round(len(images) * share)
    chosen = set(np.random.default_rng(seed).permutation(len(images))[:count].tolist())
    return [p for i, p in enumerate(images) if i not in chosen], [p for i, p in enumerate(images) if i in chosen]


def load_fitted(paths: Sequence[Path], fit: Fit) -> NDArray[np.uint8]:
    """Reads and fits pictures: (N, height, width, 3) uint8 BGR."""
    fitted = np.empty((len(paths), fit.height, fit.width, 3), np.uint8)
    for i, path in enumerate(paths):
        fitted[i] = fit.apply(read_image(path))[0]
    return fitted


def load_ground_truth(image: TestImage, fit: Fit) -> NDArray[np.uint8]:
    """The fitted 0/1 mask of a test picture, (height, width) uint8: all 0 for a good part.

    Raises:
        DataSetError: A defective part has no mask, or the mask has another size than its picture.
    """
    frame = read_image(image.path)
    placement = fit.apply(frame)[1]
    if image.good:
        return np.zeros((fit.height, fit.width), np.uint8)
    if image.mask is None:
        raise DataSetError(f"{image.path}: has no mask in ground_truth/{image.kind}/")
    mask = read_mask(image.mask)
    if mask.shape != frame.shape[:2]:
        raise DataSetError(
            f"{image.mask}: is {mask.shape[1]}x{mask.shape[0]} pixels, its image {frame.shape[1]}x{frame.shape[0]}"
        )
    return fit.apply_mask(mask, placement)
