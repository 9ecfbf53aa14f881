"""TensorRT engines on disk: each under a key, whole or not at all, beside the log of its build.

    CACHE/<precision>-<digest of the key>/engine.plan    what TensorRT built; absent where it was refused
                                          engine.json    key, sha256 of the plan, what was measured, the driver
                                          build.log      what TensorRT said
    CACHE/<the same>.build.log                           what it said where nothing was built
    CACHE/timing-<digest of GPU and TensorRT>.cache      what the builder measured of tactics, for every bundle

The driver is not part of the key: TensorRT itself refuses a plan that a driver cannot run, and every engine must
reproduce the golden frames each time it is opened, so an update of the driver costs no rebuild while the line waits.
Nobody but the service should be able to write here: a plan is code.
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
    """What an engine is tied to.

    Attributes:
        bundle: The bundle's digest.
        gpu: The GPU's name.
        capability: Its compute capability.
        tensorrt: The release that builds and runs it.
        precision: Which of the bundle's models.
    """

    bundle: str
    gpu: str
    capability: tuple[int, int]
    tensorrt: str
    precision: Precision

    @property
    def name(self) -> str:
        """The entry's folder."""
        return f"{self.precision}-{_digest(asdict(self))}"

    @property
    def timing_name(self) -> str:
        """The file of the timing cache, which all bundles on this GPU share."""
        return f"timing-{_digest([self.gpu, self.capability, self.tensorrt])}.cache"


class EngineCache:
    """The engines in a folder.

    Args:
        folder: Made at the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: EngineKey) -> Path:
        """Return where the entry of a key lies, or would."""
        return self.folder / key.name

    def find(self, key: EngineKey) -> bytes | None:
        """Return the plan of a key; `None` where there is none, or a damaged one, which is said.

        Raises:
            DriftError: It was built before and refused; the message has the numbers of then.
        """
        entry = self.path(key)
        try:
            facts = json.loads((entry / FACTS).read_text())
            if facts["key"] != _plain(asdict(key)):
                raise ValueError("its key is another")
            if refused := facts.get("refused"):
                raise DriftError(f"{refused} (found when it was built; calibrate compile --again tries once more)")
            plan = (entry / PLAN).read_bytes()
            if hashlib.sha256(plan).hexdigest() != facts["sha256"]:
                raise ValueError(f"{PLAN} was changed")
        except FileNotFoundError:
            if entry.exists():
                log.warning("%s: is incomplete; the engine is built again", entry)
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s: %s; the engine is built again", entry, error)
            return None
        return plan

    def store(self, key: EngineKey, plan: bytes, build_log: str, facts: dict[str, Any]) -> Path:
        """Keep an engine that was accepted; return its folder.

        Raises:
            EngineError: It cannot be written.
        """
        return self._write(key, {PLAN: plan, LOG: build_log.encode()}, facts)

    def refuse(self, key: EngineKey, why: str, build_log: str) -> Path:
        """Remember that what was built for a key did not hold, so that no start of the service builds it again.

        Raises:
            EngineError: It cannot be written.
        """
        return self._write(key, {LOG: build_log.encode()}, {"refused": why})

    def keep_log(self, key: EngineKey, build_log: str) -> Path:
        """Keep the log of a build that came to nothing; return the file.

        Raises:
            EngineError: It cannot be written.
        """
        path = self.folder / f"{key.name}.{LOG}"
        self._write_file(path, build_log.encode())
        return path

    def timing(self, key: EngineKey) -> bytes:
        """Return what the builder measured before; empty where it has not."""
        try:
            return (self.folder / key.timing_name).read_bytes()
        except OSError:
            return b""

    def store_timing(self, key: EngineKey, timing: bytes) -> None:
        """Keep what the builder measured.

        Raises:
            EngineError: It cannot be written.
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
            f"{self.folder}: the engine cannot be kept there: {error.strerror or error}; make room or give "
            "the service's user the folder, or name another (engine.cache in the configuration, --cache)"
        )


def default_cache() -> Path:
    """Return the service's folder where this user may write to it, else one in the user's own cache."""
    if os.access(SERVICE_FOLDER, os.W_OK | os.X_OK):
        return SERVICE_FOLDER / "engines"
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "edge-inspect" / "engines"


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
