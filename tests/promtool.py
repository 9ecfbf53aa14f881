"""Prometheus' own checker, from Debian's package; the package's daemon is neither installed nor started."""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parent / ".promtool"
_FETCH_S = 120


def promtool(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run promtool; the test is skipped, with the reason, where it cannot be had."""
    program = _find()
    if not program.is_absolute():
        pytest.skip(str(program))
    return subprocess.run([program, *arguments], input=given, capture_output=True, text=True, timeout=_FETCH_S)


@functools.cache
def _find() -> Path:
    """Return promtool's path, or why there is none."""
    if installed := shutil.which("promtool"):
        return Path(installed)
    unpacked = _FOLDER / "usr" / "bin" / "promtool"
    _FOLDER.mkdir(exist_ok=True)
    # Two test processes run at a time.
    lock = os.open(_FOLDER, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not unpacked.is_file():
            # To install the package would start a daemon where systemd or an init script may.
            for command in ("apt-get download prometheus", "dpkg-deb --extract prometheus_*.deb .", "rm *.deb"):
                done = subprocess.run(
                    command, shell=True, cwd=_FOLDER, capture_output=True, text=True, timeout=_FETCH_S
                )
                if done.returncode:
                    return Path(f"promtool not found: {command}: {done.stderr.strip().splitlines()[-1:]}")
        return unpacked
    except (OSError, subprocess.TimeoutExpired) as error:
        return Path(f"promtool not found: {error}")
    finally:
        os.close(lock)
