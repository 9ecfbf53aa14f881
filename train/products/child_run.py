"""Runs one step of a product in a child process, writes its log, and says how long it still takes."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from edge_inspect.edge.child_process import ends_with_parent

POLL_S = 0.5
TAIL_BYTES = 4096
SHOWN = 8
"""Number of lines of a log that are shown when a step fails."""
_LEFT = re.compile(r"(\d+) s left")


class StepFailed(Exception):
    """A step ended with an error.

    Args:
        step: Name of the step.
        status: Exit status of its process.
        tail: Last lines of its log.
    """

    def __init__(self, step: str, status: int, tail: list[str]) -> None:
        super().__init__(f"{step} ended with status {status}")
        self.step, self.status, self.tail = step, status, tail


def run_child(
    step: str,
    module: str,
    words: Sequence[str],
    log: Path,
    *,
    cwd: Path,
    environment: dict[str, str],
    kept_open: int,
    tell: Callable[[float | None], None],
) -> int:
    """Run a module as a program in a child process until it ends; return its exit status.

    The child ends with this process, and is killed if this call is left by an exception.

    Args:
        step: Name of the step, for the log.
        module: The module.
        words: Words of its command line.
        log: File that its output is appended to.
        cwd: Working directory of the child.
        environment: Its environment.
        kept_open: File descriptor of a lock that the child holds as long as it lives.
        tell: Called about twice a second with the seconds that the step says are left; `None` if it says nothing.
    """
    with log.open("ab") as output:
        output.write(f"\n--- {step}: {module} {shlex.join(words)}\n".encode(errors="backslashreplace"))
        output.flush()
        begun = output.tell()
        child = subprocess.Popen(
            ends_with_parent([sys.executable, "-m", module, *words], signal.SIGKILL),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env=environment,
            pass_fds=[kept_open],
        )
        try:
            while True:
                try:
                    return child.wait(POLL_S)
                except subprocess.TimeoutExpired:
                    tell(_seconds_left(log, begun))
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()


def _seconds_left(log: Path, begun: int) -> float | None:
    """Return the seconds left that the log's last line of progress names, less the age of that line."""
    written = log.stat()
    with log.open("rb") as file:
        file.seek(max(begun, written.st_size - TAIL_BYTES))
        found = _LEFT.findall(file.read().decode(errors="replace"))
    return max(0.0, float(found[-1]) - (time.time() - written.st_mtime)) if found else None


def tail_of(log: Path) -> list[str]:
    """Return the last lines of a log that are not empty."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        lines = file.read().decode(errors="backslashreplace").splitlines()
    return [line for line in lines if line.strip()][-SHOWN:]
