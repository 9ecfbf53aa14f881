"""A step of a product in a process of its own, which ends when the process that started it ends.

    python -m edge_inspect.train.products.child PARENT MODULE WORD ...

runs the `main` of a module with the words. If a worker is killed, its training must not go on: another worker repeats
the task in the same folder.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from importlib import import_module

_PR_SET_PDEATHSIG = 1


def main(words: list[str]) -> int:
    """Run the module's `main`; return its exit status."""
    parent, module, *rest = words
    # Ray's workers block Ctrl-C, and a child inherits that. The task ends its child by SIGTERM and SIGKILL.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):
        return 1  # the parent died before the line above
    status: int = import_module(module).main(rest)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
