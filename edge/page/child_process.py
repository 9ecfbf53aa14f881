"""Becomes another program that runs at low priority and ends with the process that started it.

    python -m edge_inspect.edge.page.child_process PROGRAM ARGUMENT...

Linux kills the program when its parent ends, however it ends. So nothing goes on teaching without a page.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

NICE = 10
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run the program that the command line names in place of this one."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the page has ended meanwhile
        return
    os.nice(NICE)
    os.execv(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
