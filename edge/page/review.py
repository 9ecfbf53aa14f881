"""The review: people see stored parts, say what they are, and find out what another threshold would do."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from edge_inspect.edge.contract.fields import format_time
from edge_inspect.edge.contract.messages import Word
from edge_inspect.edge.errors import LabelError
from edge_inspect.edge.labels.export import export_zip
from edge_inspect.edge.labels.label import Label, PartKey
from edge_inspect.edge.labels.store import LabelStore, PresentWord
from edge_inspect.edge.page.audit import AuditLog
from edge_inspect.edge.page.likeness import Likeness
from edge_inspect.edge.page.part_filter import PartFilter
from edge_inspect.edge.page.part_index import IndexedPart, PartScore
from edge_inspect.edge.page.part_store import PartStore
from edge_inspect.edge.page.station_view import PartView, view_part

MOST_SCORES = 5000
# Each search keeps a thread waiting for some seconds.
_MOST_SEARCHES = 4


class UnknownPart(Exception):
    """A part is neither on disk nor labelled."""


class WrongLabel(Exception):
    """A label has an impossible class."""


class TooManySearches(Exception):
    """As many people as possible are searching for similar parts already."""


class Scores(NamedTuple):
    """The scores that a threshold is compared with.

    Attributes:
        threshold: Threshold by which the newest part was judged; `None` if there is no part.
        parts: The parts, labelled ones first, and newest first.
    """

    threshold: float | None
    parts: list[PartScore]


class Review:
    """The review of stored parts. Every method may be called from any thread, and waits for the disk.

    Args:
        parts: The parts on disk.
        labels: The labels.
        audit: The audit log; nothing is said without an entry there.
        likeness: Finds parts that look alike.
    """

    def __init__(self, parts: PartStore, labels: LabelStore, audit: AuditLog, likeness: Likeness) -> None:
        self._parts, self._labels, self._audit, self._likeness = parts, labels, audit, likeness
        self._searches = threading.BoundedSemaphore(_MOST_SEARCHES)

    def matching(self, wanted: PartFilter) -> dict[str, Any]:
        """Return the parts that meet a filter, and how many there are of each word: {parts, more, counts}."""
        found = self._parts.matching(wanted.model_copy(update={"limit": wanted.limit + 1}))
        return {
            "parts": [self.show(part) for part in found[: wanted.limit]],
            "more": len(found) > wanted.limit,
            "counts": self._parts.counts(wanted),
        }

    def show(self, part: IndexedPart) -> dict[str, Any]:
        """Return a part as browsers get it: a `PartView` with its station, its bundle's digest and its whole label."""
        verdict = part.saved.verdict
        view: PartView = view_part(verdict, part.saved.regions)
        return {
            **view,
            "picture": self._parts.has(part.key, "picture"),
            "map": self._parts.has(part.key, "map"),
            "station": part.station,
            "bundle": {"name": verdict.bundle.name, "digest": verdict.bundle.digest},
            "label": self.word(part.key),
        }

    def say(self, person: str, key: PartKey, word: Word | None, defect_class: str | None) -> Label:
        """Keep what a person says about a part; return the label.

        Args:
            person: Name of the person.
            key: The part.
            word: The word; `None` withdraws what was said before.
            defect_class: Kind of the defect.

        Raises:
            UnknownPart: The part, or its picture, is gone.
            WrongLabel: The class is too long, or belongs to another word than `defect`.
            LabelError, AuditError: The label, or the entry in the audit log, cannot be written.
        """
        label = self._label(person, key, word, defect_class)
        picture, map_ = self._parts.picture(key), self._parts.map(key)
        if picture is None:
            raise UnknownPart(f"part {key.id}: its picture is gone, so nobody can say what it shows; take another part")
        self._audit.write(person, "label", station=key.station, id=key.id, word=word, **_class(label))
        stored = self._labels.add(label, picture, map_)
        self._parts.labelled(stored)
        return stored

    def undo(self, person: str) -> Label | None:
        """Take back a person's newest label; return the entry that says so, or `None` if there is no label.

        Raises:
            LabelError, AuditError: The entry cannot be written.
        """
        newest = self._labels.newest_of(person)
        if newest is None:
            return None
        self._audit.write(person, "undo label", station=newest.key.station, id=newest.key.id, word=newest.word)
        entry = self._labels.undo(person)
        if entry is not None:
            self._parts.labelled(entry)
        return entry

    def word(self, key: PartKey) -> dict[str, str | None] | None:
        """Return what was last said about a part; `None` if nothing was."""
        return shown_word(self._labels.word(key))

    def classes(self) -> Sequence[str]:
        """Return the classes of defects used so far, the most frequent first."""
        return self._labels.classes()

    def scores(self, station: str, digest: str | None) -> Scores:
        """Return the scores of a station's stored parts, at most 5000.

        Args:
            station: Key of the station.
            digest: Digest of the bundle in force; `None`: that of the newest part.
        """
        return Scores(*self._parts.scores(station, digest, MOST_SCORES))

    def similar(self, key: PartKey, limit: int) -> dict[str, Any]:
        """Return the stored parts of a station that look most like one of them: {parts, used, pending}.

        Raises:
            UnknownPart: The part, or its picture, is gone.
            TooManySearches: Others are searching already.
        """
        part = self._parts.fetch(key)
        if part is None:
            raise UnknownPart(f"part {key.id}: it is not on the disk any more")
        if not self._searches.acquire(blocking=False):
            raise TooManySearches
        try:
            found = self._likeness.nearest(part, limit)
        finally:
            self._searches.release()
        if found is None:
            raise UnknownPart(f"part {key.id}: its picture cannot be read, so it cannot be compared")
        parts = [{**self.show(each), "distance": round(distance, 4)} for each, distance in found.parts]
        return {"parts": parts, "used": found.used, "pending": found.pending}

    def export(self, person: str, station: str | None) -> Iterator[bytes]:
        """Return a zip of the labelled pictures, in pieces, in the layout that `edge-train` reads.

        Raises:
            LabelError: No part is labelled good or defect.
            AuditError: The entry in the audit log cannot be written.
        """
        labels = self._labels.current(station)
        if not any(label.word in ("good", "defect") for label in labels):
            raise LabelError("no part is labelled good or defect; label some parts first")
        self._audit.write(person, "labels exported", station=station, labels=len(labels))
        return export_zip(labels, self._labels.pictures)

    def _label(self, person: str, key: PartKey, word: Word | None, defect_class: str | None) -> Label:
        part, last = self._parts.fetch(key), self._labels.of_part(key)
        verdict = part.saved.verdict if part is not None else last.verdict if last is not None else None
        if verdict is None:
            raise UnknownPart(f"part {key.id}: it is not on the disk, so it cannot be labelled; take another part")
        site, line, station = key.station.split("/")
        try:
            return Label(
                by=person, word=word, defect_class=defect_class, site=site, line=line, station=station, verdict=verdict
            )
        except ValidationError as problem:
            first = problem.errors(include_url=False)[0]
            raise WrongLabel(f"class: {first['msg'].removeprefix('Value error, ')}") from None


def shown_word(word: PresentWord | None) -> dict[str, str | None] | None:
    """Return what was said about a part as browsers get it: {word, class, by, at}."""
    if word is None:
        return None
    return {"word": word.word, "class": word.defect_class, "by": word.by, "at": format_time(word.at)}


def _class(label: Label) -> dict[str, str]:
    return {} if label.defect_class is None else {"defect_class": label.defect_class}
