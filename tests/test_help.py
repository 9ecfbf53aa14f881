"""`--help` explains every option, and documents and messages name only options that the programs have."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
from pathlib import Path

import pytest
from command_checks import check
from documents import DOCUMENTS, ROOT, Code, codes
from program_parsers import Refused, arguments_of, commands_of, only_parsing, options_of, parsers
from typed_words import filled

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9](?![\w-])")
OTHERS = {
    "--help",  # argparse adds it
    "--version",
    "--system-site-packages",  # of python -m venv
    "--nproc-per-node",  # of torchrun
    "--extra-index-url",  # of pip
    *("--index-url", "--no-index", "--find-links", "--force-reinstall", "--no-deps"),  # of pip too
    *("--extract", "--format", "--verify", "--dry-run"),  # of tar, stat, dpkg, pip
    *("--file", "--tag", "--build-arg"),  # of podman build
    *("--detach", "--name", "--read-only", "--tmpfs", "--cap-drop", "--security-opt", "--restart"),
    *("--network", "--volume", "--device", "--group-add", "--runtime", "--health-on-failure"),  # of podman run
    *("--list-devices", "--list-formats-ext"),  # of v4l2-ctl
    "--now",  # of systemctl
    "--head",  # of ray start
    "--card",  # of the tests in tests/kernels
}
"""Options of other programs that the documents and messages name."""
NO_WORDS = {argparse.SUPPRESS, None}


def arguments() -> list[tuple[str, argparse.Action]]:
    """Every option and argument of the three programs, with the command that has it."""
    return [(command, action) for command, parser in parsers().items() for action in arguments_of(parser)]


def named(action: argparse.Action) -> str:
    return "/".join(action.option_strings) or str(action.metavar or action.dest)


def test_every_option_and_argument_is_explained() -> None:
    told = [(f"{command} {named(action)}", action.help) for command, action in arguments()]
    assert len(told) > 100
    assert [what for what, help_ in told if help_ in NO_WORDS or len(str(help_).split()) < 3] == []


def test_every_default_is_said() -> None:
    """An option that is not given either says what it is then, or is simply off: it has no value."""
    silent = [
        f"{command} {named(action)}: {action.default}"
        for command, action in arguments()
        if action.option_strings
        and not action.required
        and action.default not in (None, False, argparse.SUPPRESS, [])
        and "default" not in str(action.help)
    ]
    assert silent == []


def test_the_stated_default_is_the_one_that_holds() -> None:
    wrong = []
    for command, action in arguments():
        stated = re.search(r"\(default:? ([^\s,;)]+)\)", str(action.help) % vars(action))
        if stated is None or action.default in (None, argparse.SUPPRESS) or isinstance(action.default, bool):
            continue
        number = isinstance(action.default, int | float) and re.fullmatch(r"[\d.]+", stated[1])
        if not (float(stated[1]) == action.default if number else stated[1] == str(action.default)):
            wrong.append(f"{command} {named(action)}: {action.default}, and the help says {stated[1]}")
    assert wrong == []


def test_every_command_shows_what_it_is_for() -> None:
    for command, parser in parsers().items():
        told = parser.format_help()
        assert len(told) > 100
        # argparse leaves out a command without a help.
        assert [inner for inner in commands_of(parser) if not re.search(rf"^    {inner}\b", told, re.MULTILINE)] == []
        assert parser.description or command.startswith("edge-inspect command "), command


def options_of_scripts(folder: str) -> set[str]:
    sources = (ROOT / folder).glob("*.py")
    return {option for path in sources for option in re.findall(r'"(--[a-z-]+)"', path.read_text(encoding="utf-8"))}


def known_options() -> set[str]:
    return OTHERS.union(*map(options_of, parsers().values()))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_option_that_a_document_names_is_there(document: Path) -> None:
    known = known_options()
    scripts = {folder: options_of_scripts(folder) for folder in ("tests/benchmarks", "docs/examples")}
    told = scripts["tests/benchmarks"] if document.name == "measurements.md" else set()
    unknown = [
        f"{code}: {option}"
        for code in codes(document)
        for option in OPTION.findall(code.text)
        if option not in known | told.union(*(scripts[folder] for folder in scripts if folder in code.text))
    ]
    assert unknown == []


def takes(words: list[str]) -> bool:
    """Whether a command has this option and accepts this value, if there is one."""
    owners = [parser for parser in parsers().values() if words[0] in options_of(parser)]
    for parser in owners:
        if len(words) == 1:
            return True
        with only_parsing():
            try:
                parser.parse_known_args(filled(words))
            except Refused as refused:
                if "are required" not in str(refused):
                    continue
        return True
    return not owners


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_values_of_options_in_a_document_are_accepted(document: Path) -> None:
    """Such as `--fit tile` and `--region X,Y,W,H` in a sentence."""
    spans = [code for code in codes(document) if code.language == "inline" and code.text.startswith("--")]
    assert [str(span) for span in spans if not takes(shlex.split(span.text))] == []


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("--fit tile", True),
        ("--fit tiles", False),
        ("--memory K", True),
        ("--budget-ms MS", True),
        ("--steps many", False),
        ("--hold-out", True),
        ("--false-reject-rate 1%", False),
    ],
)
def test_a_wrong_value_is_noticed(text: str, good: bool) -> None:
    assert takes(text.split()) is good


@pytest.mark.parametrize("package", ["edge", "models", "train", "calibrate", "systemd"])
def test_every_option_that_a_message_names_is_there(package: str) -> None:
    """Messages, helps and comments of configurations say what to do: with options that exist."""
    known, unknown = known_options(), []
    for path in sorted((ROOT / package).rglob("*.*")):
        if path.suffix in (".yaml", ".service"):
            texts = [path.read_text(encoding="utf-8")]
        elif path.suffix == ".py" and package != "systemd":  # its program has options of its own, and calls pip
            nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        else:
            continue
        unknown += [f"{path}: {option}" for text in texts for option in OPTION.findall(text) if option not in known]
    assert unknown == []


def shown_commands() -> list[Code]:
    """The commands at the end of a help, and in the comments of the configurations and the Python examples."""
    program = r"(?<!-u )\b(?:edge-inspect|edge-train|calibrate) [a-z]+ ?[^;(,\n]*"
    found = [
        Code(f"{command} --help", 0, "indented", match[0].strip().rstrip("."))
        for command, parser in parsers().items()
        for match in re.finditer(program, parser.epilog or "")
    ]
    for path in (ROOT / "systemd").glob("*.yaml"):
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            if line.startswith("#") and (match := re.search(rf": ({program})$", line)):
                found.append(Code(path.name, number, "indented", match[1]))
    return found


def test_commands_that_helps_and_configurations_show_are_accepted() -> None:
    shown = shown_commands()
    assert len(shown) > 8
    for command in shown:
        assert check(command), str(command)
