"""What the documents print: their blocks of code, their code inside sentences, and the commands in both."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
"""CHANGELOG.md is left out: it tells of commands as they were."""

PROGRAMS = ("edge-inspect", "edge-train", "calibrate")
TOOLS = (
    *("apt", "apt-get", "cp", "curl", "for", "git", "journalctl", "ls", "make", "mkdir", "mosquitto"),
    *("mosquitto_pub", "mosquitto_sub", "node", "npm", "pip", "pre-commit", "python", "python3", "ray", "ruff", "sudo"),
    *("rabbitmqctl", "sudoedit", "sysctl", "systemctl", "systemd-analyze", "systemd-creds", "torchrun", "usermod"),
    *("docker", "dpkg", "ldd", "openssl", "podman", "stat", "tar", "uname"),
)
"""Every other program that the documents call. Code that begins with one of these is a command."""

SHELLS = ("sh", "bash", "shell", "console")
"""What a fence says of a block of commands."""

_FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^ *```\n?", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_COMMAND = re.compile(rf"(?:\$ +|id=\$\(|\. |(?:/\S*/)?(?:{'|'.join(map(re.escape, (*PROGRAMS, *TOOLS)))})(?=\s|$))")


@dataclass(frozen=True)
class Code:
    """Code of a document.

    Attributes:
        document: The file, relative to the repository.
        line: Number of its first line.
        language: What a fence says, `indented` for a block without a fence, `inline` for code inside a sentence.
        text: The code, without the indentation of the block.
    """

    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}: {self.text}"


def codes(document: Path) -> list[Code]:
    """Return all code of a document in its order."""
    name, text = os.path.relpath(document, ROOT), document.read_text(encoding="utf-8")
    found = []
    for match in _FENCED.finditer(text):
        lines = [line.removeprefix(match[1]) for line in match[3].splitlines()]
        found.append(Code(name, text.count("\n", 0, match.start()) + 2, match[2], "\n".join(lines)))
    text = _FENCED.sub(lambda match: "\n" * match[0].count("\n"), text)
    for start, block in _indented(text.splitlines()):
        found.append(Code(name, start + 1, "indented", "\n".join(block)))
        text = _blank(text, start, len(block))
    for match in _SPAN.finditer(text):
        found.append(Code(name, text.count("\n", 0, match.start()) + 1, "inline", " ".join(match[1].split())))
    return sorted(found, key=lambda code: code.line)


def _blank(text: str, start: int, count: int) -> str:
    lines = text.splitlines()
    lines[start : start + count] = [""] * count
    return "\n".join(lines) + "\n"


def _indented(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the indented blocks and the numbers, from 0, at which they begin.

    In a list, code is indented by four more than the text of its item.
    """
    item, at = 0, 0
    while at < len(lines):
        if bullet := re.match(r"(?:\d+\.|-) +", lines[at]):
            item = bullet.end()
        elif lines[at] and not lines[at].startswith(" "):
            item = 0
        margin = " " * (item + 4)
        end = at
        if lines[at].startswith(margin) and (at == 0 or not lines[at - 1].strip()):
            while end < len(lines) and (lines[end].startswith(margin) or not lines[end].strip()):
                end += 1
            while not lines[end - 1].strip():
                end -= 1
            yield at, [line.removeprefix(margin) for line in lines[at:end]]
        at = max(end, at + 1)


def commands(document: Path) -> list[Code]:
    """Return every command of a document, each as one would type it.

    A line of a block that ends with a backslash is joined with the next one, and comments are left out. A mere name of
    a program in a sentence is no command.
    """
    return [command for code in codes(document) for command in _commands_of(code)]


def is_of_commands(code: Code) -> bool:
    """Return whether a block holds commands, perhaps with what they print."""
    return code.language in SHELLS or (code.language in ("indented", "") and begins_with_a_program(code.text))


def begins_with_a_program(text: str) -> bool:
    """Return whether code begins as a command does."""
    return _COMMAND.match(text) is not None


def _commands_of(code: Code) -> Iterator[Code]:
    if code.language == "inline":
        if begins_with_a_program(code.text) and " " in code.text:
            yield code
    elif "$(" in code.text and code.language in SHELLS:
        yield code  # one script, which sets variables for its next line
    elif is_of_commands(code):
        session = "\n$ " in f"\n{code.text}"
        lines = iter(enumerate(code.text.splitlines()))
        for number, line in lines:
            if session and not line.startswith("$ "):
                continue
            line = line.removeprefix("$ ")
            while line.endswith("\\"):
                line = f"{line[:-1].rstrip()} {next(lines)[1].strip()}"
            yield Code(code.document, code.line + number, code.language, re.sub(r"\s+# .*", "", line))
