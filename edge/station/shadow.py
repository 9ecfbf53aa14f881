"""Shadow: a station inspects and publishes, rejects nothing, and collects what the line's own parts show.

    OUTBOX.shadow-STATION.jsonl    first a `ShadowStart`, then a `ShadowScore` a part, in the end a `ShadowEnd`

`calibrate threshold BUNDLE --scores FILE` reads it. The file is replaced when another shadow begins.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_inspect.edge.bundle.manifest import THRESHOLD_SOURCE
from edge_inspect.edge.configuration.settings import ShadowSettings
from edge_inspect.edge.contract.fields import Precision, Time, Uuid7, utc_now
from edge_inspect.edge.contract.health import ShadowHealth
from edge_inspect.edge.contract.messages import BundleReference, Verdict
from edge_inspect.edge.files import read_file, write_atomically
from edge_inspect.edge.health.picture import PictureFigures
from edge_inspect.edge.station.loaded_bundle import LoadedBundle

log = logging.getLogger(__name__)

LARGEST_FILE = 2**28
"""Bytes; a million parts take 220 MB of these 268 MB."""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False, extra="forbid")


class ShadowStart(_Line):
    """The first line: what is collected, and who has asked for it."""

    station: str
    bundle: BundleReference
    precision: Precision
    parts: int = Field(ge=1, description="how many are wanted")
    began: Time
    wish: Literal["configuration", "command"]


class ShadowScore(_Line):
    """One part: its score, and what its picture shows; a file of an older version has scores alone."""

    id: Uuid7
    sequence: int
    score: float
    picture: PictureFigures | None = None


class ShadowEnd(_Line):
    """The shadow is over; without this line it goes on at the next start."""

    ended: Time
    why: Literal["parts", "command"]


class Collected(NamedTuple):
    """The content of a file of scores.

    Attributes:
        start: Its first line.
        scores: Scores of the parts, in their order.
        end: Its last line; `None` while the shadow goes on.
    """

    start: ShadowStart
    scores: list[ShadowScore]
    end: ShadowEnd | None


def read_collected(path: Path) -> Collected:
    """Return what a file of scores holds; a line that a power cut has cut is passed over.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no such file; the message says so.
    """
    lines = [line for line in read_file(path, LARGEST_FILE).splitlines() if line]
    try:
        start = ShadowStart.model_validate_json(lines[0] if lines else b"")
    except ValidationError:
        raise ValueError("is no file of scores that a station collects in shadow") from None
    scores, end = [], None
    for line in lines[1:]:
        for model in (ShadowScore, ShadowEnd):
            try:
                read = model.model_validate_json(line)
            except ValidationError:
                continue
            if isinstance(read, ShadowScore):
                scores.append(read)
            elif isinstance(read, ShadowEnd):
                end = read
            break
    return Collected(start, scores, end)


class Shadow:
    """The shadow of one station. `take` belongs to the engine's thread, the rest may be called by any.

    A bundle that the configuration asks to be judged in shadow is so once, over restarts. One whose threshold was made
    from a line's own parts is not, so that shadow does not begin again when the bundle goes live that came of it. While
    the file cannot be written, nothing is rejected all the same, and the parts count.

    Args:
        path: The file.
        station: Name of the station.
        settings: What the configuration asks for; `None`: only a command begins a shadow.
        note: Called with what the status says while nothing is rejected, and with `None` afterwards.
    """

    def __init__(
        self, path: Path, station: str, settings: ShadowSettings | None, note: Callable[[str | None], None]
    ) -> None:
        self._path, self._station, self._settings, self._note = path, station, settings, note
        self._frames = ShadowSettings.model_fields["frames"].default if settings is None else settings.frames
        self._lock = threading.Lock()
        self._loaded: LoadedBundle | None = None
        self._wanted = self._parts = self._above = 0
        self._fails = False

    def follow(self, loaded: LoadedBundle) -> None:
        """Go on, begin, or stay out of shadow, as it befits the bundle in force."""
        with self._lock:
            same = self._loaded is not None and self._loaded.reference.digest == loaded.reference.digest
            self._loaded = loaded
            if same:
                return
            self._wanted = 0
            settings, found = self._settings, self._find(loaded)
            if found is not None:
                asked = settings.parts if settings is not None else 0
                wanted = found.start.parts if found.start.wish == "command" else asked
                goes_on = found.end is None or (found.end.why == "parts" and found.start.wish == "configuration")
                if goes_on and len(found.scores) < wanted:
                    self._wanted, self._parts = wanted, len(found.scores)
                    self._above = sum(each.score > loaded.decider.threshold for each in found.scores)
            elif settings is not None and THRESHOLD_SOURCE not in loaded.bundle.manifest.provenance:
                self._begin(settings.parts)
                try:
                    self._write_start(settings.parts, "configuration")
                except OSError as error:
                    self._report(error)
            self._tell()

    def begin(self, parts: int) -> None:
        """Begin a new shadow, by command.

        Raises:
            OSError: The file cannot be written; then nothing has changed.
        """
        with self._lock:
            self._write_start(parts, "command")
            self._begin(parts)
            self._tell()

    def end(self) -> None:
        """End the shadow, by command; what was collected stays.

        Where that cannot be written, the shadow goes on at the next start.
        """
        with self._lock:
            if self._wanted:
                try:
                    self._append(ShadowEnd(ended=utc_now(), why="command"))
                except OSError as error:
                    self._report(error)
                self._wanted = 0
                self._tell()

    @property
    def is_on(self) -> bool:
        """Whether nothing is rejected."""
        return self._wanted > 0

    @property
    def wants_frame(self) -> bool:
        """Whether the frame of the part that comes next is one of those that are kept, evenly among all."""
        return self.is_on and self._frames > 0 and self._parts % -(-self._wanted // self._frames) == 0

    def take(self, verdict: Verdict, picture: PictureFigures) -> None:
        """Collect a part that was inspected in shadow, and what its picture shows; the last of those wanted ends it."""
        with self._lock:
            if not self._wanted:
                return
            self._parts += 1
            self._above += verdict.is_above
            try:
                self._append(
                    ShadowScore(id=verdict.id, sequence=verdict.sequence, score=verdict.score, picture=picture)
                )
                if self._parts >= self._wanted:
                    self._append(ShadowEnd(ended=utc_now(), why="parts"))
                self._fails = False
            except OSError as error:
                self._report(error)
            if self._parts >= self._wanted:
                self._wanted = 0
                self._tell()

    def health(self) -> ShadowHealth | None:
        """Return how far it is; `None` where parts are rejected as ever."""
        with self._lock:
            if not self._wanted:
                return None
            return ShadowHealth(parts=self._parts, wanted=self._wanted, above=self._above)

    def _begin(self, parts: int) -> None:
        self._wanted, self._parts, self._above = parts, 0, 0

    def _write_start(self, parts: int, wish: Literal["configuration", "command"]) -> None:
        assert self._loaded is not None, "a station has a bundle before it begins a shadow"
        loaded = self._loaded
        start = ShadowStart(
            station=self._station,
            bundle=loaded.reference,
            precision=loaded.engine.precision,
            parts=parts,
            began=utc_now(),
            wish=wish,
        )
        write_atomically(self._path, start.model_dump_json().encode() + b"\n")

    def _append(self, line: BaseModel) -> None:
        with self._path.open("ab") as file:
            # A line that a power cut has cut must not spoil this one.
            file.write(b"\n" + line.model_dump_json().encode() + b"\n")

    def _find(self, loaded: LoadedBundle) -> Collected | None:
        """Return what is on disk of this bundle in this precision."""
        try:
            found = read_collected(self._path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("%s: %s: %s; a shadow begins anew", self._station, self._path, error)
            return None
        same = found.start.bundle.digest == loaded.reference.digest and found.start.precision == loaded.engine.precision
        return found if same else None

    def _tell(self) -> None:
        if self._wanted:
            self._note(f"in shadow: nothing is rejected until {self._wanted} parts are collected")
            log.info("%s: in shadow; %d of %d parts are in %s", self._station, self._parts, self._wanted, self._path)
            return
        self._note(None)
        if self._parts:
            log.info("%s: the shadow is over; `calibrate threshold` reads %s", self._station, self._path)
            self._parts = 0

    def _report(self, error: OSError) -> None:
        if not self._fails:
            log.error("%s: scores are not collected: %s: %s; make room", self._station, self._path, error.strerror)
        self._fails = True
