"""What the three command-line programs share: how they fail, and how they speak."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge.dependencies import explain
from edge.errors import EdgeInspectError, UsageError
from edge.files import write_atomically

Handler = Callable[[argparse.Namespace], None]


def run_command(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the handler it names; return the exit status.

    0 done, 1 a check did not hold, 2 wrong use or configuration or a missing extra, 69 a package that every box needs
    does not load, 130 interrupted. A user's mistake is one line on standard error; a bug keeps its traceback.
    """
    arguments = parser.parse_args(argv)
    try:
        try:
            arguments.handler(arguments)
        except Exception as error:
            if (told := explain(error)) is None:
                raise
            raise told from error
    except EdgeInspectError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
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
    """Says something to a person, on standard error."""
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
        write_atomically(target, text.encode() + b"\n")
    except OSError as error:
        raise UsageError(f"{target}: cannot be written: {error.strerror}") from error


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
