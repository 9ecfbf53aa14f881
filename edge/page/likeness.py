"""Parts like this one: stored parts whose most unusual region looks most like that of a given part."""

from __future__ import annotations

import base64
import json
import logging
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.labels.label import PartKey
from edge_inspect.edge.page.cache_file import open_cache
from edge_inspect.edge.page.part_filter import PartFilter
from edge_inspect.edge.page.part_index import IndexedPart
from edge_inspect.edge.page.part_store import PartStore
from edge_inspect.edge.text import clean
from edge_inspect.edge.threads import wait_for_end

log = logging.getLogger(__name__)

Used = Literal["memory", "picture"]
"""What parts were compared by: features of the bundle's memory, or colours and edges of the picture."""
MOST_COMPARED = 500
"""Number of a station's newest parts that are compared, and of its newest labelled parts beside them."""
_PATIENCE_S = 4.0
_LONGEST_START_S = 30.0
_LONGEST_JOB_S = 60.0
_IDLE_S = 20.0
_MOST_VECTORS = 20_000
_BY_PICTURE = "picture"
_SCHEMA = """
CREATE TABLE vectors (
    id TEXT, station TEXT, by TEXT, vector BLOB, PRIMARY KEY (station, by, id)) WITHOUT ROWID;
"""


class SimilarParts(NamedTuple):
    """The parts that look most like one of them.

    Attributes:
        parts: The parts with their distance, 0 (the same) to 2, nearest first.
        used: What they were compared by.
        pending: Number of parts that are still being described; asking again later compares them too.
    """

    parts: list[tuple[IndexedPart, float]]
    used: Used
    pending: int


class _Job(NamedTuple):
    key: PartKey
    picture: Path
    region: tuple[int, int, int, int] | None


