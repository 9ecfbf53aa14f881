"""Teaching: runs `calibrate teach` beside the page, one job at a time, and keeps what came of each job.

A job takes the bundle in force of a station, found by its digest in the folder of bundles, and writes the next one
beside it. It runs in a process of its own at low priority, because it computes for a minute, and because a page has no
use for the memory that it needs. The job ends with the page, and an unfinished bundle is never left at its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import logging
import re
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from edge_inspect.edge.contract.fields import Time, utc_now
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.errors import EdgeInspectError
from edge_inspect.edge.files import write_atomically
from edge_inspect.edge.labels.store import LabelStore
from edge_inspect.edge.mqtt.credentials import credential_path
from edge_inspect.edge.page.bundle_folder import BundleFolder
from edge_inspect.edge.page.settings import PageSettings
from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)

What = Literal["threshold", "memory"]
WHAT: tuple[What, ...] = ("threshold", "memory")

KEPT = 50
"""Number of jobs that are kept."""
MOST_LINES = 200
LONGEST_LINE = 1000
_END_S = 5.0
_NUMBERED = re.compile(r"(.*?)-(\d{1,6})")


class CannotTeach(EdgeInspectError):
    """A job cannot be started; the message says why and what to do."""


class Job(BaseModel):
    """One run of `calibrate teach`.

    Attributes:
        id: Id of the job.
        station: Key of the station whose bundle is taught, as site/line/station.
        what: What is taught.
        by: Name of the person.
        at: Time of the start.
        state: How far it is.
        lines: What the program has printed.
        out: Name of the bundle that it makes.
        bundle: Name of the bundle that it has made; `None` until then.
        result: What the program says in `--json`; `None` until then.
    """

    id: str = Field(default_factory=uuid7)
    station: str
    what: What
    by: str
    at: Time = Field(default_factory=utc_now)
    state: Literal["running", "done", "failed"] = "running"
    lines: list[str] = []
    out: str
    bundle: str | None = None
    result: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the job as the API gives it."""
        return self.model_dump(mode="json", exclude={"out"})


