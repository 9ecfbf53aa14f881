"""Stores what comes, in a thread of its own, and goes on when the database was away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import TypeVar

from pydantic import ValidationError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from edge_inspect.edge.archive.database_problems import explained
from edge_inspect.edge.archive.followed_station import FollowedStation, SavedFollowing
from edge_inspect.edge.archive.inbox import Inbox, Waiting
from edge_inspect.edge.archive.message_rows import Row, rows_of
from edge_inspect.edge.archive.months import Month, delete_before, is_before
from edge_inspect.edge.archive.pictures import PictureStore
from edge_inspect.edge.archive.received_messages import MODELS, ArchivedPart, ArchivedReply, ArchivedStatus
from edge_inspect.edge.archive.writer import DatabaseLost, StoredMessage, Writer
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.text import clean
from edge_inspect.edge.threads import wait_for_end

log = logging.getLogger(__name__)
Result = TypeVar("Result")

MOST_AT_ONCE = 5000
"""Largest number of messages in one transaction."""
_IDLE_S = 0.2
# Messages that come within this time share a transaction, of which a disk makes only some hundred a second.
_LINGER_S = 0.01
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_DELETE_EVERY_S = 3600.0


class Recorder:
    """Takes messages from the inbox and writes them, until `close`. A batch is repeated until the database takes it.

    Args:
        engine: Engine of the database.
        place: The database's place, for the log.
        inbox: Where the messages wait.
        keep_days: Days for which parts are kept; `None`: for ever.
        pictures: Where the pictures of parts are; `None`: nowhere.

    Attributes:
        stations: The stations that are followed, by key.
        problem: Why the database takes nothing at the moment; `None` while it does.
        stored_at: Time of the last transaction, in seconds since 1970; `None` before the first.
        unreadable: Number of messages that are not of the contract.
    """

    def __init__(
        self, engine: Engine, place: str, inbox: Inbox, keep_days: int | None, pictures: PictureStore | None
    ) -> None:
        self._engine, self._place, self._inbox = engine, place, inbox
        self._keep_days, self._pictures = keep_days, pictures
        self.writer = Writer(engine)
        self.stations: dict[str, FollowedStation] = {}
        self.problem: str | None = None
        self.stored_at: float | None = None
        self.unreadable = 0
        self._delete_at = 0.0
        self._deletion: Iterator[str | None] = iter(())
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs; it ends before `close` only by a bug, which the log shows."""
        return self._thread.is_alive()

    def close(self, seconds: float = 5.0) -> None:
        """Finish the present transaction and end. What waits is not acknowledged, so the broker sends it again."""
        self._closing.set()
        self._inbox.close()
        wait_for_end(self._thread, seconds)

    def _run(self) -> None:
        try:
            for key in self._insist(self.writer.known_stations) or ():
                self._follow(key)
            while not self._closing.is_set():
                batch = self._inbox.take(1, _IDLE_S)
                if batch:
                    time.sleep(_LINGER_S)
                    batch += self._inbox.take(MOST_AT_ONCE - 1, 0)
                    self._record(batch)
                self._delete_old()
        except Exception:
            log.exception("the recorder has ended because of a bug; the archive ends too, and systemd starts it again")

    def _record(self, batch: list[Waiting]) -> None:
        oldest = self._oldest()
        messages = [self._read(item, oldest) for item in batch]
        if self._closing.is_set():
            return
        if self._insist(lambda: self._write([each for each in messages if each is not None])):
            self.stored_at = time.time()
            self._inbox.store(batch)

    def _write(self, messages: list[StoredMessage]) -> bool:
        self.writer.write(messages, lambda key: self.stations[key].row())
        return True

    def _read(self, received: Waiting, oldest: Month | None) -> StoredMessage | None:
        """Return what is stored of a message; `None` for one that is only acknowledged, or cannot be read.

        Args:
            received: The message.
            oldest: First month whose parts are kept.
        """
        if isinstance(received, StoredMessage):
            return received if self._follow(received.station) is not None else None
        if received.kind not in MODELS:
            return None
        try:
            message = MODELS[received.kind].model_validate_json(received.payload)
        except ValidationError as error:
            self.unreadable += 1
            why = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(map(str, why["loc"])) or received.kind
            log.error("%s: a %s is not stored: %s: %s", received.station, received.kind, clean(where), why["msg"])
            return None
        station = self._follow(received.station)
        if station is None:
            return None
        rows: list[Row] = list(rows_of(message))
        now = time.monotonic()
        if isinstance(message, ArchivedPart):
            rows += station.take(message, now)
            if oldest is not None and is_before(message.id, oldest):
                rows = []  # it would be deleted again, but would stay in the counts
        elif isinstance(message, ArchivedStatus):
            station.announce(message, retained=received.retained)
        elif isinstance(message, ArchivedReply):
            station.answer(message, now)
        return StoredMessage(station.key, rows)

    def _follow(self, key: str) -> FollowedStation | None:
        """Return a station as it is followed; `None` if the program ends before the database says how far."""
        if key not in self.stations:
            saved: SavedFollowing | None = self._insist(lambda: self.writer.saved(key))
            if saved is None:
                return None
            self.stations[key] = FollowedStation(Topics(*key.split("/")), saved)
        return self.stations[key]

    def _insist(self, work: Callable[[], Result]) -> Result | None:
        """Return the result of work with the database, tried until it succeeds; `None` when the program ends."""
        pause = _FIRST_PAUSE_S
        while True:
            try:
                result = work()
            except DatabaseLost as error:
                if self.problem is None:
                    log.warning("database %s: %s. The broker keeps what comes; trying again", self._place, error)
                self.problem = str(error)
                # Another server may be the one that takes rows now.
                self._engine.dispose()
                if self._closing.wait(pause):
                    return None
                pause = min(_LONGEST_PAUSE_S, 2 * pause)
                continue
            if self.problem is not None:
                log.info("database %s: it takes rows again", self._place)
                self.problem = None
            return result

    def _oldest(self) -> Month | None:
        """Return the first month whose parts are kept; `None` if all are."""
        if self._keep_days is None:
            return None
        return Month.of(datetime.now(timezone.utc) - timedelta(days=self._keep_days))

    def _delete_old(self) -> None:
        """Delete a piece of what is too old; look for it once an hour. Messages wait for one piece at most."""
        if time.monotonic() >= self._delete_at and (oldest := self._oldest()) is not None:
            self._delete_at = time.monotonic() + _DELETE_EVERY_S
            self._deletion = delete_before(self._engine, oldest)
            if self._pictures is not None:
                self._pictures.delete_before(self._engine, oldest)
        try:
            if (what := next(self._deletion, None)) is not None:
                log.info("deleted, because keep_days is %d: %s", self._keep_days, what)
        except SQLAlchemyError as error:
            log.warning("database %s: what is too old could not be deleted: %s", self._place, explained(error))
