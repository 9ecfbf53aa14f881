"""The argument parsers of the programs, as the programs themselves make them."""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partialmethod
from importlib import import_module
from typing import Any
from unittest.mock import patch

MODULES = {
    "edge-train": "edge_inspect.train.cli",
    "calibrate": "edge_inspect.calibrate.cli",
    "edge-inspect": "edge_inspect.edge.cli",
}
"""The three programs and the module that each of them runs."""


class Parsed(BaseException):
    """The command line was accepted; nothing of the program has run yet.

    Attributes:
        parser: The parser of the whole program.
        arguments: What it made of the command line.
    """

    def __init__(self, parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
        super().__init__()
        self.parser, self.arguments = parser, arguments


class Refused(Exception):
    """The parser did not accept the command line; the message is the parser's own."""


@contextlib.contextmanager
def only_parsing() -> Iterator[None]:
    """Have every program that is started meanwhile end with `Parsed` or `Refused`; options must be written in full."""
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self: argparse.ArgumentParser, args: Any = None, namespace: Any = None) -> None:
        raise Parsed(self, parse(self, args, namespace))

    def refuse(self: argparse.ArgumentParser, message: str) -> None:
        raise Refused(f"{self.prog}: {message}")

    in_full = partialmethod(argparse.ArgumentParser.__init__, allow_abbrev=False)
    with (
        patch.object(argparse.ArgumentParser, "__init__", in_full),
        patch.object(argparse.ArgumentParser, "parse_args", parse_and_stop),
        patch.object(argparse.ArgumentParser, "error", refuse),
    ):
        yield


def parse(main: Callable[[Sequence[str]], int], words: Sequence[str]) -> argparse.Namespace:
    """Return what a program makes of its command line, without running it.

    Raises:
        Refused: It does not accept it.
    """
    with only_parsing(), contextlib.redirect_stdout(io.StringIO()):
        try:
            main(words)
        except Parsed as parsed:
            return parsed.arguments
        except SystemExit as ended:  # `--help` or `--version`
            if ended.code == 0:
                return argparse.Namespace()
            raise
    raise AssertionError(f"{words}: the program has no parser")


def main_of(program: str) -> Callable[[Sequence[str]], int]:
    """Return the function that one of the three programs runs."""
    function: Callable[[Sequence[str]], int] = import_module(MODULES[program]).main
    return function


@cache
def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of every command by its name, such as `calibrate bundle` or `edge-inspect command pause`."""
    found: dict[str, argparse.ArgumentParser] = {}
    for program in MODULES:
        # Any command line without options will do: each has the same parsers.
        words = {"edge-train": ["evaluate", "RUN", "--data", "DIR"], "calibrate": ["show", "BUNDLE"]}
        with only_parsing():
            try:
                main_of(program)(words.get(program, ["doctor"]))
            except Parsed as parsed:
                _collect(program, parsed.parser, found)
    return found


def _collect(name: str, parser: argparse.ArgumentParser, found: dict[str, argparse.ArgumentParser]) -> None:
    later = getattr(parser, "later", None)
    if later is not None:  # options that are added when the command is used
        parser.later = None  # type: ignore[attr-defined]
        later(parser)
    found[name] = parser
    for command, inner in commands_of(parser).items():
        _collect(f"{name} {command}", inner, found)


def arguments_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the options and arguments of a parser, without those that every parser has and without its commands."""
    actions = parser._actions  # noqa: SLF001  argparse lists them nowhere else
    return [action for action in actions if action.dest not in ("help", "version") and not _commands_in(action)]


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """Return the options of a parser, such as `--config`."""
    return {option for action in arguments_of(parser) for option in action.option_strings}


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the commands of a parser by their names."""
    actions = parser._actions  # noqa: SLF001
    return {name: inner for action in actions for name, inner in _commands_in(action).items()}


def _commands_in(action: argparse.Action) -> dict[str, argparse.ArgumentParser]:
    return action.choices if isinstance(action.choices, dict) and action.nargs == argparse.PARSER else {}
