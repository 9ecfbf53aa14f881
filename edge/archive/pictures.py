"""Stores the pictures and maps of parts that stations publish, in a folder or in a storage that fsspec can open."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from typing import NamedTuple

from sqlalchemy import Engine, bindparam, delete, select
from sqlalchemy.exc import SQLAlchemyError

from edge_inspect.edge.archive.database_problems import said
from edge_inspect.edge.archive.inbox import Inbox
from edge_inspect.edge.archive.message_rows import Row
from edge_inspect.edge.archive.months import Month, is_old
from edge_inspect.edge.archive.picture_place import PicturePlace
from edge_inspect.edge.archive.tables import pictures
from edge_inspect.edge.archive.writer import StoredMessage
from edge_inspect.edge.contract.ids import uuid7_time
from edge_inspect.edge.page.pictures import PictureKind
from edge_inspect.edge.threads import wait_for_end

log = logging.getLogger(__name__)

_MOST_WAITING = 256
_AT_ONCE = 1000
_END = object()
_SUFFIXES: dict[PictureKind, str] = {"picture": "jpg", "map": "png"}


class Picture(NamedTuple):
    """A picture or map as it was received.

    Attributes:
        station: Key of the station: site/line/station.
        identity: Id of the part's verdict, or of the command `snapshot`.
        kind: Whether it is the picture or the map.
        data: The file.
    """

    station: str
    identity: str
    kind: PictureKind
    data: bytes


class _Deletion(NamedTuple):
    """The order to delete what is from before a month."""

    engine: Engine
    oldest: Month


class PictureStore:
    """Writes and deletes pictures in a thread of its own, until `close`. If it is too slow, pictures are dropped.

    A picture lies at STATION/DAY/ID.jpg, its map beside it as ID.png, where STATION is site/line/station and DAY is the
    day in UTC of the time in the id.

    Args:
        place: Path of a folder, or a URL that fsspec can open.
        inbox: Gets a row of the table `pictures` for each stored file.

    Attributes:
        stored: Number of files that were written.
        dropped: Number of files that were not.

    Raises:
        UsageError: fsspec or a package of its for this URL is missing, or the URL is wrong.
    """

    def __init__(self, place: str, inbox: Inbox) -> None:
        self._place, self._inbox = PicturePlace(place), inbox
        self.stored = self.dropped = 0
        self._waiting: queue.Queue[Picture | _Deletion | None] = queue.Queue(_MOST_WAITING)
        self._thread = threading.Thread(target=self._run, name="pictures", daemon=True)
        self._thread.start()

    def offer(self, picture: Picture) -> None:
        """Store a picture later; it is dropped if too many wait."""
        try:
            self._waiting.put_nowait(picture)
        except queue.Full:
            self._drop("%s: more pictures come than can be written; some are dropped", self._place)

    def close(self, seconds: float = 5.0) -> None:
        """Write what waits, and end; a thread that hangs is left behind.

        Args:
            seconds: Longest time to wait, once for room and once for the end.
        """
        with suppress(queue.Full):
            self._waiting.put(None, timeout=seconds)
        wait_for_end(self._thread, seconds)

    def delete_before(self, engine: Engine, oldest: Month) -> None:
        """Delete the files from before a month later, and their rows in the table `pictures`.

        Args:
            engine: Engine of the database.
            oldest: First month that is kept.
        """
        with suppress(queue.Full):  # pictures come first; the next call deletes
            self._waiting.put_nowait(_Deletion(engine, oldest))

    def _run(self) -> None:
        """Store what comes, and delete one old file after each, so that neither waits for all of the other."""
        deletion: Iterator[None] = iter(())
        is_deleting = False
        while True:
            with suppress(queue.Empty):
                item = self._waiting.get(block=not is_deleting)
                if item is None:
                    return
                if isinstance(item, Picture):
                    self._store(item)
                else:
                    deletion = self._delete(item)
            is_deleting = next(deletion, _END) is not _END

    def _store(self, picture: Picture) -> None:
        name = _name(picture)
        try:
            self._place.write(name, picture.data)
        except Exception as error:  # a storage of fsspec may raise anything
            self._drop("%s/%s: the picture cannot be written: %s", self._place, name, error)
            return
        self.stored += 1
        values = {"id": picture.identity, "kind": picture.kind, "place": name, "bytes": len(picture.data)}
        self._inbox.put(StoredMessage(picture.station, [Row("pictures", values)]))

    def _delete(self, deletion: _Deletion) -> Iterator[None]:
        """Delete one file at each step. The row of a file that cannot be deleted stays, for the next time."""
        old = select(pictures.c.id, pictures.c.kind, pictures.c.place).where(is_old(pictures.c.id, deletion.oldest))
        row_of = (pictures.c.id == bindparam("old_id")) & (pictures.c.kind == bindparam("old_kind"))
        writing = deletion.engine.execution_options(writes=True)
        gone: list[dict[str, str]] | None = None
        try:
            while gone is None or gone:
                with deletion.engine.connect() as connection:
                    rows = connection.execute(old.limit(_AT_ONCE)).all()
                gone, why = [], None
                for row in rows:
                    if (error := self._remove(row.place)) is None:
                        gone.append({"old_id": row.id, "old_kind": row.kind})
                    why = error or why
                    yield
                if why is not None:
                    log.warning("%s: %d old pictures stay for now: %s", self._place, len(rows) - len(gone), why)
                if gone:
                    with writing.begin() as connection:
                        connection.execute(delete(pictures).where(row_of), gone)
        except SQLAlchemyError as error:
            log.warning("%s: old pictures could not be deleted: %s", self._place, said(error))

    def _remove(self, name: str) -> str | None:
        """Delete a file, which may be gone already; return why that is not possible."""
        try:
            self._place.remove(name)
        except Exception as error:  # a storage of fsspec may raise anything
            return f"{name} cannot be deleted: {error}"
        return None

    def _drop(self, text: str, *arguments: object) -> None:
        self.dropped += 1
        log.warning(text, *arguments)


def _name(picture: Picture) -> str:
    """Return the path of a picture below the place."""
    seconds = min(uuid7_time(picture.identity), 253_402_300_799)  # the end of the year 9999
    day = datetime.fromtimestamp(seconds, timezone.utc)
    return f"{picture.station}/{day:%Y-%m-%d}/{picture.identity}.{_SUFFIXES[picture.kind]}"
