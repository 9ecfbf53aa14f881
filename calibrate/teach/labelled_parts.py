"""The parts that people have labelled: from the store of labels, or from a folder in the plain layout."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

from edge_inspect.edge.errors import DataSetError, ImageError, UsageError
from edge_inspect.edge.frame.images import Frame, pixel_digest, read_image
from edge_inspect.edge.frame.images.folder import look_into
from edge_inspect.edge.labels.store import LabelStore
from edge_inspect.edge.text import clean

STORE = "labels.db"
"""File by which the folder of a label store is recognised."""


class NoParts(UsageError):
    """No part is labelled good or defect."""


class LabelledPart(NamedTuple):
    """A part that is labelled good or defect.

    Attributes:
        id: Id of its verdict; in the plain layout, the picture's path below the folder.
        word: The label.
        picture: File of its picture.
        digest: sha256 of its pixels.
        kind: Kind of the defect; empty for good parts and where no kind was given.
    """

    id: str
    word: Literal["good", "defect"]
    picture: Path
    digest: str
    kind: str = ""


class Contradiction(NamedTuple):
    """A labelled part that cannot be learned as its label says.

    Attributes:
        id: Id of the part.
        why: Reason, for a person.
    """

    id: str
    why: str

    def as_dict(self) -> dict[str, str]:
        """Return the contradiction as `--json` writes it."""
        return {"id": self.id, "why": self.why}


class LabelledParts(NamedTuple):
    """All labelled parts, each picture once.

    Attributes:
        good: Parts labelled good, in the order in which they were labelled or named.
        defects: Parts labelled defect.
        unsure: Number of parts labelled unsure; nothing is learned from them.
        contradictions: Parts that were left out, and why.
    """

    good: list[LabelledPart]
    defects: list[LabelledPart]
    unsure: int
    contradictions: list[Contradiction]

    @property
    def all(self) -> list[LabelledPart]:
        """Good parts and defects."""
        return [*self.good, *self.defects]


def read_parts(
    folder: Path,
    bits: int | None,
    station: str | None = None,
    since: datetime | None = None,
    recipe: str | None = None,
) -> LabelledParts:
    """Return the labelled parts of a folder.

    Args:
        folder: Folder of a label store, or folder in the plain layout: good/, defects/, defects/KIND/.
        bits: See `read_image`.
        station: Only labels of this station, as site/line/station; `None`: labels of all stations.
        since: Only labels given since then; `None`: all labels.
        recipe: Only labels of parts that this recipe of their station judged; `None`: of all parts.

    Raises:
        NoParts: No part in the folder is labelled good or defect.
        UsageError: The folder is neither, or is no label store although a station, a time or a recipe is given.
        LabelError: The store cannot be read.
    """
    if not folder.is_dir():
        raise UsageError(
            f"--labels {clean(folder)}: no such folder; give the folder of a page's labels, or one with "
            "good/ and defects/"
        )
    if (folder / STORE).is_file():
        listed, unsure = _of_store(folder, station, since, recipe)
    elif station is not None:
        raise UsageError(f"--station {clean(station)}: {clean(folder)} is no label store; leave --station out")
    elif since is not None:
        raise UsageError(f"--since: {clean(folder)} is no label store, which alone knows times; leave --since out")
    elif recipe is not None:
        raise UsageError(f"--recipe {clean(recipe)}: {clean(folder)} is no label store; leave --recipe out")
    else:
        listed, unsure = _of_folders(folder), 0
    parts, broken = [], []
    pool = ThreadPoolExecutor(thread_name_prefix="read")
    try:
        digests = pool.map(lambda part: _digest(part[2], bits), listed)
        for (id_, word, picture, kind), digest in zip(listed, digests, strict=True):
            if isinstance(digest, ImageError):
                broken.append(Contradiction(id_, f"its picture cannot be read: {digest}"))
            else:
                parts.append(LabelledPart(id_, word, picture, digest, kind))
    finally:
        pool.shutdown(cancel_futures=True)
    good = _distinct([part for part in parts if part.word == "good"])
    defects = _distinct([part for part in parts if part.word == "defect"])
    both = good.keys() & defects.keys()
    for digest in both:
        why = f"the same picture is labelled good ({clean(good[digest].id)}) and defect; label it anew"
        broken.append(Contradiction(defects[digest].id, why))
    kept_good, kept_defects = (
        [part for digest, part in each.items() if digest not in both] for each in (good, defects)
    )
    found = LabelledParts(kept_good, kept_defects, unsure, broken)
    if not found.all:
        where = "" if station is None else f" of {clean(station)}"
        where += "" if recipe is None else f" of the recipe {clean(recipe)}"
        where += "" if since is None else f" since {since:%Y-%m-%d %H:%M} UTC"
        raise NoParts(
            f"--labels {clean(folder)}: holds no part{where} that is labelled good or defect and whose picture can be "
            "used; label some parts first"
        )
    return found


def frame_of(part: LabelledPart, bits: int | None) -> Frame:
    """Return the picture of a part as a frame."""
    return read_image(part.picture, bits)


def _digest(picture: Path, bits: int | None) -> str | ImageError:
    try:
        return pixel_digest(read_image(picture, bits))
    except ImageError as error:
        return error


def _distinct(parts: Sequence[LabelledPart]) -> dict[str, LabelledPart]:
    """Return the parts by the digest of their pixels; of copies, the first one."""
    found: dict[str, LabelledPart] = {}
    for part in parts:
        found.setdefault(part.digest, part)
    return found


_Listed = list[tuple[str, Literal["good", "defect"], Path, str]]


def _of_store(folder: Path, station: str | None, since: datetime | None, recipe: str | None) -> tuple[_Listed, int]:
    with LabelStore(folder, read_only=True) as store:
        labels = [
            label
            for label in store.current(station)
            if (since is None or label.at >= since) and recipe in (None, label.verdict.recipe)
        ]
        pictures = store.pictures
    listed: _Listed = []
    for label in labels:
        if label.word in ("good", "defect"):
            # The name comes from a file that another program may have changed, so no folder in it counts.
            picture = pictures / Path(label.picture).name
            listed.append((label.verdict.id, label.word, picture, label.defect_class or ""))
    return listed, sum(label.word == "unsure" for label in labels)


def _of_folders(folder: Path) -> _Listed:
    good, defects = folder / "good", folder / "defects"
    if not good.is_dir() and not defects.is_dir():
        inside = sorted(each.name for each in folder.iterdir() if (each / "good").is_dir())
        hint = f"; give one of the folders in it, such as {clean(inside[0])}" if inside else ""
        raise UsageError(
            f"--labels {clean(folder)}: is neither a label store ({STORE}) nor a folder with good/ or defects/{hint}"
        )
    listed: _Listed = [(_name(path, folder), "good", path, "") for path in _images(good)]
    listed += [(_name(path, folder), "defect", path, "") for path in _images(defects)]
    kinds = sorted(each for each in defects.iterdir() if each.is_dir()) if defects.is_dir() else []
    for kind in (each for each in kinds if not each.name.startswith(".")):
        listed += [(_name(path, folder), "defect", path, clean(kind.name)) for path in _images(kind)]
    return listed


def _images(folder: Path) -> list[Path]:
    try:
        return look_into(folder).images if folder.is_dir() else []
    except ImageError as error:
        raise DataSetError(str(error)) from error


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
