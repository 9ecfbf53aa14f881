"""The history of all labels, the present word on each part, and undo."""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from edge_inspect.edge.contract.fields import format_time
from edge_inspect.edge.contract.ids import sort_after
from edge_inspect.edge.contract.messages import Verdict, Word
from edge_inspect.edge.errors import LabelError
from edge_inspect.edge.files import write_atomically
from edge_inspect.edge.frame.images import jpeg, png
from edge_inspect.edge.labels import file
from edge_inspect.edge.labels.label import Label, PartKey
from edge_inspect.edge.sqlite_file import transaction

log = logging.getLogger(__name__)

# A label counts unless it is an undo, or an undo has taken it back.
_COUNTS = "undoes IS NULL AND NOT EXISTS (SELECT 1 FROM labels AS later WHERE later.undoes = labels.id)"


class PresentWord(NamedTuple):
    """What was last said about a part, without the verdict.

    Attributes:
        word: The word.
        defect_class: Kind of the defect; `None` if no class was given.
        by: Name of the person.
        at: Time at which it was said.
    """

    word: Word
    defect_class: str | None
    by: str
    at: datetime


class LabelStore:
    """All labels in one folder. Every method may be called from any thread.

    A label is on the disk, with its picture, when `add` or `undo` returns.

    Args:
        folder: The folder; it is created if it is missing, unless `read_only`.
        read_only: Whether to open the store only for reading. Any number of processes may read while one writes.

    Raises:
        LabelError: The folder cannot be used, or another process writes to it.

    Attributes:
        folder: The folder.
        recovered_from: Path to which a damaged file was renamed; `None` if it was not damaged.
        on_new: Called after each new entry, in the thread that made it.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.folder = folder
        self.recovered_from: Path | None = None
        self.on_new: Callable[[], None] = lambda: None
        self._path = folder / "labels.db"
        self._lock = threading.RLock()
        self._resources = ExitStack()
        with ExitStack() as opened:
            if read_only:
                self._database = file.open_for_reading(self._path)
                opened.callback(self._database.close)
            else:
                opened.callback(os.close, file.lock(self._path))
                self._database, self.recovered_from = file.open_for_writing(self._path)
                opened.callback(self._database.close)
                self._prepare_pictures()
            self._words: dict[PartKey, PresentWord] = {}
            self._load_words()
            self._resources = opened.pop_all()

    def __enter__(self) -> LabelStore:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store; it may be closed twice."""
        self._resources.close()

    @property
    def pictures(self) -> Path:
        """Folder of the pictures and maps."""
        return self.folder / "pictures"

    def add(self, label: Label, picture: bytes | None, map: bytes | None = None) -> Label:
        """Store a label with the picture that the person saw; return it with the names of its files.

        Args:
            label: The label; its fields `picture`, `picture_sha256` and `map` are ignored.
            picture: Picture file as PNG or JPEG; `None` takes the picture and the map of the part's last label.
            map: Map as PNG, in the plane of the frame; 128 is the threshold. `None`: there is none.

        Raises:
            LabelError: The label cannot be written, or no picture of the part is known.
        """
        if picture is not None:  # outside the lock, because the disk may be slow
            digest = hashlib.sha256(picture).hexdigest()
            files = {"picture": self._keep(picture, _suffix(picture)), "picture_sha256": digest}
            label = label.model_copy(update={**files, "map": None if map is None else self._keep(map, ".map.png")})
        with self._lock:
            stored = self._with_last_picture(label) if picture is None else label
            self._insert(stored)
            return stored

    def undo(self, by: str) -> Label | None:
        """Take back the newest label of a person that still counts; return the entry that says so.

        The part then has the word that it had before that label, or the word that somebody said later. The returned
        entry's `word` is that word; `None` if nothing is left. Calling this again takes back the label before.

        Returns:
            The new entry in the history; `None` if the person has no label that counts.

        Raises:
            LabelError: The entry cannot be written.
        """
        with self._lock:
            taken = self.newest_of(by)
            if taken is None:
                return None
            left = self._one(
                f"{_OF_PART} AND id != ? AND {_COUNTS} ORDER BY number DESC LIMIT 1", *_part(taken), taken.id
            )
            word, kind = (None, None) if left is None else (left.word, left.defect_class)
            files = taken.model_dump(include={"site", "line", "station", "picture", "picture_sha256", "map"})
            entry = Label(by=by, word=word, defect_class=kind, verdict=taken.verdict, undoes=taken.id, **files)
            self._insert(entry)
            return entry

    def newest_of(self, by: str) -> Label | None:
        """Return the label that `undo` would take back; `None` if the person has none that counts."""
        return self._one(f"by = ? AND {_COUNTS} ORDER BY number DESC LIMIT 1", by)

    def current(self, station: str | None = None) -> list[Label]:
        """Return the newest label of each part that counts, oldest first; withdrawn parts are left out.

        Args:
            station: Only parts of this station, as `site/line/station`; `None`: of all stations.
        """
        where, values = ("1", ()) if station is None else (_OF_STATION, _levels(station))
        query = (
            f"SELECT {file.COLUMNS} FROM labels WHERE number IN (SELECT max(number) FROM labels "
            f"WHERE {where} AND {_COUNTS} GROUP BY site, line, station, part) AND word IS NOT NULL ORDER BY number"
        )
        return self._labels(query, *values)

    def words(self) -> dict[PartKey, PresentWord]:
        """Return what was last said about each part; withdrawn parts are left out."""
        with self._lock:
            return dict(self._words)

    def word(self, key: PartKey) -> PresentWord | None:
        """Return what was last said about a part; `None` if nothing was. This never waits."""
        return self._words.get(key)

    def of_part(self, key: PartKey) -> Label | None:
        """Return the newest entry on a part, which names its picture, even if it was withdrawn or taken back."""
        return self._one(f"{_OF_PART} ORDER BY number DESC LIMIT 1", *_levels(key.station), key.id)

    def history(self, station: str | None = None) -> list[Label]:
        """Return every entry, oldest first, with withdrawals, undos and what they took back."""
        where, values = ("1", ()) if station is None else (_OF_STATION, _levels(station))
        return self._labels(f"SELECT {file.COLUMNS} FROM labels WHERE {where} ORDER BY number", *values)

    def classes(self) -> list[str]:
        """Return the classes of defects used so far, the most frequent first."""
        query = (
            "SELECT defect_class FROM labels WHERE defect_class IS NOT NULL "
            "GROUP BY defect_class ORDER BY count(*) DESC, defect_class"
        )
        with self._lock:
            return [name for (name,) in self._database.execute(query)]

    def unpublished(self, limit: int = 100) -> list[Label]:
        """Return the oldest entries that the broker has not acknowledged yet, in order."""
        return self._labels(f"SELECT {file.COLUMNS} FROM labels WHERE published = 0 ORDER BY number LIMIT ?", limit)

    def mark_published(self, ids: Iterable[str]) -> None:
        """Remember that the broker has acknowledged these entries.

        Raises:
            LabelError: The file cannot be written.
        """
        with self._lock:
            try:
                with transaction(self._database):
                    self._database.executemany("UPDATE labels SET published = 1 WHERE id = ?", [(id,) for id in ids])
            except sqlite3.Error as problem:
                raise file.full(self._path, problem) from problem

    def _prepare_pictures(self) -> None:
        try:
            self.pictures.mkdir(exist_ok=True)
            for unfinished in self.pictures.glob(".*"):  # of a process that was killed
                unfinished.unlink(missing_ok=True)
        except OSError as problem:
            raise file.full(self._path, problem) from problem

    def _keep(self, data: bytes, suffix: str) -> str:
        """Write a file under the name of its digest, unless it exists; return the name."""
        name = hashlib.sha256(data).hexdigest() + suffix
        try:
            if not (self.pictures / name).is_file():
                write_atomically(self.pictures / name, data)
        except OSError as problem:
            raise file.full(self._path, problem) from problem
        return name

    def _with_last_picture(self, label: Label) -> Label:
        last = self.of_part(label.key)
        if last is None:
            raise LabelError(
                f"part {label.verdict.id}: its picture is gone; a part without a picture cannot be labelled"
            )
        return label.model_copy(update=last.model_dump(include={"picture", "picture_sha256", "map"}))

    def _insert(self, label: Label) -> None:
        row = (
            label.id,
            format_time(label.at),
            label.by,
            label.word,
            label.defect_class,
            *_part(label),
            label.verdict.model_dump_json(),
            label.picture,
            label.picture_sha256,
            label.map,
            label.undoes,
            0,
        )
        try:
            self._database.execute(f"INSERT INTO labels ({file.COLUMNS}) VALUES ({', '.join('?' * len(row))})", row)
        except sqlite3.Error as problem:
            raise file.full(self._path, problem) from problem
        self._remember(label)
        self.on_new()

    def _remember(self, label: Label) -> None:
        source: Label | None = label
        if label.undoes is not None:
            source = self._one(f"{_OF_PART} AND {_COUNTS} ORDER BY number DESC LIMIT 1", *_part(label))
        if source is not None and source.word is not None:
            self._words[label.key] = PresentWord(source.word, source.defect_class, source.by, source.at)
        else:
            self._words.pop(label.key, None)

    def _load_words(self) -> None:
        query = (
            "SELECT site, line, station, part, word, defect_class, by, at, max(number) FROM labels "
            f"WHERE {_COUNTS} GROUP BY site, line, station, part ORDER BY max(number)"
        )
        for site, line, station, part, word, kind, by, at, _ in self._database.execute(query):
            if word is not None:
                moment = datetime.fromisoformat(at.replace("Z", "+00:00"))
                self._words[PartKey(f"{site}/{line}/{station}", part)] = PresentWord(word, kind, by, moment)
        newest = self._database.execute("SELECT id FROM labels ORDER BY number DESC LIMIT 1").fetchone()
        if newest is not None:
            sort_after(newest[0])

    def _one(self, where: str, *values: Any) -> Label | None:
        return next(iter(self._labels(f"SELECT {file.COLUMNS} FROM labels WHERE {where}", *values)), None)

    def _labels(self, query: str, *values: Any) -> list[Label]:
        with self._lock:
            rows = self._database.execute(query, values).fetchall()
        labels = []
        for row in rows:
            try:
                labels.append(_label(row))
            except ValidationError as problem:  # another program has changed the row
                log.warning("labels %s: label %s is left out: %s", self._path, row[0], problem.errors()[0]["msg"])
        return labels


_OF_STATION = "site = ? AND line = ? AND station = ?"
_OF_PART = f"{_OF_STATION} AND part = ?"


def _levels(station: str) -> tuple[str, ...]:
    """Return site, line and station of a key; other texts give names that no station has."""
    levels = tuple(station.split("/"))
    return levels if len(levels) == 3 else ("", "", "")


def _part(label: Label) -> tuple[str, str, str, str]:
    return label.site, label.line, label.station, label.verdict.id


def _label(row: tuple[Any, ...]) -> Label:
    fields = dict(zip(file.COLUMNS.split(", "), row, strict=True))
    del fields["part"], fields["published"]
    return Label.model_validate({**fields, "verdict": Verdict.model_validate_json(fields["verdict"])})


def _suffix(picture: bytes) -> str:
    if picture.startswith(png.SIGNATURE):
        return ".png"
    if picture.startswith(jpeg.SIGNATURE):
        return ".jpg"
    raise LabelError("the picture is neither PNG nor JPEG; a part without a picture cannot be labelled")
