"""Copies of a picture: files with equal pixels, whatever their names, formats and tags. Each picture counts once."""

from __future__ import annotations

from pathlib import Path

from edge_inspect.edge.text import clean


class Copies:
    """Tells the first of equal pictures from its copies, and remembers the copies.

    Attributes:
        first: For each digest (`edge.frame.images.pixel_digest`), the picture that had it first.
        found: The copies, each with its first picture.
    """

    def __init__(self) -> None:
        self.first: dict[str, Path] = {}
        self.found: list[tuple[Path, Path]] = []

    def is_new(self, path: Path, digest: str) -> bool:
        """Return whether no earlier picture had this digest."""
        first = self.first.setdefault(digest, path)
        if first == path:
            return True
        self.found.append((path, first))
        return False

    def __str__(self) -> str:
        """Return a sentence about the copies; an empty text if there are none."""
        if not self.found:
            return ""
        (copy, first), whole = self.found[0], len(self.first) + len(self.found)
        such = f"{clean(copy)} of {clean(first)}" + (", ..." if len(self.found) > 1 else "")
        return f"{len(self.found)} of {whole} good images are copies, and count once: {such}"
