"""The record of a roll-out: a file of JSON lines, from which the roll-out goes on after any interruption.

The first line is the plan. Each later line is the new state of a station, or of the roll-out. A line is on the disk
before the command acts on it, so a station whose command may have been sent is always known.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from edge_inspect.edge.contract.commands import BundleDigest
from edge_inspect.edge.contract.fields import Time, utc_now
from edge_inspect.edge.contract.messages import BundleReference
from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.files import read_file, write_new
from edge_inspect.edge.fleet.waves import Wave
from edge_inspect.edge.sqlite_file import InUse, lock

LARGEST_BYTES = 64 * 2**20

StationState = Literal["waiting", "sent", "watched", "good", "refused", "back_sent", "back", "left", "stuck"]
"""State of a station in a roll-out.

    waiting    not changed yet
    sent       asked to change, and has not answered
    watched    changed, and watched
    good       watched for long enough
    refused    not changed
    back_sent  asked to roll back, and has not answered
    back       has its former bundle again
    left       not rolled back, because somebody else has loaded another bundle
    stuck      cannot be rolled back
"""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    at: Time = Field(default_factory=utc_now)


class Plan(_Line):
    """What is rolled out, to which stations, and how they are watched."""

    kind: Literal["plan"] = "plan"
    name: str = Field(description="name of the bundle's file or folder")
    digest: BundleDigest = Field(description="digest of the bundle")
    url: str | None = Field(description="address from which stations download it")
    by: str = Field(description="name of the sender")
    to: tuple[str, ...] = Field(description="selectors of the stations")
    waves: tuple[Wave, ...]
    watch_parts: int = Field(ge=1)
    watch_seconds: float = Field(gt=0)
    reply_seconds: float = Field(gt=0)

    @property
    def stations(self) -> list[str]:
        """All stations, in the order in which they are changed."""
        return [station for wave in self.waves for station in wave.stations]


class StationEntry(_Line):
    """The state of a station in the roll-out."""

    kind: Literal["station"] = "station"
    station: str
    state: StationState = "waiting"
    detail: str | None = Field(default=None, description="why the station is in this state")
    command_id: str | None = Field(default=None, description="id of the last command")
    before: BundleReference | None = Field(default=None, description="the bundle before the roll-out")
    alarms: tuple[str, ...] = Field(default=(), description="alarms before the change")
    degraded: bool = Field(default=False, description="whether the station was degraded before the change")
    usual: float = Field(default=0.05, description="share of rejects that is usual at this station, 0 to 1")
    sequence: int = Field(default=0, description="sequence number of the newest part at the change")
    changed_at: Time | None = Field(default=None, description="time of the change, by the station's clock")
    parts: int = Field(default=0, description="parts watched since the change")
    rejected: int = Field(default=0, description="rejected parts among them")


class RolloutEntry(_Line):
    """The state of the whole roll-out."""

    kind: Literal["rollout"] = "rollout"
    state: Literal["stopped", "finished"]
    reason: str | None = None


_LINES: TypeAdapter[Plan | StationEntry | RolloutEntry] = TypeAdapter(
    Annotated[Plan | StationEntry | RolloutEntry, Field(discriminator="kind")]
)


class RolloutRecord:
    """The file of one roll-out. It is locked, so that a second command cannot work on it at the same time.

    Args:
        path: The file.

    Attributes:
        path: The file.
        plan: Its first line.
        stations: The newest state of each station of the plan.
        stopped: Why the roll-out was stopped; `None` if it was not.
        finished: Whether it came to its end.

    Raises:
        UsageError: The file cannot be used; the message says why.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._lock = lock(path)
        except InUse as error:
            raise UsageError(f"{path}: {error} works on this roll-out; let it go on, or end it first") from error
        except OSError as error:
            raise UsageError(f"{path}: cannot be locked: {error.strerror}") from error
        try:
            self.plan, self.stations, self.stopped, self.finished = self._replay()
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, path: Path, plan: Plan) -> RolloutRecord:
        """Return the record of a new roll-out.

        Raises:
            UsageError: The file exists, or cannot be written.
        """
        try:
            write_new(path, plan.model_dump_json().encode() + b"\n")
        except FileExistsError as error:
            raise UsageError(f"{path}: exists; go on with it by --resume {path}, or name another file") from error
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
        return cls(path)

    def set_station(self, station: str, **changes: Any) -> StationEntry:
        """Record the new state of a station, and return it when it is on the disk.

        Raises:
            UsageError: The file cannot be written.
        """
        entry = self.stations[station].model_copy(update={**changes, "at": utc_now()})
        self._add(entry)
        self.stations[station] = entry
        return entry

    def stop(self, reason: str) -> None:
        """Record that the roll-out is stopped, and that all changed stations are rolled back.

        Raises:
            UsageError: The file cannot be written.
        """
        self._add(RolloutEntry(state="stopped", reason=reason))
        self.stopped = reason

    def finish(self) -> None:
        """Record that the roll-out has come to its end.

        Raises:
            UsageError: The file cannot be written.
        """
        self._add(RolloutEntry(state="finished", reason=self.stopped))
        self.finished = True

    def close(self) -> None:
        """Let other commands use the file."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _add(self, entry: StationEntry | RolloutEntry) -> None:
        try:
            with self.path.open("ab") as file:
                # Begin on a new line, because a kill or a power cut may have left half a line.
                file.write(b"\n" + entry.model_dump_json().encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UsageError(
                f"{self.path}: cannot be written: {error.strerror}; the roll-out is left as it is. Make room there, "
                f"and go on with --resume {self.path}"
            ) from error

    def _replay(self) -> tuple[Plan, dict[str, StationEntry], str | None, bool]:
        lines = self._lines()
        plan = next(lines, None)
        if not isinstance(plan, Plan):
            raise UsageError(f"{self.path}: is no record of a roll-out; name the file that --record has written")
        stations = {station: StationEntry(station=station) for station in plan.stations}
        stopped, finished = None, False
        for line in lines:
            if isinstance(line, StationEntry) and line.station in stations:
                stations[line.station] = line
            elif isinstance(line, RolloutEntry):
                stopped = (line.reason or "stopped") if line.state == "stopped" else stopped
                finished = line.state == "finished"
        return plan, stations, stopped, finished

    def _lines(self) -> Iterator[Plan | StationEntry | RolloutEntry]:
        try:
            data = read_file(self.path, LARGEST_BYTES)
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be read: {error.strerror}") from error
        for line in data.splitlines():
            try:
                yield _LINES.validate_json(line)
            except ValidationError:  # half a line
                continue
