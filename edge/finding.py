"""One thing that `doctor` looked for. Only the standard library is imported, so that `doctor` works on a bare box."""

from __future__ import annotations

import importlib
import shutil
from dataclasses import dataclass
from pathlib import Path

TEGRA = Path("/etc/nv_tegra_release")
JETPACK = {"R36": 6, "R38": 7, "R39": 7}
"""Major version of JetPack, by the release of Linux for Tegra."""


@dataclass(frozen=True)
class Finding:
    """One thing that `doctor` looked for.

    Attributes:
        what: Name of the thing.
        found: Whether it is installed and loads.
        detail: Its version, or the command that installs it.
        needed: Whether every box needs it.
    """

    what: str
    found: bool
    detail: str
    needed: bool = False

    def __str__(self) -> str:
        mark = "ok" if self.found else "MISSING" if self.needed else "not here"
        return f"{mark:8}  {self.what:12} {self.detail}"


def look_for_package(name: str, remedy: str) -> Finding:
    """Import a package, and return its version or the command that installs it."""
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError:
        return Finding(name, False, remedy)
    except Exception as error:  # without its shared libraries a package can fail in any way
        return Finding(name, False, f"{error}; {remedy}")
    version = getattr(module, "__version__", None) or getattr(module, "VERSION_TEXT", "")  # pycuda has the latter
    return Finding(name, True, str(version))


def look_for_program(name: str, remedy: str) -> Finding:
    """Look for a program in PATH, in /usr/sbin and in CUDA's folder."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/cuda/bin")
    return Finding(name, path is not None, path or remedy)


def tegra_release() -> str:
    """Return the release of a Jetson's system; an empty text on any other box."""
    return TEGRA.read_text().splitlines()[0].lstrip("# ") if TEGRA.is_file() else ""


def jetpack() -> int | None:
    """Return the major version of this box's JetPack; `None` if the box is not a Jetson or the release is unknown."""
    return JETPACK.get(tegra_release()[:3])
