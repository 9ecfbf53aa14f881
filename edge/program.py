"""Exit statuses, messages and JSON output, as all three command-line programs have them."""

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

# Errors of the machine or of a path, such as a full disk or missing permissions. They are no bugs, wherever they occur.
_OF_THE_MACHINE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE),
    *(errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG),
}


def run_command(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> int:
    """Parse the command line, run the handler that it names, and return the exit status.

    A user's mistake is printed to standard error as one line. A bug keeps its traceback.

    Returns:
        0: done. 1: a check failed. 2: wrong use or configuration, a missing extra, or a problem of the machine (disk,
        memory, permissions). 69: a package that every box needs does not load. 130: interrupted.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # print characters that the terminal cannot show as escapes
        sys.stdout.reconfigure(errors="backslashreplace")
    arguments = argparse.Namespace()
    try:
        try:
            arguments = parser.parse_args(argv)  # parsing an option may import packages, so it can fail like a handler
            arguments.handler(arguments)
            sys.stdout.flush()
        except Exception as error:
            if (known := explain(error)) is None:
                raise
            raise known from error
    except EdgeInspectError as error:
        say(f"{parser.prog}: {error}")
        return error.exit_status
    except KeyboardInterrupt:
        print(f"\n{parser.prog}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of the pipe ended first, such as `head`
        with contextlib.suppress(OSError):
            _drop_output()
        return 0
    except MemoryError as error:
        say(f"{parser.prog}: this machine has too little memory: {error or 'no memory is left'}")
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
    """Return whether the command line names a file, or a folder above it."""
    given = [item for value in vars(arguments).values() for item in (value if isinstance(value, list) else [value])]
    return isinstance(file, str) and any(Path(file).is_relative_to(item) for item in given if isinstance(item, Path))


def _drop_output() -> None:
    """Discard the rest of standard output; otherwise Python prints an error when it shuts down."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """Print a message for a person to standard error, with control characters escaped."""
    text = "\n".join(map(clean, text.split("\n")))
    print(text, file=sys.stderr, flush=True)


def write_json(value: Any, target: Path | None) -> None:
    """Write one JSON object to a file.

    Infinite numbers and NaN become null, because JSON has no notation for them.

    Args:
        value: The object.
        target: The file; `-` is standard output, and `None` writes nothing.

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
    """Return a copy of the value in which `None` replaces every number that is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def seed(text: str) -> int:
    """Return the random seed that an option gives; for use as the `type` of the option.

    Raises:
        argparse.ArgumentTypeError: The text is no whole number from 0 to 2**32 - 1.
    """
    if not (text.isascii() and text.isdigit() and int(text) <= _LARGEST_SEED):
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 0 to {_LARGEST_SEED}")
    return int(text)


def add_config_option(parser: argparse.ArgumentParser, program: str) -> None:
    """Add the option `--config` of a program with a configuration of its own, which `program` names in the help."""
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help=f"configuration file of the {program} (YAML)"
    )


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add the option `--json`, which every command with a result has."""
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        nargs="?",
        const=Path("-"),
        help="write the result to FILE as one JSON object; without FILE, write it to standard output",
    )
