"""Debian's own PyGObject, for a virtual environment of the same Python that does not see the system's packages."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

FOLDER = Path("/usr/lib/python3/dist-packages/gi")


def find_gi() -> bool:
    """Makes `gi` importable where it is installed; returns whether it is."""
    if "gi" in sys.modules or importlib.util.find_spec("gi"):
        return True
    abi = f"_gi.cpython-{sys.version_info.major}{sys.version_info.minor}-*.so"
    if not any(FOLDER.glob(abi)):
        return False
    spec = importlib.util.spec_from_file_location(
        "gi", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    assert spec is not None and spec.loader is not None
    sys.modules["gi"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return True
