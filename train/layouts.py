"""Inspection pictures on disk, in one of five layouts; the folders that exist tell which.

MVTec AD, https://www.mvtec.com/company/research/datasets/mvtec-ad
    DIR/CATEGORY/train/good/*                        good parts, to learn from
    DIR/CATEGORY/test/good/*                         good parts, to test with
    DIR/CATEGORY/test/<kind of defect>/*
    DIR/CATEGORY/ground_truth/<kind>/<stem>_mask.png, or <stem>.png

MVTec 3D-AD, its colour pictures alone, https://www.mvtec.com/company/research/datasets/mvtec-3d-ad
    DIR/CATEGORY/train/good/rgb/*
    DIR/CATEGORY/validation/good/rgb/*               further good parts, held out
    DIR/CATEGORY/test/<good or kind of defect>/rgb/*
    DIR/CATEGORY/test/<kind>/gt/<stem>.png

BTAD, https://github.com/pankajmishra000/VT-ADL
    DIR/CATEGORY/train/ok/*
    DIR/CATEGORY/test/ok/*, test/ko/*
    DIR/CATEGORY/ground_truth/ko/<stem>.png or .bmp

VisA, https://github.com/amazon-science/spot-diff
    DIR/CATEGORY/Data/Images/Normal/*.JPG, Data/Images/Anomaly/*.JPG
    DIR/CATEGORY/Data/Masks/Anomaly/*.png            the number of a kind of defect
    DIR/split_csv/1cls.csv                           the split, see `train.visa`

Plain
    DIR/CATEGORY/good/*
    DIR/CATEGORY/defects/*                           to test with; may be missing
    DIR/CATEGORY/defects/<kind of defect>/*          more of them, by their kind
    DIR/CATEGORY/masks/<stem>_mask.png, or <stem>.png; those of a kind in masks/<kind>/
    There is no split, so a fifth of the good pictures is kept for the test, whether there are defects or not: those
    whose names have the smallest SHA-256. Models never learn from them. The same folder gives the same split anywhere,
    and adding or removing a picture moves at most one other.

The folder of a category may also be given itself, with no category or `.`. Masks may have any picture format;
`edge.frame.images.mask` describes how they are read. Hidden files, other suffixes and subfolders are skipped and
reported.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge_inspect.edge.errors import DataSetError
from edge_inspect.edge.frame.images import list_images, nothing_here
from edge_inspect.edge.text import clean
from edge_inspect.train import visa

PLAIN_TEST_SHARE = 0.2


class NoDefects(DataSetError):
    """There is no picture of a defect to test with; the folders may still belong to a data set of good parts."""


@dataclass(frozen=True)
class TestImage:
    """A picture of the test split.

    Attributes:
        path: The picture.
        kind: `good`, or the kind of defect.
        mask: File of its ground truth, if there is one.
        mask_place: Place for the ground truth, from the category's folder.
    """

    __test__ = False  # pytest would take a class of this name for a test

    path: Path
    kind: str
    mask: Path | None
    mask_place: str = "its data set"

    @property
    def good(self) -> bool:
        """Whether the part is good."""
        return self.kind == "good"


class Layout(Protocol):
    """Where the pictures of a category are; `root` is the category's folder. Missing pictures raise `DataSetError`."""

    @property
    def name(self) -> str:
        """Name of the layout."""

    @property
    def mark(self) -> str:
        """Folder, from `root`, by which the layout is recognised."""

    def train_images(self, root: Path) -> list[Path]:
        """Return the good pictures to learn from, sorted; at least one."""

    def held_out_images(self, root: Path) -> list[Path]:
        """Return the good pictures that belong to neither training nor test, sorted."""

    def test_images(self, root: Path) -> list[TestImage]:
        """Return the test pictures, at least one good and one defective."""


def recognise(root: Path) -> Layout | None:
    """Return the layout of the category whose folder is `root`; `None` if it is not a category's folder."""
    return next((layout for layout in LAYOUTS if (root / layout.mark).is_dir()), None)


@dataclass(frozen=True)
class _Folders:
    """A layout that is described by its folders: MVTec AD and its successors. Paths start at the category's folder.

    Attributes:
        name: Name of the layout.
        mark: Folder of the good pictures to learn from, by which the layout is recognised.
        test: Folder of the test pictures of one kind.
        masks: Folder of their masks.
        good: Name of the kind without a defect.
        held_out: Folder of further good pictures.
    """

    name: str
    mark: str
    test: str = "test/{kind}"
    masks: str = "ground_truth/{kind}"
    good: str = "good"
    held_out: str | None = None

    def train_images(self, root: Path) -> list[Path]:
        images = _list(root / self.mark)
        if not images:
            raise DataSetError(f"{_nothing(root / self.mark)}; {self._expected(root)}")
        return images

    def held_out_images(self, root: Path) -> list[Path]:
        return _list(root / self.held_out) if self.held_out else []

    def test_images(self, root: Path) -> list[TestImage]:
        folder = root / "test"
        if not folder.is_dir():
            raise NoDefects(f"{folder}: no such folder; {self._expected(root)}")
        kinds = subfolders(folder) | subfolders(root / self.masks.split("{kind}")[0])
        images: list[TestImage] = []
        for kind in sorted(kinds):
            pictures, masks = self.test.format(kind=kind), self.masks.format(kind=kind)
            images += _pair(root, pictures, masks, "good" if kind == self.good else kind)
        if not _both_classes(images):
            needed = f"{clean(folder)}: needs images in {self.good}/ and in at least one folder of defects"
            raise _incomplete(images)(needed)
        return images

    def _expected(self, root: Path) -> str:
        good, defects = (self.test.format(kind=kind) for kind in (self.good, "<defect>"))
        return f"expected the layout of {self.name}: {root / self.mark}/*, {good}/*, {defects}/*"


