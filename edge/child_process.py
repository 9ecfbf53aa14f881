"""Becomes another program that ends with the process that started it, so that a killed parent leaves nothing running.

    python -m edge_inspect.edge.child_process SIGNAL NICE PROGRAM ARGUMENT...

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
    """Return the command of a program that gets a signal when the process that starts it ends.

    Args:
        command: Path of the program, and its arguments.
        end: The signal.
        nice: Number that is added to the program's nice value; above 0, it leaves the processor to others.
    """
    return [sys.executable, "-m", "edge_inspect.edge.child_process", str(int(end)), str(nice), *command]


def main() -> None:
    """Run the program that the command line names in place of this one."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(sys.argv[1]))
    if os.getppid() != parent:  # the parent has ended meanwhile
        return
    os.nice(int(sys.argv[2]))
    os.execv(sys.argv[3], sys.argv[3:])


if __name__ == "__main__":
    main()
