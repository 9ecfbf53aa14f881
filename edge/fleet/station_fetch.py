"""The part of a fetch at one station: asks for one page after another, and writes the files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from edge_inspect.edge.contract.commands import Report
from edge_inspect.edge.contract.ids import uuid7_of_now
from edge_inspect.edge.contract.replies import Reply
from edge_inspect.edge.contract.reports import EvidencePage, EvidenceRow, Kind, LogLine, LogPage
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.fleet.station_files import FILES, folder_of, write_evidence, write_log
from edge_inspect.edge.fleet.station_task import RETRY_S, CommandLink
from edge_inspect.edge.text import clean

_LARGEST_BYTES = 2**18
_SPARE_PAGES = 100
"""Pages may be empty, because parts whose files are damaged are left out."""


class Wanted(NamedTuple):
    """What is fetched from each station.

    Attributes:
        what: Kinds of reports.
        out: Folder of the fetch.
        most: Largest number of lines, and of parts, that are fetched from a station.
        reply_s: Longest time for a reply, in seconds.
        by: Name of the sender.
    """

    what: Sequence[Kind]
    out: Path
    most: int
    reply_s: float
    by: str


class StationFetch:
    """One station of a fetch. Used by one thread; times are in seconds of `time.monotonic`.

    Args:
        key: The station, as site/line/station.
        version: Release of edge-inspect at the station; `None` if it is unknown.
        wanted: What is fetched.
        link: The connection to the broker.

    Attributes:
        key: The station, as site/line/station.
        came: A few words about each file that was written.
        missing: A sentence about each report that did not come.
        rows: Number of lines and parts that have come.
    """

    def __init__(self, key: str, version: str | None, wanted: Wanted, link: CommandLink) -> None:
        self.key, self._version, self._wanted, self._link = key, version, wanted, link
        self._topic = Topics(*key.split("/")).command
        self._folder = folder_of(wanted.out, key)
        self._left = list(wanted.what)
        self.came: list[str] = []
        self.missing: list[str] = []
        self.rows = 0
        self._command_id: str | None = None
        self._reply: Reply | None = None
        self._unreadable: str | None = None
        self._begin()

    @property
    def is_over(self) -> bool:
        """Whether every report has come, or cannot be had."""
        return not self._left

    def start(self) -> None:
        """Let the time for the first reply begin."""
        self._asked_at = time.monotonic()

    def receive(self, payload: bytes) -> None:
        """Take a message of the station's topic `reply`."""
        if self._command_id is None:
            return
        try:
            if len(payload) > _LARGEST_BYTES:
                raise ValueError(f"it has {len(payload)} bytes, and {_LARGEST_BYTES} are the limit")
            reply = Reply.model_validate_json(payload)
        except ValueError as error:
            self._unreadable = _explain(error)
            return
        if reply.command_id == self._command_id:
            self._reply = reply

    def advance(self) -> None:
        """Take the reply if it has come, and ask for what is due, or give up.

        Raises:
            ConnectionProblem: The connection was lost.
        """
        reply, self._reply = self._reply, None
        if reply is not None:
            self._take(reply)
        now = time.monotonic()
        if self.is_over:
            return
        if now - max(self._asked_at, self._link.connected_at) > self._wanted.reply_s:
            self.fail(self._silence())
        elif self._link.connected and (now > self._due_at or self._sent_at < self._link.connected_at):
            self._ask()

    def fail(self, reason: str) -> None:
        """Give up all reports that have not come."""
        self.missing += [f"{FILES[what]}: {reason}" for what in self._left]
        self._left.clear()

    def _begin(self) -> None:
        """Begin with the next report."""
        self._lines: list[LogLine | str] = []
        self._parts: list[EvidenceRow] = []
        self._pages = 0
        self._turn_to(None)

    def _turn_to(self, after: str | None) -> None:
        """Make it due to ask for a page."""
        self._after, self._asked_at, self._due_at = after, time.monotonic(), float("-inf")
        self._sent_at = float("-inf")
        self._command_id = self._reply = self._unreadable = None

    def _ask(self) -> None:
        self._command_id = uuid7_of_now()
        command = Report(
            command="report", id=self._command_id, by=self._wanted.by, what=self._left[0], after=self._after
        )
        self._sent_at, self._due_at = time.monotonic(), float("inf")
        self._link.send_command(self._topic, command.model_dump_json().encode())

    def _take(self, reply: Reply) -> None:
        if reply.done:
            page = reply.log if self._left[0] == "log" else reply.evidence
            if page is None:
                self._give_up("its reply has no such page")
            else:
                self._take_page(page)
        elif reply.refusal == "busy":
            self._due_at = time.monotonic() + RETRY_S
        elif reply.refusal == "malformed" and reply.command is None:
            release = f"release {clean(self._version)}" if self._version else "its release"
            self.fail(f"{release} does not know the command report; update edge-inspect at the station")
        elif reply.refusal == "impossible":
            self._give_up(f"refused: {reply.reason}")
        else:
            self.fail(f"refused: {reply.refusal}: {reply.reason}")

    def _take_page(self, page: LogPage | EvidencePage) -> None:
        if isinstance(page, LogPage):
            if page.skipped != 0:
                lost = "the service was started again" if page.skipped is None else f"{page.skipped} lines are not kept"
                self._lines.append(f"--- {lost} ---")
            self._lines += page.lines
            self.rows += len(page.lines)
        else:
            self._parts += page.parts
            self.rows += len(page.parts)
        self._pages += 1
        if page.next is None or len(self._lines) + len(self._parts) >= self._wanted.most:
            self._write(is_all=page.next is None)
        elif page.next == self._after or self._pages > self._wanted.most + _SPARE_PAGES:
            self._give_up("its pages do not come to an end")
        else:
            self._turn_to(page.next)

    def _write(self, *, is_all: bool) -> None:
        """Write the file of the present report, and begin with the next one."""
        most = self._wanted.most
        lines, parts = self._lines[:most], self._parts[:most]
        what, found = self._left[0], len(lines) + len(parts)
        try:
            if what == "log":
                write_log(self._folder, lines)
            else:
                write_evidence(self._folder, parts)
        except OSError as error:
            self._give_up(f"cannot be written: {error.strerror}")
            return
        is_all = is_all and len(self._lines) + len(self._parts) == found
        unit = "lines" if what == "log" else "parts"
        self.came.append(f"{FILES[what]} ({found} {unit}{'' if is_all else '; there are more, see --most'})")
        self._left.pop(0)
        self._begin()

    def _give_up(self, reason: str) -> None:
        """Give up the present report, and begin with the next one."""
        self.missing.append(f"{FILES[self._left.pop(0)]}: {reason}")
        self._begin()

    def _silence(self) -> str:
        if not self._link.connected:
            return "the connection to the broker was lost"
        within = f"within {self._wanted.reply_s:g} s"
        if self._unreadable is not None:
            return f"no readable reply {within}; the last one: {self._unreadable}"
        return f"no reply {within}; check that the broker lets this user write its topic command and read its reply"


def _explain(error: ValueError) -> str:
    """Return the first mistake of a reply in a few words."""
    if isinstance(error, ValidationError):
        mistake = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, mistake["loc"])) or "payload"
        return clean(f"{where}: {mistake['msg']}")[:200]
    return clean(str(error))[:200]
