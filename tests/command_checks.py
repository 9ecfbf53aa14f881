"""Checks of a command in a document that do not run it: its options, files, units and topics exist."""

from __future__ import annotations

import functools
import importlib.util
import re
import runpy
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

import paho.mqtt.client as mqtt
from documents import PROGRAMS, ROOT, Code
from packaging.requirements import InvalidRequirement, Requirement
from program_parsers import Refused, main_of, options_of, parse, parsers
from typed_words import filled

from edge_inspect.edge.contract.topics import Topics

if sys.version_info >= (3, 11):
    import tomllib
else:  # pytest brings it there
    import tomli as tomllib

UNITS = {path.stem for path in (ROOT / "systemd").glob("*.service")} | {"mosquitto"}
STATION = Topics("plant1", "line1", "station1")
TOPICS = [STATION.verdict, STATION.defect, STATION.status, STATION.health, STATION.command, STATION.reply]
VALUE_OPTIONS = {"-t", "-m", "-q", "-h", "-p", "-i", "-u", "-P", "-C", "-W"}
FLAG_OPTIONS = {"-v", "-d", "-c", "-E", "-r"}
NOT_EVERYWHERE = ("cuda", "pycuda", "tensorrt")
"""Packages that scripts import and that no extra brings."""
_SEPARATOR = re.compile(r"^[;&|()]+$")


class Wrong(AssertionError):
    """A command that its reader could not run."""


def simple_commands(line: str) -> Iterator[list[str]]:
    """Yield the commands of a line, such as both sides of `&&`."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|()")
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    for word in [*lexer, ";"]:
        if not _SEPARATOR.match(word):
            words.append(word)
            continue
        if words:
            yield without_sudo(words)
        words = []


def without_sudo(words: Sequence[str]) -> list[str]:
    """Return a command without `sudo`, its user, and variables of the environment."""
    rest = list(words)
    if rest[0] == "sudo":
        rest = rest[1:]
        if rest[0] == "-u":
            rest = rest[2:]
        while re.match(r"[A-Z_]+=", rest[0]):
            rest = rest[1:]
    return [Path(rest[0]).name, *rest[1:]]


def check(code: Code) -> bool:
    """Check all that a command names; return whether it is complete.

    A sentence may name a command alone, or with one option: `calibrate bundle`, `edge-train fit --bits`.

    Raises:
        Wrong: Something that it names does not exist, or it would not be accepted.
    """
    if "$(" in code.text:  # a script: its lines that begin with a program are looked at
        for line in code.text.splitlines():
            if line.startswith("mosquitto"):
                _check_mosquitto(shlex.split(line))
        return True
    complete = True
    for words in simple_commands(code.text):
        if words[0] in PROGRAMS:
            complete = _check_program(words, code.language == "inline")
        elif words[0] in CHECKS:
            CHECKS[words[0]](words)
    return complete


def _check_program(words: list[str], inline: bool) -> bool:
    name, command, options = words[0], words[0], list(words[1:])
    while options and f"{command} {options[0]}" in parsers():
        command = f"{command} {options.pop(0)}"
    known = options_of(parsers()[command]) | {"--help", "--version"}
    if unknown := [word for word in options if word.startswith("--") and word.split("=")[0] not in known]:
        raise Wrong(f"{command} has no {', '.join(unknown)}")
    try:
        parse(main_of(name), filled(words[1:]))
    except Refused as refused:
        is_mention = not options or (options[0].startswith("--") and len(options) <= 2)
        if inline and is_mention and re.search("(are|is) required|expected one argument", str(refused)):
            return False
        raise Wrong(str(refused)) from refused
    return True


@functools.cache
def _makefile() -> str:
    return (ROOT / "Makefile").read_text(encoding="utf-8")


def _check_make(words: list[str]) -> None:
    for word in words[1:]:
        variable, is_setting, _ = word.partition("=")
        there = rf"\$\({variable}\)" if is_setting else rf"^{word}:"
        if not re.search(there, _makefile(), re.MULTILINE):
            raise Wrong(f"Makefile: no {word}")


@functools.cache
def _project() -> dict[str, list[str]]:
    """Return the requirements of each extra; those of all are under the empty name."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    return {"": project["dependencies"], **project["optional-dependencies"]}


