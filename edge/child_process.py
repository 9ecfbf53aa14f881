"""Becomes another program that ends with the process that started it, so that a killed parent leaves nothing running.

    python -m edge_inspect.edge.child_process PARENT SIGNAL NICE PROGRAM ARGUMENT...

Linux sends the signal when the parent ends, however it ends.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def ends_with_parent(command: Sequence[str], end: signal.Signals, nice: int = 0) -> list[str]:
    """Return the command of a program that gets a signal when this process ends; this process has to start it.

    Args:
        command: Path of the program, and its arguments.
        end: The signal.
        nice: Number that is added to the program's nice value; above 0, it leaves the processor to others.
    """
    own = [sys.executable, "-m", "edge_inspect.edge.child_process"]
    return [*own, str(os.getpid()), str(int(end)), str(nice), *command]


def main() -> None:
    """Run the program that the command line names in place of this one."""
    parent, end, nice, *command = sys.argv[1:]
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(end))
    if os.getppid() != int(parent):  # the parent ended before the line above
        return
    os.nice(int(nice))
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
