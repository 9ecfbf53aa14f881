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

from edge_inspect.edge.child_process import ends_with_parent
from edge_inspect.edge.contract.fields import Time, utc_now
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.files import write_atomically
from edge_inspect.edge.labels.store import LabelStore
from edge_inspect.edge.mqtt.credentials import credential_path
from edge_inspect.edge.page.bundle_folder import BundleFolder
from edge_inspect.edge.page.settings import PageSettings
from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)

What = Literal["threshold", "memory"]
State = Literal["running", "done", "failed"]
WHAT: tuple[What, ...] = ("threshold", "memory")

NICE = 10
"""Nice value of the process that teaches; inspecting goes first."""
KEPT = 50
"""Number of jobs that are kept."""
MOST_LINES = 200
LONGEST_LINE = 1000
_END_S = 5.0
_ENDED = "the page was ended while this job ran; start it again"
_NUMBERED = re.compile(r"(.*?)-(\d{1,6})")


class CannotTeach(Exception):
    """A job cannot be started; the message says why and what to do."""


class Job(BaseModel):
    """One run of `calibrate teach`.

    Attributes:
        id: Id of the job.
        station: Key of the station whose bundle is taught, as site/line/station.
        recipe: Recipe of the station whose bundle is taught; `None` if it has no recipes.
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
    recipe: str | None = None
    what: What
    by: str
    at: Time = Field(default_factory=utc_now)
    state: State = "running"
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
                self._clean_up(job)
                job.state, job.lines = "failed", [*job.lines, _ENDED]

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
        try:
            self._check_idle()
            self._choose_bundle(station, in_force)
        except CannotTeach as error:
            return str(error)
        return None

    async def start(
        self, station: str, what: What, by: str, in_force: dict[str, str] | None, recipe: str | None = None
    ) -> Job:
        """Start a job and return it; with a recipe, it learns only from parts that this recipe judged.

        Raises:
            CannotTeach: Nothing can be taught now.
        """
        self._check_idle()
        self._starting = True
        try:
            bundle = await asyncio.to_thread(self._choose_bundle, station, in_force)
            if what == "memory" and importlib.util.find_spec("onnx") is None:
                raise CannotTeach(
                    "the package onnx is missing; install edge-inspect[page] on this box, or teach the threshold"
                )
            job = Job(station=station, recipe=recipe, what=what, by=by, out=next_name(bundle.parent, bundle.name))
            self._jobs = [*self._jobs, job][-KEPT:]
            await self._save()
            self._task = asyncio.create_task(self._run(job, bundle))
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

    def _check_idle(self) -> None:
        if self._starting or (self._task is not None and not self._task.done()):
            raise CannotTeach("another bundle is being taught; wait until that is done")

    def _choose_bundle(self, station: str, in_force: dict[str, str] | None) -> Path:
        """Return the path of the bundle in force.

        Raises:
            CannotTeach: It is not at hand, or there are no labels to learn from.
        """
        folder, labelled = self._settings.bundles, self.labelled(station)
        if folder is None:
            raise CannotTeach("the page knows no folder of bundles; set `bundles` in its configuration")
        if in_force is None:
            raise CannotTeach("the station has not said which bundle it uses; wait until it is online")
        if not labelled["good"] and not labelled["defect"]:
            raise CannotTeach("no part of this station is labelled good or defect; label some parts first")
        listed = self._bundles.bundles()
        name = next((str(each["name"]) for each in listed if each["digest"] == in_force["digest"]), None)
        if name is None:
            raise CannotTeach(
                f"the station's bundle {clean(in_force['name'])} is not in {folder}; copy it there, under the same "
                "name as on the station"
            )
        return folder / name

    async def _run(self, job: Job, bundle: Path) -> None:
        """Run a job to its end, also if the page ends meanwhile."""
        answer = self._settings.data / f"teaching-{job.id}.json"
        state, why = "failed", _ENDED  # type: State, str | None
        try:
            state, why = await self._teach(job, bundle, answer), None
        except (OSError, ValueError) as error:
            log.exception("teaching %s", job.id)
            why = f"the program could not be run: {error}"
        finally:
            answer.unlink(missing_ok=True)
            await asyncio.to_thread(self._clean_up, job)
            job.state, job.lines = state, job.lines + ([] if why is None else [why])
            await self._save()
            self._changed(job)

    async def _teach(self, job: Job, bundle: Path, answer: Path) -> State:
        """Run the program, and note what it says.

        Raises:
            OSError: It cannot be started, or has written no answer.
            ValueError: A line, or its answer, is not what it should be.
        """
        process = await asyncio.create_subprocess_exec(
            *self._command(job, bundle, answer),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 20,
        )
        assert process.stdout is not None, "it is a pipe"
        try:
            async for line in process.stdout:
                self._say(job, line.decode(errors="replace"))
            if status := await process.wait():
                if status < 0:
                    self._say(job, _killed(-status))  # otherwise it has said why
                return "failed"
        finally:
            if process.returncode is None:
                process.kill()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(process.wait(), _END_S)
        job.result, job.bundle = json.loads(answer.read_bytes()), job.out
        return "done"

    def _command(self, job: Job, bundle: Path, answer: Path) -> list[str]:
        settings = self._settings
        assert settings.bundles is not None, "start has checked it"
        program = [sys.executable, "-m", "edge_inspect.calibrate.cli", "teach", str(bundle)]
        program += ["--labels", str(self._labels.folder), "--station", job.station, "--what", job.what]
        program += [] if job.recipe is None else ["--recipe", job.recipe]
        program += ["--out", str(settings.bundles / job.out), "--json", str(answer)]
        program += ["--key", str(credential_path(settings.signing_key))] if settings.signing_key is not None else []
        return ends_with_parent(program, signal.SIGKILL, nice=NICE)

    def _say(self, job: Job, line: str) -> None:
        if line.strip():
            job.lines = [*job.lines, clean(line.rstrip()[:LONGEST_LINE])][-MOST_LINES:]
            self._changed(job)

    async def _save(self) -> None:
        data = json.dumps([job.model_dump(mode="json") for job in self._jobs], ensure_ascii=False).encode()
        try:
            await asyncio.to_thread(write_atomically, self._file, data)
        except OSError as error:
            log.error("teaching: %s cannot be written: %s; jobs are forgotten when the page ends", self._file, error)

    def _clean_up(self, job: Job) -> None:
        """Delete what a job has left of a bundle that it did not finish."""
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
