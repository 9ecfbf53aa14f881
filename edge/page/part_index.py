"""An index of all parts on disk: a SQLite file that may be deleted, because it is made again from the parts."""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from edge_inspect.edge.evidence.saved_part import SavedPart
from edge_inspect.edge.labels.label import PartKey
from edge_inspect.edge.labels.store import PresentWord
from edge_inspect.edge.page.cache_file import open_cache
from edge_inspect.edge.page.part_filter import PartFilter
from edge_inspect.edge.sqlite_file import transaction

# The texts have a table of their own, so that counting parts does not read them.
_SCHEMA = """
CREATE TABLE parts (
    station TEXT NOT NULL, id TEXT NOT NULL, folder TEXT NOT NULL, received INTEGER NOT NULL, decided REAL NOT NULL,
    score REAL NOT NULL, threshold REAL NOT NULL, nearness REAL NOT NULL, rejected INTEGER NOT NULL,
    borderline INTEGER NOT NULL, found INTEGER NOT NULL, digest TEXT NOT NULL, precision TEXT NOT NULL,
    areas TEXT NOT NULL, PRIMARY KEY (station, id)) WITHOUT ROWID;
CREATE TABLE texts (
    station TEXT NOT NULL, id TEXT NOT NULL, saved BLOB NOT NULL, PRIMARY KEY (station, id)) WITHOUT ROWID;
CREATE TRIGGER parts_gone AFTER DELETE ON parts BEGIN
    DELETE FROM texts WHERE station = old.station AND id = old.id;
END;
CREATE INDEX parts_id ON parts (id);
CREATE INDEX parts_folder ON parts (folder, id);
"""
# What people said comes from the label store at each start, so it is not kept here.
_WORDS = """
CREATE TEMP TABLE words (
    station TEXT, id TEXT, word TEXT NOT NULL, defect_class TEXT, PRIMARY KEY (station, id)) WITHOUT ROWID
"""
_FROM = "FROM parts LEFT JOIN words USING (station, id)"
_WORD = "coalesce(words.word, 'unlabelled')"
_COLUMNS = (
    "station", "id", "folder", "received", "decided", "score", "threshold", "nearness", "rejected", "borderline",
    "found", "digest", "precision", "areas",
)  # fmt: skip
_INSERT = f"INTO parts VALUES ({', '.join('?' * len(_COLUMNS))})"
_REPLACE = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[2:])
GONE = ""
"""Folder of a part whose files were deleted, and that is kept because a person has labelled it."""


class IndexedPart(NamedTuple):
    """A part in the index.

    Attributes:
        station: Key of the station, `site/line/station`.
        folder: The folder with its files, in the layout of edge/evidence; `None` if they were deleted.
        saved: The verdict, its regions, and the position of the map.
    """

    station: str
    folder: Path | None
    saved: SavedPart

    @property
    def key(self) -> PartKey:
        """The identity of the part."""
        return PartKey(self.station, self.saved.verdict.id)


class PartPlace(NamedTuple):
    """Where the files of a part are.

    Attributes:
        folder: The folder, in the layout of edge/evidence; `None` if the files were deleted.
        found: Whether the part was found in its frame; otherwise its map means nothing.
    """

    folder: Path | None
    found: bool


class PartScore(NamedTuple):
    """The score of one part: what the threshold is compared with, and what a person said."""

    score: float
    word: str | None
    rejected: bool
    id: str