def _check_pip(words: list[str]) -> None:
    ours = [Requirement(each) for extra in _project().values() for each in extra]
    for word in words[2:]:
        if word.startswith("-") or word in (".", "wheels"):
            continue
        if extras := re.fullmatch(r"(?:\.|edge-inspect)\[(.*)\]", word):
            if missing := set(extras[1].split(",")) - _project().keys():
                raise Wrong(f"pyproject.toml: no extra {missing}")
            continue
        try:
            wanted = Requirement(word)
        except InvalidRequirement as error:
            raise Wrong(f"pip cannot read {word}") from error
        pinned = [str(each.specifier) for each in ours if each.name == wanted.name and "==" in str(each.specifier)]
        if pinned and str(wanted.specifier) not in pinned:
            raise Wrong(f"{word}: pyproject.toml has {pinned[0]}")


def _check_python(words: list[str]) -> None:
    if words[1] == "-c":
        compile(words[2], "a document", "exec")
    elif words[1:3] == ["-m", "pytest"]:
        for pattern in words[3:]:
            if "/" in pattern and not list(_braces(pattern)):
                raise Wrong(f"no test {pattern}")
    elif words[1] == "-m":
        if importlib.util.find_spec(words[2]) is None:
            raise Wrong(f"no module {words[2]}")
    else:
        _check_script(words[1], words[2:])


def _braces(pattern: str) -> Iterator[Path]:
    """Yield the files that `a/{b,c}.py` names; none if one of them does not exist."""
    choice = re.search(r"\{(.*?)\}", pattern)
    names = [pattern.replace(choice[0], each) for each in choice[1].split(",")] if choice else [pattern]
    if all((ROOT / name).is_file() for name in names):
        yield from (ROOT / name for name in names)


def _check_script(name: str, options: list[str]) -> None:
    path = ROOT / name
    if not path.is_file():
        raise Wrong(f"no file {name}")
    source = path.read_text(encoding="utf-8")
    if "parse_args" not in source:
        if options and "sys.argv" not in source:
            raise Wrong(f"{name} has no options")
        return

    def run(arguments: Sequence[str]) -> int:
        here = [str(path.parent), *sys.path]
        with patch.object(sys, "argv", [name, *arguments]), patch.object(sys, "path", here):
            runpy.run_path(str(path), run_name="__main__")
        return 0

    try:
        arguments = parse(run, filled(options))
    except ModuleNotFoundError as error:
        if str(error.name).split(".")[0] not in NOT_EVERYWHERE:
            raise Wrong(str(error)) from error
        return
    except (Refused, ImportError) as error:
        raise Wrong(str(error)) from error
    # What a benchmark hands to `edge-train fit`.
    for given in getattr(arguments, "options", None) or []:
        _check_program(["edge-train", "fit", "--data", "DATA", "--out", "RUN", *shlex.split(given)], inline=False)


def _check_units(words: list[str]) -> None:
    names = [word for word in words[1:] if word in UNITS or word.startswith("edge-inspect")]
    needs_one = words[0] == "systemd-analyze" or "-u" in words
    if not set(names) <= UNITS or (needs_one and not names):
        raise Wrong(f"no such unit: {' '.join(words)}")


def _check_mosquitto(words: list[str]) -> None:
    options = iter(words[1:])
    for option in options:
        if option in VALUE_OPTIONS:
            value = next(options, None)
            if value is None:
                raise Wrong(f"{option} lacks its value")
            if option == "-t" and not any(mqtt.topic_matches_sub(value, topic) for topic in TOPICS):
                raise Wrong(f"{value}: none of a station's topics; they begin with {STATION.prefix}")
        elif option not in FLAG_OPTIONS:
            raise Wrong(f"{words[0]}: {option}?")


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "make": _check_make,
    "pip": _check_pip,
    "python": _check_python,
    "systemctl": _check_units,
    "journalctl": _check_units,
    "systemd-analyze": _check_units,
    "mosquitto_pub": _check_mosquitto,
    "mosquitto_sub": _check_mosquitto,
}
"""How the commands of other programs are checked; those that are missing here are only known by name."""