class _VisA:
    name = "VisA"
    mark = "Data/Images"

    def train_images(self, root: Path) -> list[Path]:
        images = [row.image for row in self._rows(root) if row.train]
        if not images:
            raise DataSetError(f"{root}: has no row for training in {visa.SPLIT}")
        return images

    def held_out_images(self, root: Path) -> list[Path]:
        return []

    def test_images(self, root: Path) -> list[TestImage]:
        images = [
            TestImage(row.image, "good" if row.good else "anomaly", row.mask, visa.SPLIT)
            for row in self._rows(root)
            if not row.train
        ]
        if not _both_classes(images):
            raise _incomplete(images)(f"{root}: needs both normal and anomaly rows to test with in {visa.SPLIT}")
        return images

    def _rows(self, root: Path) -> list[visa.Row]:
        root = root.absolute()  # the path `.` has neither name nor parent
        return visa.read_split(root.parent, root.name)


class _Plain:
    name = "plain"
    mark = "good"

    def train_images(self, root: Path) -> list[Path]:
        return self._split(root)[0]

    def held_out_images(self, root: Path) -> list[Path]:
        return []

    def test_images(self, root: Path) -> list[TestImage]:
        defects = _pair(root, "defects", "masks", "defect")
        for kind in sorted(subfolders(root / "defects") | subfolders(root / "masks")):
            # The kind `good` means a good part elsewhere.
            name = "defects/good" if kind == "good" else kind
            defects += _pair(root, f"defects/{kind}", f"masks/{kind}", name)
        if not defects:
            raise NoDefects(f"{_nothing(root / 'defects')}, so there is nothing to test with; put some there")
        good = self._split(root)[1]
        if not good:
            raise DataSetError(f"{root / self.mark}: has too few images to set some aside for the test; add some")
        images = [*defects, *(TestImage(path, "good", None, "masks/") for path in good)]
        return sorted(images, key=lambda image: (image.kind, image.path))

    def _split(self, root: Path) -> tuple[list[Path], list[Path]]:
        """Return the good pictures to learn from and to test with."""
        images = _list(root / self.mark)
        if not images:
            raise DataSetError(f"{_nothing(root / self.mark)}; put those of good parts there")
        drawn = sorted(images, key=lambda path: hashlib.sha256(os.fsencode(path.name)).digest())
        count = round(len(images) * PLAIN_TEST_SHARE)
        return sorted(drawn[count:]), sorted(drawn[:count])


LAYOUTS: tuple[Layout, ...] = (
    _Folders("MVTec 3D-AD", "train/good/rgb", "test/{kind}/rgb", "test/{kind}/gt", held_out="validation/good/rgb"),
    _Folders("MVTec AD", "train/good"),  # after MVTec 3D-AD, whose folders it would match too
    _Folders("BTAD", "train/ok", good="ok"),
    _VisA(),
    _Plain(),
)
EXPECTED = "expected one of " + ", ".join(f"NAME/{layout.mark} ({layout.name})" for layout in LAYOUTS)


def subfolders(folder: Path) -> set[str]:
    """Return the names of the folders directly in `folder`; none if the folder does not exist."""
    return {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()


def _list(folder: Path, names_folders: bool = True) -> list[Path]:
    return list_images(folder, names_folders=names_folders) if folder.is_dir() else []


def _nothing(folder: Path) -> str:
    return nothing_here(folder) if folder.is_dir() else f"{clean(folder)}: holds no images"


def _pair(root: Path, pictures: str, masks: str, kind: str) -> list[TestImage]:
    """Return the pictures of one kind with their masks; masks of good ones (MVTec 3D-AD has some) mark nothing."""
    # Of the layout `plain`, folders inside hold a kind each, and are paired too.
    images, there = _list(root / pictures, pictures != "defects"), _list(root / masks, masks != "masks")
    stems = Counter(path.stem for path in images)
    if there and (same := [path for path in images if stems[path.stem] > 1]):
        names = f"{clean(same[0])} and {clean(same[1].name)}"
        raise DataSetError(f"{names}: differ in nothing but the suffix, so they share a mask; rename one")
    by_stem = {path.stem: path for path in there}
    found = [by_stem.get(f"{path.stem}_mask") or by_stem.get(path.stem) for path in images]
    stray = sorted(set(there) - set(found))
    if stray:
        raise DataSetError(
            f"{clean(stray[0])}: matches no image in {clean(root / pictures)} ({len(stray)} such); "
            "a mask is named after its image, with or without _mask"
        )
    return [
        TestImage(path, kind, None if kind == "good" else mask, f"{masks}/")
        for path, mask in zip(images, found, strict=True)
    ]


def _incomplete(images: Sequence[TestImage]) -> type[DataSetError]:
    """Return the error class for a test split that lacks good or defective pictures."""
    return DataSetError if any(not image.good for image in images) else NoDefects


def _both_classes(images: Sequence[TestImage]) -> bool:
    return len({image.good for image in images}) == 2
