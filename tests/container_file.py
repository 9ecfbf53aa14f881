"""The instructions of a Containerfile, and a root in which they are carried out as far as a chroot can."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from overlay_root import REPOSITORY, OverlayRoot


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
        name: Such as `RUN`.
        text: The rest, on one line.
    """

    name: str
    text: str


def instructions(path: Path) -> list[Instruction]:
    """Return the instructions of a Containerfile in their order."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    pairs = [line.split(maxsplit=1) for line in whole.splitlines() if line.strip()]
    return [Instruction(name, text) for name, text in pairs]


def last(path: Path, name: str) -> str:
    """Return the text of the last instruction of a name."""
    return [each.text for each in instructions(path) if each.name == name][-1]


def sources(copy: str) -> list[str]:
    """Return what a COPY takes from the repository; nothing if it copies from another stage."""
    words = copy.split()
    return [] if words[0].startswith("--from=") else words[:-1]


def carry_out(path: Path, root: OverlayRoot, arguments: dict[str, str]) -> None:
    """Carry out ARG, ENV, COPY and RUN of all stages in one root, which stands for the images that FROM names.

    Args:
        path: The Containerfile.
        root: The root; its own Python stands for that of the image.
        arguments: Values of ARG, as `--build-arg` gives them.
    """
    variables: dict[str, str] = {}
    for each in instructions(path):
        if each.name == "ARG":
            name, _, default = each.text.partition("=")
            variables[name] = arguments.get(name, default)
        elif each.name == "ENV":
            variables.update(word.split("=", 1) for word in shlex.split(each.text))
        elif each.name == "COPY":
            target = each.text.split()[-1]
            for source in sources(each.text):
                _copy(REPOSITORY / source, root / target, into=target.endswith("/"))
        elif each.name == "RUN":
            done = root.run(each.text, **variables)
            if done.returncode != 0:
                raise subprocess.CalledProcessError(done.returncode, each.text, done.stdout, done.stderr)


def _copy(source: Path, target: Path, *, into: bool) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target = target / source.name if into else target
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
