"""What the three command-line programs share: how they fail, and how they speak."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge.errors import EdgeInspectError, UsageError
from edge.files import write_atomically
from edge.text import clean

Handler = Callable[[argparse.Namespace], None]


def run_command(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> int:
    """Parses the command line and runs the handler it names; returns the exit status.

    0 done, 1 a check did not hold, 2 wrong use or configuration, 130 interrupted. A user's mistake is one line on
    standard error; a bug keeps its traceback.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the terminal's encoding lacks is shown, and ends nothing
        sys.stdout.reconfigure(errors="backslashreplace")
    arguments = parser.parse_args(argv)
    try:
        arguments.handler(arguments)
    except EdgeInspectError as error:
        say(f"{parser.prog}: {error}")
        return error.exit_status
    except KeyboardInterrupt:
        print(f"\n{parser.prog}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe has gone, as `head` does
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


def say(text: str) -> None:
    """Says something to a person, on standard error; what no terminal should be told is escaped."""
    text = "\n".join(map(clean, text.split("\n")))
    print(text, file=sys.stderr, flush=True)


def write_json(value: Any, target: Path | None) -> None:
    """Writes one JSON object to a file, or to standard output for `-`; nothing for `None`.

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
    """The same value with null for every number in it that is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """The option every command with a result has."""
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        nargs="?",
        const=Path("-"),
        help="write the result as one JSON object; without FILE to standard output",
    )