class Likeness:
    """Describes parts in a process of its own, keeps the descriptions, and finds the nearest ones.

    Every method may be called from any thread. The process runs only while there is something to describe.

    Args:
        parts: The parts on disk.
        folder: The page's folder of data; `likeness.db` is made in it, and may be deleted.
        find_bundle: Return the path of the bundle with a digest; `None` if it is not at hand.
    """

    def __init__(self, parts: PartStore, folder: Path, find_bundle: Callable[[str], Path | None]) -> None:
        self._parts, self._find_bundle = parts, find_bundle
        self._vectors = _Vectors(folder / "likeness.db")
        self._without_memory: set[str] = set()
        self._changed = threading.Condition()
        self._jobs: dict[PartKey, _Job] = {}
        self._by = _BY_PICTURE
        self._bundle: Path | None = None
        self._process: subprocess.Popen[str] | None = None
        self._process_by = ""
        self._thread: threading.Thread | None = None
        self._closed = False

    def close(self, timeout: float = 5.0) -> None:
        """End the process; at most `timeout` seconds."""
        with self._changed:
            self._closed = True
            self._jobs.clear()
            if self._process is not None:
                self._process.kill()
            self._changed.notify_all()
        if self._thread is not None:
            wait_for_end(self._thread, timeout)
        self._vectors.close()

    def nearest(self, part: IndexedPart, limit: int) -> SimilarParts | None:
        """Return the parts of the same station that look most like this one.

        Parts that were not compared before are described first. That takes about a tenth of a second each, so a first
        answer may leave some out.

        Args:
            part: The part.
            limit: Largest number of parts.

        Returns:
            The parts; `None` if the picture of the part cannot be read.
        """
        by, bundle = self._chosen(part)
        others = self._others(part)
        vectors = self._described([part, *others], by, bundle)
        if by in self._without_memory:  # this was noticed only now
            by = _BY_PICTURE
            vectors = self._described([part, *others], by, None)
        own = vectors.get(part.key)
        if own is None:
            return None
        compared = [each for each in others if vectors.get(each.key) is not None]
        distances = [1 - float(np.dot(own, vectors[each.key])) for each in compared]  # type: ignore[arg-type]
        found = sorted(zip(compared, distances, strict=True), key=lambda pair: pair[1])
        pending = sum(each.key not in vectors for each in others)
        return SimilarParts(found[:limit], "picture" if by == _BY_PICTURE else "memory", pending)

    def _chosen(self, part: IndexedPart) -> tuple[str, Path | None]:
        """Return by what a part is described: the digest of its bundle and the bundle, or by its picture."""
        digest = part.saved.verdict.bundle.digest
        bundle = None if digest in self._without_memory else self._find_bundle(digest)
        return (_BY_PICTURE, None) if bundle is None else (digest, bundle)

    def _others(self, part: IndexedPart) -> list[IndexedPart]:
        wanted = PartFilter(station=part.station).model_copy(update={"limit": MOST_COMPARED})
        labelled = self._parts.matching(wanted.model_copy(update={"word": "labelled"}))
        found = {each.key: each for each in (*self._parts.matching(wanted), *labelled)}
        found.pop(part.key, None)
        return list(found.values())

    def _described(
        self, parts: Sequence[IndexedPart], by: str, bundle: Path | None
    ) -> dict[PartKey, NDArray[np.float32] | None]:
        """Return the vectors of parts, as far as they are known after a few seconds; the first is waited for longer."""
        known = self._vectors.read(parts[0].station, by)
        missing = [part for part in parts if part.key not in known]
        jobs = {part.key: job for part in missing if (job := self._job(part)) is not None}
        if jobs:
            self._start(jobs, by, bundle)
            began = time.monotonic()
            with self._changed:
                while self._by == by and by not in self._without_memory and not self._closed:
                    left = jobs.keys() & self._jobs.keys()
                    patience = _LONGEST_START_S if parts[0].key in left else _PATIENCE_S
                    if not left or not self._changed.wait(max(0.0, began + patience - time.monotonic())):
                        break
            known = self._vectors.read(parts[0].station, by)
        return {part.key: known[part.key] for part in parts if part.key in known}

    def _job(self, part: IndexedPart) -> _Job | None:
        picture = self._parts.picture_path(part.key)
        region = part.saved.regions[0].bbox if part.saved.regions else None
        return None if picture is None else _Job(part.key, picture, region)

    def _start(self, jobs: dict[PartKey, _Job], by: str, bundle: Path | None) -> None:
        with self._changed:
            if self._by != by:  # whoever waits for the others gets what there is
                self._jobs = {}
                self._end_process()
            self._by, self._bundle = by, bundle
            self._jobs = jobs | {key: job for key, job in self._jobs.items() if key not in jobs}
            self._changed.notify_all()
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="likeness", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        """Describe parts until there has been nothing to do for a while."""
        while True:
            with self._changed:
                if not self._jobs:
                    self._changed.wait(_IDLE_S)
                if self._closed or not self._jobs:
                    self._end_process()
                    self._thread = None
                    return
                by, bundle, job = self._by, self._bundle, next(iter(self._jobs.values()))
            try:
                self._describe(job, by, bundle)
            except (OSError, ValueError, sqlite3.Error) as problem:
                log.warning("parts like this one: part %s cannot be described: %s", job.key.id, clean(str(problem)))
                with self._changed:
                    self._end_process()
            with self._changed:
                if self._by == by:
                    self._jobs.pop(job.key, None)
                self._changed.notify_all()

    def _describe(self, job: _Job, by: str, bundle: Path | None) -> None:
        """Let the process describe one part.

        Raises:
            OSError, ValueError: The process has failed, or was ended.
        """
        with self._changed:
            if self._process_by != by:  # it was started for what somebody asked before
                self._end_process()
            process = self._process
        if process is None:
            process = self._open_process(by, bundle)
            if process is None:
                return
        watch = threading.Timer(_LONGEST_JOB_S, process.kill)
        watch.start()
        try:
            stdin, stdout = _pipes(process)
            stdin.write(json.dumps({"picture": str(job.picture), "region": job.region}) + "\n")
            stdin.flush()
            text = json.loads(stdout.readline())["vector"]
        finally:
            watch.cancel()
        vector = None if text is None else np.frombuffer(base64.b64decode(text), "<f2").astype(np.float32)
        self._vectors.write(job.key, by, vector)

    def _open_process(self, by: str, bundle: Path | None) -> subprocess.Popen[str] | None:
        """Start the process; `None` if the bundle has no memory to describe by."""
        command = [sys.executable, "-m", "edge_inspect.edge.page.likeness_worker", *([str(bundle)] if bundle else [])]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        with self._changed:
            self._process, self._process_by = process, by
            if self._closed:
                process.kill()
        used = json.loads(_pipes(process)[1].readline())["used"]
        if by != _BY_PICTURE and used == _BY_PICTURE:
            log.info("parts like this one: the bundle %s has no memory, so pictures are compared", clean(str(bundle)))
            with self._changed:
                self._without_memory.add(by)
                self._jobs = {}
                self._end_process()
            return None
        return process

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in _pipes(process):
                with suppress(OSError):
                    pipe.close()


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert process.stdin is not None and process.stdout is not None
    return process.stdin, process.stdout


class _Vectors:
    """Descriptions of parts in a SQLite file that may be deleted."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._database = open_cache(path, _SCHEMA)
        oldest = f"SELECT id FROM vectors ORDER BY id DESC LIMIT 1 OFFSET {_MOST_VECTORS}"
        self._database.execute(f"DELETE FROM vectors WHERE id <= ({oldest})")

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def read(self, station: str, by: str) -> dict[PartKey, NDArray[np.float32] | None]:
        """Return the vectors of a station's parts; `None` for a picture that cannot be described."""
        with self._lock:
            rows = self._database.execute(
                "SELECT id, vector FROM vectors WHERE station = ? AND by = ?", (station, by)
            ).fetchall()
        return {
            PartKey(station, identity): None if data is None else np.frombuffer(data, "<f2").astype(np.float32)
            for identity, data in rows
        }

    def write(self, key: PartKey, by: str, vector: NDArray[np.float32] | None) -> None:
        """Keep the vector of a part."""
        data = None if vector is None else vector.astype("<f2").tobytes()
        with self._lock:
            self._database.execute(
                "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)", (key.id, key.station, by, data)
            )
