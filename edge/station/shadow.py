"""The shadow: a station inspects and publishes verdicts, but rejects nothing, and collects the scores of its parts.

    OUTBOX.shadow-STATION.jsonl    a `ShadowStart`, then one `ShadowScore` per part, and at the end a `ShadowEnd`

`calibrate threshold BUNDLE --scores FILE` reads the file. It is replaced when another shadow begins.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_inspect.edge.bundle.manifest import TAUGHT, THRESHOLD_SOURCE
from edge_inspect.edge.configuration.station_settings import ShadowSettings
from edge_inspect.edge.contract.fields import Precision, Time, Uuid7, utc_now
from edge_inspect.edge.contract.health import ShadowHealth
from edge_inspect.edge.contract.messages import BundleReference, Verdict
from edge_inspect.edge.files import read_file, write_atomically
from edge_inspect.edge.health.picture import PictureFigures
from edge_inspect.edge.station.loaded_bundle import LoadedBundle

log = logging.getLogger(__name__)

LARGEST_FILE = 2**28
"""Largest size of a file of scores that is read, in bytes (268 MB). A million parts take 220 MB."""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False, extra="forbid")


class ShadowStart(_Line):
    """The first line of the file: the bundle whose scores are collected, and whether a command asked for it."""

    station: str
    bundle: BundleReference
    precision: Precision
    parts: int = Field(ge=1, description="number of parts to collect")
    began: Time
    wish: Literal["configuration", "command"]


class ShadowScore(_Line):
    """One part: its score, and the figures of its picture; files of older versions have only scores."""

    id: Uuid7
    sequence: int
    score: float
    picture: PictureFigures | None = None


class ShadowEnd(_Line):
    """The last line, after the end of the shadow; without it the shadow continues at the next start."""

    ended: Time
    why: Literal["parts", "command"]


class Collected(NamedTuple):
    """The content of a file of scores.

    Attributes:
        start: First line of the file.
        scores: Scores of the parts, in the order of inspection.
        end: Last line of the file; `None` while the shadow goes on.
    """

    start: ShadowStart
    scores: list[ShadowScore]
    end: ShadowEnd | None


def read_collected(path: Path) -> Collected:
    """Return the content of a file of scores; lines that a power cut has damaged are ignored.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is no file of scores.
    """
    lines = [line for line in read_file(path, LARGEST_FILE).splitlines() if line]
    try:
        start = ShadowStart.model_validate_json(lines[0] if lines else b"")
    except ValidationError:
        raise ValueError("is no file of scores from a station in shadow") from None
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
    """The shadow of one station. Only the engine thread may call `take`; any thread may call the other methods.

    If the configuration asks for a shadow, each bundle has one, and only one, even over restarts. A bundle whose
    threshold was made from the line's own parts, or that was taught, has none: it knows the line. While the file cannot
    be written, the station still rejects nothing, and the parts still count towards the end of the shadow.

    Args:
        path: File of scores.
        station: Name of the station.
        settings: The shadow in the configuration; if `None`, only a command begins a shadow.
        note: Called with a text for the status when a shadow begins, and with `None` when it ends.
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
        """Continue or begin the shadow of a bundle that comes into force, or end the shadow if that bundle has none."""
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
            elif settings is not None and not {THRESHOLD_SOURCE, TAUGHT} & loaded.bundle.manifest.provenance.keys():
                self._begin(settings.parts)
                try:
                    self._write_start(settings.parts, "configuration")
                except OSError as error:
                    self._report(error)
            self._tell()

    def begin(self, parts: int) -> None:
        """Begin a new shadow, because of a command.

        Raises:
            OSError: The file cannot be written; the shadow has not begun.
        """
        with self._lock:
            self._write_start(parts, "command")
            self._begin(parts)
            self._tell()

    def end(self) -> None:
        """End the shadow, because of a command; the collected scores are kept.

        If the end cannot be written to the file, the shadow continues at the next start.
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
        """Whether the station is in shadow, so that nothing is rejected."""
        return self._wanted > 0

    @property
    def wants_frame(self) -> bool:
        """Whether the frame of the next part is to be saved; saved frames are spread evenly over the parts."""
        return self.is_on and self._frames > 0 and self._parts % -(-self._wanted // self._frames) == 0

    def take(self, verdict: Verdict, picture: PictureFigures) -> None:
        """Collect the score and picture figures of a part; the last wanted part ends the shadow.

        A part that was not found in its frame has no score, and does not count.
        """
        with self._lock:
            if not self._wanted or verdict.not_found is not None:
                return
            self._parts += 1
            self._above += verdict.is_rejected
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
        """Return the progress of the shadow; `None` if the station is not in shadow."""
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
            # Begin on a new line, because a power cut may have left half a line.
            file.write(b"\n" + line.model_dump_json().encode() + b"\n")

    def _find(self, loaded: LoadedBundle) -> Collected | None:
        """Return the scores on disk if they are of this bundle and precision, else `None`."""
        try:
            found = read_collected(self._path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("%s: %s: %s; scores are collected anew", self._station, self._path, error)
            return None
        same = found.start.bundle.digest == loaded.reference.digest and found.start.precision == loaded.engine.precision
        return found if same else None

    def _tell(self) -> None:
        if self._wanted:
            self._note(f"in shadow: nothing is rejected until {self._wanted} parts are collected")
            log.info("%s: in shadow; %s has %d of %d parts", self._station, self._path, self._parts, self._wanted)
            return
        self._note(None)
        if self._parts:
            log.info("%s: the shadow is over; `calibrate threshold` can read %s", self._station, self._path)
            self._parts = 0

    def _report(self, error: OSError) -> None:
        if not self._fails:
            log.error(
                "%s: scores are not collected: %s: %s; free space on the disk",
                self._station,
                self._path,
                error.strerror,
            )
        self._fails = True
