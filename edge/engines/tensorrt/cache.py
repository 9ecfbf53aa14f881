"""TensorRT engines on disk. Each is kept under a key, is complete or absent, and has the log of its build beside it.

    CACHE/<precision>-<digest of the key>/engine.plan    the serialized engine; absent if the engine was refused
                                          engine.json    key, sha256 of the plan, measurements, driver
                                          build.log      TensorRT's messages
    CACHE/<the same>.build.log                           TensorRT's messages of a build that failed
    CACHE/timing-<digest of GPU and TensorRT>.cache      measured times of tactics, shared by all bundles

The driver is not part of the key. TensorRT itself refuses a plan that a driver cannot run, and every engine must
reproduce the golden frames each time it is opened. So a driver update does not cause a rebuild while the line waits.
Only the service should be able to write to this folder, because a plan is code.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.errors import DriftError, EngineError
from edge_inspect.edge.files import new_folder, sha256, write_atomically

log = logging.getLogger(__name__)

PLAN, FACTS, LOG = "engine.plan", "engine.json", "build.log"
SERVICE_FOLDER = Path("/var/lib/edge-inspect")


@dataclass(frozen=True)
class EngineKey:
    """The key of an engine: all that it depends on.

    Attributes:
        bundle: Digest of the bundle.
        gpu: Name of the GPU.
        capability: Compute capability of the GPU.
        tensorrt: TensorRT release that builds and runs it.
        precision: The precision whose model it runs.
    """

    bundle: str
    gpu: str
    capability: tuple[int, int]
    tensorrt: str
    precision: Precision

    @property
    def name(self) -> str:
        """Name of the folder in the cache."""
        return f"{self.precision}-{_digest(asdict(self))}"

    @property
    def timing_name(self) -> str:
        """Name of the timing cache's file, which all bundles on this GPU share."""
        return f"timing-{_digest([self.gpu, self.capability, self.tensorrt])}.cache"


class EngineCache:
    """A folder of engines.

    Args:
        folder: Path of the folder. It is created at the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: EngineKey) -> Path:
        """Return the folder of a key, whether it exists or not."""
        return self.folder / key.name

    def find(self, key: EngineKey) -> bytes | None:
        """Return the plan of a key; `None` if there is none, or if it is damaged, which is logged.

        Raises:
            DriftError: The engine was built before and refused; the message has the numbers measured then.
        """
        entry = self.path(key)
        try:
            facts = json.loads((entry / FACTS).read_text())
            if facts["key"] != _plain(asdict(key)):
                raise ValueError("its key is a different one")
            if refused := facts.get("refused"):
                raise DriftError(f"{refused} (found when it was built; calibrate compile --again builds it once more)")
            plan = (entry / PLAN).read_bytes()
            if hashlib.sha256(plan).hexdigest() != facts["sha256"]:
                raise ValueError(f"{PLAN} was changed")
        except FileNotFoundError:
            if entry.exists():
                log.warning("%s is incomplete; the engine is built again", entry)
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s: %s; the engine is built again", entry, error)
            return None
        return plan

    def store(self, key: EngineKey, plan: bytes, build_log: str, facts: dict[str, Any]) -> Path:
        """Keep an engine that was accepted, and return its folder.

        Raises:
            EngineError: The folder cannot be written.
        """
        return self._write(key, {PLAN: plan, LOG: build_log.encode()}, facts)

    def refuse(self, key: EngineKey, why: str, build_log: str) -> Path:
        """Record that an engine failed the golden frames, so that the service does not build it at each start.

        Raises:
            EngineError: The folder cannot be written.
        """
        return self._write(key, {LOG: build_log.encode()}, {"refused": why})

    def keep_log(self, key: EngineKey, build_log: str) -> Path:
        """Keep the log of a build that failed, and return its file.

        Raises:
            EngineError: The file cannot be written.
        """
        path = self.folder / f"{key.name}.{LOG}"
        self._write_file(path, build_log.encode())
        return path

    def timing(self, key: EngineKey) -> bytes:
        """Return the timing cache of earlier builds; empty if there is none."""
        try:
            return (self.folder / key.timing_name).read_bytes()
        except OSError:
            return b""

    def store_timing(self, key: EngineKey, timing: bytes) -> None:
        """Keep the timing cache of a build.

        Raises:
            EngineError: The file cannot be written.
        """
        self._write_file(self.folder / key.timing_name, timing)

    def _write_file(self, path: Path, data: bytes) -> None:
        try:
            write_atomically(path, data)
        except OSError as error:
            raise self._unwritable(error) from error

    def _write(self, key: EngineKey, files: dict[str, bytes], facts: dict[str, Any]) -> Path:
        entry = self.path(key)
        described = {"key": asdict(key), **facts}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(entry, ignore_errors=True)
            with new_folder(entry) as folder:
                for name, data in files.items():
                    (folder / name).write_bytes(data)
                if PLAN in files:
                    described["sha256"] = sha256(folder / PLAN)
                (folder / FACTS).write_text(json.dumps(described, indent=2) + "\n")
        except OSError as error:
            raise self._unwritable(error) from error
        return entry

    def _unwritable(self, error: OSError) -> EngineError:
        return EngineError(
            f"{self.folder}: the engine cannot be written to this folder: {error.strerror or error}; make room, "
            "give the folder to the service's user, or name another (engine.cache in the configuration, --cache)"
        )


def default_cache() -> Path:
    """Return the service's folder if this user may write to it, else a folder in the user's own cache."""
    if os.access(SERVICE_FOLDER, os.W_OK | os.X_OK):
        return SERVICE_FOLDER / "engines"
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "edge-inspect" / "engines"


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
