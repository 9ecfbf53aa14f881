"""Which good pictures belong together, so that held-out pictures share no group with those to learn from.

Pictures of one part, one batch or one minute resemble each other more than tomorrow's parts will resemble them. If they
are held out at random from among similar ones, they score too low, and the threshold that they set rejects good parts.
So pictures are held out in blocks of the files' order, which is usually the order of time, and pictures of one group
stay together. The user may name groups; pictures that are nearly the same are one group in any case.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.text import clean

SIDE = 32
"""Side in pixels of the small grey pictures that are compared."""

ALIKE = 0.9
"""Correlation from which on pictures are nearly the same; it compares how each differs from the mean of all."""

LEVELS = 1.0
"""Root mean square difference, in grey levels, below which small pictures are nearly the same in any case."""

RUNS = 5
"""Number of runs of the files' order in which pictures are held out."""

AT_ONCE = 512
"""Number of pictures that are compared with all later ones at once; it bounds the memory for their distances."""


@dataclass(frozen=True)
class Groups:
    """The groups of a list of pictures.

    Attributes:
        of: For each picture, the number of its group.
        distinct: For each picture, whether it differs from all earlier ones in the list. Those that do not differ say
            nothing new about how parts vary.
    """

    of: tuple[int, ...]
    distinct: tuple[bool, ...]

    def blocks(self, count: int) -> list[list[int]]:
        """Return the pictures' places in so many blocks of about the same size, none of them empty.

        Blocks follow the order of the list, and no group is in two blocks. If there are fewer groups than blocks,
        groups are cut, because there is nothing else to hold out.

        Args:
            count: Number of blocks; if there are fewer pictures, each picture is a block.
        """
        whole = len(set(self.of)) >= count
        members = _members(self.of if whole else range(len(self.of)))
        blocks: list[list[int]] = [[]]
        done, left = 0, len(members)
        for group in members.values():
            wanted = min(count, len(members)) - len(blocks)
            full = done + len(group) / 2 > len(self.of) * len(blocks) / count
            if blocks[-1] and wanted > 0 and (full or left <= wanted):
                blocks.append([])
            blocks[-1] += group
            done, left = done + len(group), left - 1
        return blocks

    def hold_out(self, share: float, seed: int) -> tuple[list[int], list[int]]:
        """Split the pictures' places into those to learn from and those held out, in a few runs of the list's order.

        A single run may come from a day that resembles no other; for pictures drawn at random, similar ones stay on the
        other side. With a share above 0, at least one of three or more pictures is held out: the smallest group if each
        is too large for the share, and a part of a group if one has more than half of all pictures.

        Args:
            share: Share of the pictures to hold out, at least 0 and below 1.
            seed: Random seed that decides where the runs begin, whatever the share.
        """
        total = len(self.of)
        count = max(round(total * share), int(share > 0 and total > 2))
        members = _members(self.of)
        if min(map(len, members.values()), default=0) > total / 2:
            members = _members(range(total))
        held = self._runs(members, count, seed)
        if count and not held and len(members) > 1:
            smallest = min(members.values(), key=len)
            held = set(smallest)
        return [place for place in range(total) if place not in held], sorted(held)

    def _runs(self, members: Mapping[int, list[int]], count: int, seed: int) -> set[int]:
        """Return the places of about `count` pictures: whole groups, in runs whose beginnings are evenly spaced."""
        total, held = len(self.of), set[int]()
        group_of = {place: group for group, places in members.items() for place in places}
        runs = max(1, min(RUNS, count))
        offset = np.random.default_rng(seed).random()
        for run in range(runs):
            begin = int((run + offset) / runs * total)
            for group in dict.fromkeys(group_of[place] for place in [*range(begin, total), *range(begin)]):
                size = len(members[group])
                fits = len(held) + size / 2 <= count * (run + 1) / runs and len(held) + size < total
                if fits and members[group][0] not in held:
                    held.update(members[group])
        return held

    def only(self, places: Sequence[int]) -> Groups:
        """Return the groups of some of the pictures."""
        return Groups(tuple(self.of[place] for place in places), tuple(self.distinct[place] for place in places))

    def __str__(self) -> str:
        """Return a sentence about pictures that are nearly the same; an empty text if there are none."""
        if all(self.distinct):
            return ""
        such = len(self.of) - sum(self.distinct)
        return f"{such} of {len(self.of)} good images are nearly the same as an earlier one; they are held out with it"


def _members(labels: Iterable[int]) -> dict[int, list[int]]:
    """Return the places of each label, in the order of the labels' first places."""
    members: dict[int, list[int]] = {}
    for place, label in enumerate(labels):
        members.setdefault(label, []).append(place)
    return members


