"""What the three command-line programs share: how they fail, and how they speak."""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_inspect.edge.dependencies import explain
from edge_inspect.edge.errors import EdgeInspectError, UsageError
from edge_inspect.edge.files import write_atomically
from edge_inspect.edge.text import clean

_LARGEST_SEED = 2**32 - 1
Handler = Callable[[argparse.Namespace], None]

# A disk that is full, broken or may not be written, a path that leads nowhere: wherever that shows, it is no bug.
_OF_THE_MACHINE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE),
    *(errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG),
}


def run_command(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the handler it names; return the exit status.

    0 done, 1 a check did not hold, 2 wrong use or configuration, a missing extra, or a machine whose disk, memory or
    permissions do not do, 69 a package that every box needs does not load, 130 interrupted. A user's mistake is one
    line on standard error; a bug keeps its traceback.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the terminal's encoding lacks is shown, and ends nothing
        sys.stdout.reconfigure(errors="backslashreplace")
    arguments = argparse.Namespace()
    try:
        try:
            arguments = parser.parse_args(argv)  # which may have to import what its options are about
            arguments.handler(arguments)
            sys.stdout.flush()
        except Exception as error:
            if (told := explain(error)) is None:
                raise
            raise told from error
    except EdgeInspectError as error:
        say(f"{parser.prog}: {error}")
        return error.exit_status
    except KeyboardInterrupt:
        print(f"\n{parser.prog}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe has gone, as `head` does
        with contextlib.suppress(OSError):
            _drop_output()
        return 0
    except MemoryError as error:
        say(f"{parser.prog}: this machine has too little memory for it: {error or 'nothing is left'}")
        return UsageError.exit_status
    except OSError as error:
        if error.errno not in _OF_THE_MACHINE and not _is_named(error.filename, arguments):
            raise
        file = clean(str(error.filename)) if error.filename else "a file or the output"
        say(f"{parser.prog}: {file}: {error.strerror}")
        with contextlib.suppress(OSError):
            _drop_output()
        return UsageError.exit_status
    return 0


def _is_named(file: Any, arguments: argparse.Namespace) -> bool:
    """Return whether a file is, or lies below, one that the command line names."""
    given = [item for value in vars(arguments).values() for item in (value if isinstance(value, list) else [value])]
    return isinstance(file, str) and any(Path(file).is_relative_to(item) for item in given if isinstance(item, Path))


def _drop_output() -> None:
    """Drop what is still to be written to standard output: Python would complain at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """Say something to a person, on standard error; what no terminal should be told is escaped."""
    text = "\n".join(map(clean, text.split("\n")))
    print(text, file=sys.stderr, flush=True)


def write_json(value: Any, target: Path | None) -> None:
    """Write one JSON object to a file, or to standard output for `-`; nothing for `None`.

    A number that is not finite becomes null: JSON has no other word for it, and readers refuse Python's own NaN.

    Raises:
        UsageError: The file cannot be written.
    """
    if target is None:
        return
    text = json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False)
    if str(target) == "-":
        print(text)
        return
    try:
        write_atomically(target, text.encode(errors="backslashreplace") + b"\n")
    except OSError as error:
        raise UsageError(f"{clean(target)}: cannot be written: {error.strerror}") from error


def _finite(value: Any) -> Any:
    """Return the same value with null for every number in it that is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def seed(text: str) -> int:
    """Return the random seed that a command line gives; to be the `type` of an option.

    Raises:
        argparse.ArgumentTypeError: It is no whole number that every generator takes.
    """
    if not (text.isascii() and text.isdigit() and int(text) <= _LARGEST_SEED):
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 0 to {_LARGEST_SEED}")
    return int(text)


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that every command with a result has."""
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        nargs="?",
        const=Path("-"),
        help="write the result as one JSON object; without FILE to standard output",
    )