class PartIndex:
    """The index. Every method may be called from any thread.

    Args:
        path: The SQLite file. It is made anew if it is missing, damaged or of another version.
        words: What people said about parts.

    Raises:
        ConfigurationError: The file cannot be written.
    """

    def __init__(self, path: Path, words: Mapping[PartKey, PresentWord]) -> None:
        self._lock = threading.RLock()
        self._database = open_cache(path, _SCHEMA)
        self._lookup = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._lookup_lock = threading.Lock()
        self._database.execute(_WORDS)
        with self._lock, transaction(self._database):
            for key, word in words.items():
                self._set_word(key, word)
            forgotten = f"folder = '{GONE}' AND (station, id) NOT IN (SELECT station, id FROM words)"
            self._database.execute(f"DELETE FROM parts WHERE {forgotten}")

    def close(self) -> None:
        """Close the file."""
        with self._lock, self._lookup_lock:
            self._lookup.close()
            self._database.close()

    def put(self, parts: Iterable[IndexedPart], *, received: bool = False) -> None:
        """Add parts. A part of which evidence is known stays as it is when its received pictures are put.

        Args:
            parts: The parts.
            received: Whether their pictures were received over MQTT; otherwise they are evidence.
        """
        with self._lock, transaction(self._database):
            for part in parts:
                changed = self._database.execute(
                    f"INSERT {_INSERT} ON CONFLICT DO UPDATE SET {_REPLACE} "
                    f"WHERE parts.folder = '{GONE}' OR excluded.received <= parts.received",
                    _row(part, received),
                )
                if changed.rowcount:
                    self._put_text(part)

    def put_labelled(self, parts: Iterable[IndexedPart]) -> None:
        """Add parts of which nothing is left but their label, unless they are known."""
        with self._lock, transaction(self._database):
            for part in parts:
                if self._database.execute(f"INSERT OR IGNORE {_INSERT}", _row(part, False)).rowcount:
                    self._put_text(part)

    def drop(self, folder: Path, ids: Iterable[str]) -> None:
        """Remove parts whose files were deleted; those that people have labelled stay, without a folder."""
        with self._lock, transaction(self._database):
            for identity in ids:
                self._database.execute(
                    f"UPDATE parts SET folder = '{GONE}' WHERE folder = ? AND id = ? "
                    "AND (station, id) IN (SELECT station, id FROM words)",
                    (str(folder), identity),
                )
                self._database.execute("DELETE FROM parts WHERE folder = ? AND id = ?", (str(folder), identity))

    def folders(self) -> dict[Path, set[str]]:
        """Return the ids of all parts by the folder of their files."""
        found: dict[Path, set[str]] = {}
        with self._lock:
            for folder, identity in self._database.execute(f"SELECT folder, id FROM parts WHERE folder != '{GONE}'"):
                found.setdefault(Path(folder), set()).add(identity)
        return found

    def missing(self) -> list[PartKey]:
        """Return the parts that people have labelled and that are not in the index."""
        query = "SELECT station, id FROM words EXCEPT SELECT station, id FROM parts"
        with self._lock:
            return [PartKey(*row) for row in self._database.execute(query)]

    def set_word(self, key: PartKey, word: PresentWord | None) -> None:
        """Remember what was last said about a part; `None`: nothing."""
        with self._lock:
            self._set_word(key, word)

    def place(self, key: PartKey) -> PartPlace | None:
        """Return where the files of a part are; `None` if it is not in the index. This never waits for a search."""
        query = "SELECT folder, found FROM parts WHERE station = ? AND id = ?"
        with self._lookup_lock:
            row = self._lookup.execute(query, key).fetchone()
        return None if row is None else PartPlace(_folder(row[0]), bool(row[1]))

    def find(self, key: PartKey) -> IndexedPart | None:
        """Return a part; `None` if it is not known."""
        with self._lock:
            row = self._database.execute(
                "SELECT station, folder, saved FROM parts JOIN texts USING (station, id) WHERE station = ? AND id = ?",
                key,
            ).fetchone()
        return None if row is None else _part(row)

    def matching(self, wanted: PartFilter) -> list[IndexedPart]:
        """Return the parts that meet a filter, in its order; at most `wanted.limit`."""
        where, values = _conditions(wanted)
        order = "parts.id DESC" if wanted.order == "new" else "nearness, parts.id DESC"
        chosen = f"SELECT parts.station, parts.id, folder {_FROM} WHERE {where} ORDER BY {order} LIMIT ?"
        text = "SELECT saved FROM texts WHERE texts.station = chosen.station AND texts.id = chosen.id"
        query = f"SELECT station, folder, ({text}) FROM ({chosen}) AS chosen"
        with self._lock:
            return [_part(row) for row in self._database.execute(query, (*values, wanted.limit))]

    def counts(self, wanted: PartFilter) -> dict[str, int]:
        """Return how many parts have each word, among those that meet the filter's other conditions."""
        where, values = _conditions(wanted.model_copy(update={"word": "all", "after": None}))
        with self._lock:
            rows = self._database.execute(f"SELECT {_WORD}, count(*) {_FROM} WHERE {where} GROUP BY 1", values)
            return {"unlabelled": 0, "good": 0, "defect": 0, "unsure": 0, **dict(rows.fetchall())}

    def scores(self, station: str, digest: str | None, limit: int) -> tuple[float | None, list[PartScore]]:
        """Return the threshold of a station's newest part, and the scores of its parts, labelled and newest first.

        Only parts that were judged by one bundle in one precision are compared, because scores of others mean
        something else.

        Args:
            station: Key of the station.
            digest: Digest of the bundle; `None`: that of the newest part.
            limit: Largest number of parts.
        """
        with self._lock:
            newest = self._database.execute(
                "SELECT digest, precision, threshold FROM parts "
                "WHERE station = ? AND (? IS NULL OR digest = ?) AND found ORDER BY id DESC LIMIT 1",
                (station, digest, digest),
            ).fetchone()
            if newest is None:
                return None, []
            rows = self._database.execute(
                f"SELECT score, words.word, rejected, parts.id {_FROM} WHERE parts.station = ? AND digest = ? "
                "AND precision = ? AND found ORDER BY words.word IS NULL, parts.id DESC LIMIT ?",
                (station, *newest[:2], limit),
            ).fetchall()
        return newest[2], [PartScore(score, word, bool(rejected), id) for score, word, rejected, id in rows]

    def _put_text(self, part: IndexedPart) -> None:
        row = (*part.key, zlib.compress(part.saved.model_dump_json().encode(), 1))
        self._database.execute("INSERT OR REPLACE INTO texts VALUES (?, ?, ?)", row)

    def _set_word(self, key: PartKey, word: PresentWord | None) -> None:
        if word is None:
            self._database.execute("DELETE FROM words WHERE station = ? AND id = ?", key)
        else:
            row = (*key, word.word, word.defect_class)
            self._database.execute("INSERT OR REPLACE INTO words VALUES (?, ?, ?, ?)", row)