def find_groups(paths: Sequence[Path], pictures: NDArray[np.uint8], rule: str | None = None) -> Groups:
    """Group good pictures by a rule and by likeness.

    Args:
        paths: Files of the pictures.
        pictures: The fitted pictures, (N, H, W, 3) uint8 BGR; each file has equally many, one after the other.
        rule: `name:REGEX` or `table:FILE.csv:COLUMN`, see `edge-train fit --help`; `None` groups by likeness alone.

    Raises:
        UsageError: The text is not a rule, or the rule does not apply to one of the files.
    """
    groups = near_duplicates(pictures, len(paths))
    if rule is None:
        return groups
    first: dict[str, int] = {}
    named = [(first.setdefault(name, place), place) for place, name in enumerate(_named(paths, rule))]
    return replace(groups, of=tuple(_joined(np.array(groups.of), np.array(named, np.intp)).tolist()))


def near_duplicates(pictures: NDArray[np.uint8], count: int) -> Groups:
    """Return the groups of pictures that are nearly the same, though no pixel need be equal.

    Each picture is shrunk to 32x32 grey pixels, its brightness and contrast are normalised, and the mean of all is
    subtracted. The rest is what distinguishes a picture, and it does not depend on exposure or compression. Pictures
    that hardly differ at all are nearly the same too, whatever the others look like.

    Args:
        pictures: Fitted pictures, (count * tiles, H, W, 3) uint8 BGR.
        count: Number of pictures.
    """
    flat = np.stack([_small(picture) for picture in pictures]).reshape(count, -1)
    even = flat - flat.mean(1, keepdims=True)
    apart = _unit(_unit(even) - _unit(even).mean(0))
    squares = (flat**2).sum(1)
    labels, distinct = np.arange(count), np.ones(count, bool)
    for start in range(0, count, AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        distance = squares[rows, None] + squares[None] - 2 * flat[rows] @ flat.T
        near = (apart[rows] @ apart.T > ALIKE) | (distance < flat.shape[1] * LEVELS**2)
        pairs = np.argwhere(np.triu(near, start + 1))
        labels = _joined(labels, pairs + (start, 0))
        distinct[pairs[:, 1]] = False
    return Groups(tuple(labels.tolist()), tuple(distinct.tolist()))


def _joined(labels: NDArray[np.intp], pairs: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return for each picture the first place of its group: groups stay groups, and each pair joins two of them.

    Args:
        labels: For each picture, the first place of its group so far.
        pairs: Pairs of places that belong together, (P, 2).
    """
    count = len(labels)
    graph = coo_array(
        (np.ones(count + len(pairs), bool), np.concatenate([np.stack([np.arange(count), labels], 1), pairs]).T),
        shape=(count, count),
    )
    _, first, group = np.unique(connected_components(graph, directed=False)[1], return_index=True, return_inverse=True)
    return np.asarray(first[group], np.intp)


def _small(picture: Frame) -> NDArray[np.float32]:
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    return cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6), np.float32)


def _named(paths: Sequence[Path], rule: str) -> list[str]:
    kind, _, text = rule.partition(":")
    readers: dict[str, Callable[[str], Callable[[Path], str]]] = {"name": _by_name, "table": _by_table}
    if kind not in readers or not text:
        raise UsageError(f"--group {clean(rule)}: give name:REGEX or table:FILE.csv:COLUMN")
    read = readers[kind](text)
    return [read(path) for path in paths]


def _by_name(text: str) -> Callable[[Path], str]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UsageError(f"--group name:{clean(text)}: is not a regular expression: {error}") from error

    def read(path: Path) -> str:
        match = pattern.search(path.name)
        if match is None:
            raise UsageError(f"--group name:{clean(text)}: does not match the image {clean(path)}")
        return match[1] or "" if pattern.groups else match[0]

    return read


def _by_table(text: str) -> Callable[[Path], str]:
    file, _, column = text.rpartition(":")
    if not file or not column:
        raise UsageError(f"--group table:{clean(text)}: give table:FILE.csv:COLUMN")
    try:
        with Path(file).open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            names = list(reader.fieldnames or [])
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"--group: the table {clean(file)} cannot be read: {error}") from error
    if column not in names[1:]:
        raise UsageError(
            f"--group: the table {clean(file)} has no column {clean(column)!r} behind the first, which names "
            f"the images; its columns are {', '.join(map(clean, names)) or 'none'}"
        )
    groups = {Path(row[names[0]] or "").name: row[column] or "" for row in rows}

    def read(path: Path) -> str:
        if path.name not in groups:
            raise UsageError(f"--group: the table {clean(file)} has no row of the image {clean(path.name)}")
        return groups[path.name]

    return read
