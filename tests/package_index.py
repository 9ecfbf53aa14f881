"""Whether pip reaches a package index; what builds the project needs one, for hatchling."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile

import pytest


@functools.cache
def _answer() -> str:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--retries", "0", "--dest", folder]
        asked = subprocess.run([*command, "hatchling"], capture_output=True, text=True, check=False, timeout=60)
    return "" if asked.returncode == 0 else asked.stderr.strip().splitlines()[-1]


def needs_package_index() -> None:
    """Skip the test if pip cannot download a package."""
    if why := _answer():
        pytest.skip(f"needs a package index: {why}")
