"""One station as the archive follows it: which parts are missing, and which bundle and threshold are in force."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from edge_inspect.edge.archive.message_rows import Row
from edge_inspect.edge.archive.received_messages import ArchivedPart, ArchivedReply, ArchivedStatus
from edge_inspect.edge.bridge.reorder_buffer import OrderedPart, ReorderBuffer, SequencePosition
from edge_inspect.edge.bridge.resend_requests import ResendRequests
from edge_inspect.edge.contract.topics import Topics

# A part waits this long in the buffer. A rejected part without its defect counts as missing, and the station is asked
# for it, also after that.
_HOLD_S = 5.0


class InForce(BaseModel):
    """What decided about the newest part.

    Attributes:
        id: Id of that part's verdict.
        values: Bundle (its name and the beginning of its digest), threshold and recipe.
    """

    id: str = ""
    values: dict[str, str | None] = {}


class SavedFollowing(BaseModel):
    """What is kept of a station in its row of `stations`, together with the parts themselves."""

    position: SequencePosition = SequencePosition()
    in_force: InForce = InForce()


class FollowedStation:
    """Follows one station. Every method may be called from any thread.

    Args:
        topics: Topics of the station.
        saved: What was kept of it.
    """

    def __init__(self, topics: Topics, saved: SavedFollowing) -> None:
        self.topics = topics
        self.key = f"{topics.site}/{topics.line}/{topics.station}"
        self._buffer = ReorderBuffer(saved.position, _HOLD_S)
        self._requests = ResendRequests(self.key, self._buffer, by="archive")
        self._in_force = saved.in_force
        self._lock = threading.RLock()
        self._heard_at: datetime | None = None

    @property
    def missing(self) -> int:
        """Number of parts that have not come, with the announced ones."""
        with self._lock:
            return self._buffer.absent + self._buffer.behind

    @property
    def lost(self) -> int:
        """Number of parts that are lost for ever."""
        with self._lock:
            return self._buffer.lost

    def take(self, part: ArchivedPart, now: float) -> list[Row]:
        """Take a part; return the changes that it shows: rows of `changes`.

        Args:
            part: The part, from its verdict or its defect.
            now: Seconds of the monotonic clock.
        """
        with self._lock:
            resets = self._buffer.resets
            released = self._buffer.take(part, now)
            if self._buffer.resets == resets:  # a new outbox has nothing of the one before
                self._miss_defects(released)
            return list(self._changes(part))

    def announce(self, message: ArchivedStatus, *, retained: bool) -> None:
        """Take the count in a status or health message."""
        with self._lock:
            self._buffer.announce(message, retained=retained)
            self._heard_at = message.at

    def answer(self, reply: ArchivedReply, now: float) -> None:
        """Take a reply; only one to a request for missing parts matters here."""
        with self._lock:
            self._requests.answer(reply, now)

    def ask(self, now: float) -> bytes | None:
        """Return the next command `resend` for the station; `None` if nothing is to be sent now."""
        with self._lock:
            self._miss_defects(self._buffer.release(now))
            return self._requests.ask(now)

    def forget(self) -> None:
        """Forget the request on its way: its answer will not come, or will not be read for a while."""
        with self._lock:
            self._requests.forget()

    def row(self) -> dict[str, Any]:
        """Return the values of the station's row in `stations` that change."""
        with self._lock:
            buffer = self._buffer
            saved = SavedFollowing(position=buffer.position, in_force=self._in_force)
            return {
                "newest": buffer.highest,
                "announced": max(buffer.announced, buffer.highest),
                "missing": self.missing,
                "lost": self.lost,
                "followed": saved.model_dump(mode="json"),
            } | ({} if self._heard_at is None else {"heard_at": self._heard_at})

    def _miss_defects(self, released: Iterable[OrderedPart]) -> None:
        """Let rejected parts whose defect has not come count as missing, although the buffer does not wait longer."""
        for part, _ in released:
            if not part.complete:
                self._buffer.missing.add(part.sequence, part.sequence)

    def _changes(self, part: ArchivedPart) -> Iterator[Row]:
        """Yield what differs from the part before. Parts that are sent again, or come late, show no change."""
        if part.id <= self._in_force.id:
            return
        values = {
            "bundle": f"{part.bundle.name} ({part.bundle.digest[:12]})",
            "threshold": f"{part.threshold:g}",
            "recipe": part.recipe,
        }
        before, self._in_force = self._in_force, InForce(id=part.id, values=values)
        if not before.id:
            return
        for kind, after in values.items():
            if (was := before.values.get(kind)) != after:
                moment = {"id": part.id, "at": part.decided_at, "sequence": part.sequence}
                yield Row("changes", {**moment, "kind": kind, "before": was, "after": after})
