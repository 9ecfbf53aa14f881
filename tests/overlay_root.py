"""A root of its own over this machine's: what is installed in it stays in a folder of the test."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
OF_THE_SYSTEM = sys.base_prefix == "/usr"
PYTHON = "/usr/bin/python3" if OF_THE_SYSTEM else "/usr/local/bin/python3"
"""Where a root has the Python of the tests; python:slim has its own there too."""
LENT = {"PYTHONPATH": "/lent"}
"""A variable that lets a program in a root use the packages of the tests."""


class OverlayRoot:
    """This machine's files, with changes that end up in a folder; skips the test where that is not possible.

    Mounts, and a network without a way out where one is wanted, belong to each command and end with it.

    Args:
        folder: A folder for the changes.
    """

    def __init__(self, folder: Path) -> None:
        self._upper, self._work, self._root = folder / "changes", folder / "work", folder / "root"
        for each in (self._upper, self._work, self._root):
            each.mkdir(parents=True)
        if os.geteuid() != 0:
            pytest.skip("only root may mount a root of its own")
        tried = self.run("true", network=False)
        if tried.returncode != 0:
            pytest.skip(f"no root of its own can be mounted here: {tried.stderr.strip()}")

    def __truediv__(self, path: str) -> Path:
        """Return where a file that a command has changed lies outside of the root."""
        return self._upper / path.lstrip("/")

    def run(
        self,
        command: str,
        *,
        network: bool = True,
        binds: Mapping[Path, str] | None = None,
        before: str = "",
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command in the root, as root.

        Args:
            command: What the root's `sh -e` runs.
            network: Whether it shares this machine's network; otherwise it has only a loopback of its own.
            binds: Folders of this machine, and where the root has them.
            before: What a shell outside of the root runs before; it knows the root's folder as `$R`.
            environment: More variables of the environment.
        """
        binds = {REPOSITORY: str(REPOSITORY), Path(sysconfig.get_path("purelib")): LENT["PYTHONPATH"], **(binds or {})}
        if not OF_THE_SYSTEM:
            binds[Path(sys.base_prefix)] = "/usr/local"
        lines = [
            f"R={self._root}",
            f"mount -t overlay -o lowerdir=/,upperdir={self._upper},workdir={self._work} overlay $R",
            *(f"mount --rbind /{name} $R/{name}" for name in ("proc", "sys", "dev")),
            *(f"mkdir -p $R/{name}; mount -t tmpfs tmpfs $R/{name}" for name in ("tmp", "run")),
            *(f"mkdir -p $R{target}; mount --bind {source} $R{target}" for source, target in binds.items()),
            *([] if network else ["ip link set lo up"]),
            before,
            f"exec chroot $R sh -ec {shlex.quote(command)}",
        ]
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        own = {"PATH": path, "LD_LIBRARY_PATH": "/usr/local/lib", "TMPDIR": "/tmp", "PYTHONPATH": ""}
        return subprocess.run(
            ["unshare", "--mount", *([] if network else ["--net"]), "sh", "-ec", "\n".join(lines)],
            env={**os.environ, **own, **environment},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
