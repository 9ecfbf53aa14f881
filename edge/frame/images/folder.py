"""List the pictures of a folder, and count its other entries."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from edge_inspect.edge.errors import ImageError
from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pnm", ".pbm",
    ".jp2",
)  # fmt: skip
"""Suffixes of pictures; capitals count as small letters."""

_HIDDEN = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class Listing:
    """The entries of a folder.

    Attributes:
        images: The pictures, sorted by name.
        passed_over: Number of files that are not pictures, by suffix.
        folders: Number of folders in it, which are not searched.
    """

    images: list[Path]
    passed_over: Counter[str]
    folders: int

    def __str__(self) -> str:
        """Return what was skipped: `4 files skipped (.heic 3, hidden 1); 2 folders in it not searched`."""
        parts = []
        if count := sum(self.passed_over.values()):
            kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(self.passed_over.items()))
            parts.append(f"{count} {_plural('file', count)} skipped ({kinds})")
        if self.folders:
            parts.append(f"{self.folders} {_plural('folder', self.folders)} in it not searched")
        return "; ".join(parts)


def look_into(folder: Path) -> Listing:
    """Return the entries of a folder. A file whose name begins with a dot, as macOS' `._000.png`, is not a picture.

    Raises:
        ImageError: The folder cannot be read.
    """
    images, passed_over, folders = [], Counter[str](), 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                kind = _kind(entry)
                if kind == "folder":
                    folders += 1
                elif kind:
                    passed_over[kind] += 1
                else:
                    images.append(folder / entry.name)
    except OSError as error:
        raise ImageError(f"{clean(folder)}: cannot be read: {error.strerror}") from error
    return Listing(sorted(images), passed_over, folders)


def list_images(folder: Path, *, names_folders: bool = True) -> list[Path]:
    """Return the pictures of a folder, without those in folders inside it, sorted by name. Log what was skipped.

    Args:
        folder: The folder.
        names_folders: Whether the log names folders inside; a caller that lists them too turns this off.

    Raises:
        ImageError: The folder cannot be read.
    """
    listing = look_into(folder)
    if not names_folders:
        listing = replace(listing, folders=0)
    if listing.images and str(listing):
        warn_once(f"{clean(folder)}: {listing}")
    return listing.images


def nothing_here(folder: Path) -> str:
    """Return the error message for a folder without pictures. It names other entries, and the suffixes of pictures."""
    listing = look_into(folder)
    instead = f" ({listing}; the name of an image ends in {', '.join(SUFFIXES)})" if str(listing) else ""
    return f"{clean(folder)}: holds no images{instead}"


def pictures_of(paths: Iterable[Path]) -> list[Path]:
    """Return the given files and the pictures in the given folders, each once.

    Raises:
        ImageError: There is no picture, or a folder cannot be read.
    """
    given = list(paths)
    images = [image for path in given for image in (list_images(path) if path.is_dir() else [path])]
    if given and not images:
        raise ImageError("; ".join(nothing_here(path) for path in given))
    return list(dict.fromkeys(images))


def _kind(entry: os.DirEntry[str]) -> str:
    """Return what an entry of a folder is, in the user's words; an empty text for a picture."""
    hidden = entry.name.startswith(".") or entry.name.lower() in _HIDDEN
    try:
        if entry.is_dir():
            return "hidden" if hidden else "folder"
        regular = entry.is_file()
    except OSError:  # a symbolic link that leads to itself
        regular = False
    if hidden:
        return "hidden"
    suffix = clean(Path(entry.name).suffix.lower())
    if suffix not in SUFFIXES:
        return suffix or "no suffix"
    if not regular:
        return "broken link" if entry.is_symlink() else "no regular file"
    return ""


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


@lru_cache(maxsize=1000)
def warn_once(text: str) -> None:
    """Log a warning, each text once in a process."""
    log.warning(text)