class Teaching:
    """Starts jobs and keeps them over restarts of the page. Used in the event loop's thread.

    Args:
        settings: The page's settings.
        labels: The labels that are taught.
        bundles: The bundles below `settings.bundles`.
        changed: Called with a job after each change of it.
    """

    def __init__(
        self, settings: PageSettings, labels: LabelStore, bundles: BundleFolder, changed: Callable[[Job], None]
    ) -> None:
        self._settings, self._labels, self._bundles, self._changed = settings, labels, bundles, changed
        self._file = settings.data / "teaching.json"
        self._jobs = _read(self._file)
        self._task: asyncio.Task[None] | None = None
        self._starting = False
        for job in self._jobs:
            if job.state == "running":
                self._remove_unfinished(job)
                self._end(job, "failed", "the page was ended while this job ran; start it again")

    def jobs(self, station: str | None = None) -> list[Job]:
        """Return the jobs, newest first; of one station, or of all."""
        return [job for job in reversed(self._jobs) if station in (None, job.station)]

    def labelled(self, station: str) -> dict[str, int]:
        """Return the number of parts of a station with each word."""
        counts = Counter(word.word for key, word in self._labels.words().items() if key.station == station)
        return {word: counts[word] for word in ("good", "defect", "unsure")}

    def why_not(self, station: str, in_force: dict[str, str] | None) -> str | None:
        """Return why nothing can be taught now, and what to do; `None` if it is possible.

        Args:
            station: Key of the station.
            in_force: Name and digest of the station's bundle; `None` if it is not known.
        """
        labelled = self.labelled(station)
        if self._settings.bundles is None:
            return "the page knows no folder of bundles; set `bundles` in its configuration"
        if in_force is None:
            return "the station has not said which bundle it uses; wait until it is online"
        if not labelled["good"] and not labelled["defect"]:
            return "no part of this station is labelled good or defect; label some parts first"
        if self._starting or (self._task is not None and not self._task.done()):
            return "another bundle is being taught; wait until that is done"
        if self._find(in_force) is None:
            return (
                f"the station's bundle {clean(in_force['name'])} is not in {self._settings.bundles}; copy it there, "
                "under the same name as on the station"
            )
        return None

    async def start(self, station: str, what: What, by: str, in_force: dict[str, str] | None) -> Job:
        """Start a job and return it.

        Raises:
            CannotTeach: Nothing can be taught now.
        """
        why = await asyncio.to_thread(self.why_not, station, in_force)
        if why is None and what == "memory" and importlib.util.find_spec("onnx") is None:
            why = "the package onnx is missing; install edge-inspect[page] on this box, or teach the threshold"
        if why is None and self._starting:
            why = "another bundle is being taught; wait until that is done"
        if why is not None or in_force is None or self._settings.bundles is None:
            raise CannotTeach(why or "the station has not said which bundle it uses; wait until it is online")
        self._starting = True
        try:
            name = await asyncio.to_thread(self._find, in_force)
            if name is None:
                raise CannotTeach(f"the bundle {clean(in_force['name'])} is gone; copy it to the folder of bundles")
            job = Job(station=station, what=what, by=by, out=next_name(self._settings.bundles, name))
            self._jobs = [*self._jobs, job][-KEPT:]
            self._save()
            self._task = asyncio.create_task(self._run(job, self._settings.bundles / name))
        finally:
            self._starting = False
        self._changed(job)
        return job

    async def close(self) -> None:
        """End the job that runs, and wait for its end."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, job: Job, bundle: Path) -> None:
        assert self._settings.bundles is not None, "start has checked it"
        answer = self._settings.data / f"teaching-{job.id}.json"
        process = None
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command(job, bundle, answer),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=1 << 20,
            )
            assert process.stdout is not None, "it is a pipe"
            async for line in process.stdout:
                self._say(job, line.decode(errors="replace"))
            if status := await process.wait():
                self._end(job, "failed", _killed(-status) if status < 0 else None)  # otherwise it has said why
                return
            job.result = json.loads(answer.read_bytes())
            job.bundle = job.out
            self._end(job, "done", None)
        except asyncio.CancelledError:
            self._end(job, "failed", "the page was ended while this job ran; start it again")
            raise
        except (OSError, ValueError) as error:
            log.exception("teaching %s", job.id)
            self._end(job, "failed", f"the program could not be run: {error}")
        finally:
            if process is not None and process.returncode is None:
                process.kill()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(process.wait(), _END_S)
            answer.unlink(missing_ok=True)
            self._remove_unfinished(job)

    def _command(self, job: Job, bundle: Path, answer: Path) -> list[str]:
        settings = self._settings
        assert settings.bundles is not None, "start has checked it"
        program = [sys.executable, "-m", "edge_inspect.calibrate.cli", "teach", str(bundle)]
        program += ["--labels", str(self._labels.folder), "--station", job.station, "--what", job.what]
        program += ["--out", str(settings.bundles / job.out), "--json", str(answer)]
        program += ["--key", str(credential_path(settings.signing_key))] if settings.signing_key is not None else []
        return [sys.executable, "-m", "edge_inspect.edge.page.child_process", *program]

    def _find(self, in_force: dict[str, str]) -> str | None:
        """Return the name of the bundle in force in the folder of bundles; `None` if it is not there."""
        listed = self._bundles.bundles()
        return next((str(each["name"]) for each in listed if each["digest"] == in_force["digest"]), None)

    def _say(self, job: Job, line: str) -> None:
        if line.strip():
            job.lines = [*job.lines, clean(line.rstrip()[:LONGEST_LINE])][-MOST_LINES:]
            self._changed(job)

    def _end(self, job: Job, state: Literal["done", "failed"], why: str | None) -> None:
        job.state = state
        job.lines += [] if why is None else [why]
        self._save()
        self._changed(job)

    def _save(self) -> None:
        jobs = [job.model_dump(mode="json") for job in self._jobs]
        try:
            write_atomically(self._file, json.dumps(jobs, ensure_ascii=False).encode())
        except OSError as error:
            log.error("teaching: %s cannot be written: %s; jobs are forgotten when the page ends", self._file, error)

    def _remove_unfinished(self, job: Job) -> None:
        if self._settings.bundles is not None:
            for folder in self._settings.bundles.glob(f".{glob_name(job.out)}.*"):
                shutil.rmtree(folder, ignore_errors=True)


def _killed(number: int) -> str:
    """Return what to say of a program that a signal has ended, which says nothing itself."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"{name} ended the program, as Linux does when memory runs out; see `journalctl -k`, and start it again"


def glob_name(name: str) -> str:
    """Return a name as a pattern that only it matches."""
    return re.sub(r"([*?[])", r"[\1]", name)


def next_name(folder: Path, name: str) -> str:
    """Return a name for the next bundle: with the next number that is free, as bottle-2 after bottle.

    Args:
        folder: Folder of the bundles.
        name: Name of the present bundle there.
    """
    stem = name.removesuffix(".zip")
    numbered = _NUMBERED.fullmatch(stem)
    base, number = (numbered[1], int(numbered[2])) if numbered else (stem, 1)
    while True:
        number += 1
        found = f"{base}-{number}"
        if not (folder / found).exists() and not (folder / f"{found}.zip").exists():
            return found


def _read(file: Path) -> list[Job]:
    """Return the jobs in a file; none if it is missing or damaged."""
    try:
        return [Job.model_validate(job) for job in json.loads(file.read_bytes())][-KEPT:]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, ValidationError) as error:
        log.warning("teaching: %s is damaged, and its jobs are forgotten: %s", file, clean(str(error)[:200]))
        return []
