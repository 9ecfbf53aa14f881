"""A disk that is full, for a program of its own: no file may grow beyond a limit."""

from __future__ import annotations

import os
import subprocess
import sys

PREAMBLE = """
import resource, signal, sys
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def full(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
"""


def run_limited(code: str, *arguments: str) -> str:
    """Runs code that may call `full(BYTES)`: from then on longer files give EFBIG. Returns what it printed."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + code, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