def _row(part: IndexedPart, received: bool) -> tuple[Any, ...]:
    saved, verdict = part.saved, part.saved.verdict
    areas = {verdict.area_name, *(region.area_name for region in saved.regions)} - {None}
    found = verdict.not_found is None
    nearness = abs(verdict.score / verdict.threshold - 1) if found and verdict.threshold > 0 else 1e300
    return (
        part.station,
        verdict.id,
        GONE if part.folder is None else str(part.folder),
        received,
        verdict.decided_at.timestamp(),
        verdict.score,
        verdict.threshold,
        min(nearness, 1e300),
        verdict.is_rejected,
        saved.borderline,
        found,
        verdict.bundle.digest,
        verdict.precision,
        "".join(f"\n{name}\n" for name in sorted(map(str, areas))),
    )


def _part(row: tuple[str, str, bytes]) -> IndexedPart:
    station, folder, saved = row
    return IndexedPart(station, _folder(folder), SavedPart.model_validate_json(zlib.decompress(saved)))


def _folder(text: str) -> Path | None:
    return None if text == GONE else Path(text)


def _conditions(wanted: PartFilter) -> tuple[str, list[Any]]:
    """Return the SQL condition of a filter, with its values."""
    conditions: list[tuple[str, tuple[Any, ...]]] = [("1", ())]

    def add(condition: str, *values: Any) -> None:
        if None not in values:
            conditions.append((condition, values))

    add("parts.station = ?", wanted.station)
    add("words.defect_class = ?", wanted.defect_class)
    add("instr(areas, ?) > 0", None if wanted.area is None else f"\n{wanted.area}\n")
    add("decided >= ?", wanted.since and wanted.since.timestamp())
    add("decided <= ?", wanted.until and wanted.until.timestamp())
    add("score >= ?", wanted.score_min)
    add("score <= ?", wanted.score_max)
    verdicts = {"rejected": "rejected", "borderline": "borderline", "accepted": "NOT rejected"}
    if wanted.only != "all":
        add(verdicts[wanted.only])
    if wanted.word == "labelled":
        add("words.word IS NOT NULL")
    elif wanted.word != "all":
        add(f"{_WORD} = ?", wanted.word)
    if wanted.order == "new":
        add("parts.id < ?", wanted.after)
    elif wanted.after is not None:
        place = "SELECT nearness FROM parts WHERE id = ?"
        add(
            f"(nearness > ({place}) OR (nearness = ({place}) AND parts.id < ?))",
            wanted.after, wanted.after, wanted.after,
        )  # fmt: skip
    return " AND ".join(f"({text})" for text, _ in conditions), [value for _, each in conditions for value in each]
