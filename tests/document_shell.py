"""A shell in a folder of its own, in which a test runs the commands that the documents print."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from documents import ROOT
from mosquitto import wait_until
from program_parsers import MODULES

PATIENCE = 300.0


class Shell:
    """Runs commands in a folder; those that do not end by themselves run in the background until it is closed.

    Args:
        folder: The folder; it gets the programs and a copy of docs/.
        changes: What is written otherwise than the documents have it, such as smaller numbers, in this order.
        mqtt_port: Port of the broker that mosquitto_pub and mosquitto_sub use where none is named.
    """

    def __init__(self, folder: Path, changes: dict[str, str], mqtt_port: int) -> None:
        self.folder, self._changes = folder, changes
        self._background: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}
        programs = folder / "bin"
        programs.mkdir()
        for name, module in [*MODULES.items(), ("python", "")]:
            start = f"{sys.executable} {f'-m {module}' if module else ''}"
            (programs / name).write_text(f'#!/bin/sh\nexec {start} "$@"\n')
            (programs / name).chmod(0o755)
        # Their own configuration files name the port, so that their commands stay as they are printed.
        for name in ("mosquitto_pub", "mosquitto_sub"):
            (folder / name).write_text(f"-p {mqtt_port}\n")
        shutil.copytree(ROOT / "docs", folder / "docs")
        self._environment = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}:/usr/sbin:/usr/local/sbin",
            "PYTHONPATH": str(ROOT / "src"),
            "XDG_CONFIG_HOME": str(folder),
        }

    def changed(self, command: str) -> str:
        """Return a command as it is run."""
        for printed, other in self._changes.items():
            command = command.replace(printed, other)
        return command

    def run(self, command: str) -> str:
        """Run a command as it is, which must end with status 0; return its standard output."""
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{command}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, command: str) -> None:
        """Run a command in the background."""
        said = self.folder / f"said-{len(self._background)}"
        with said.open("wb") as file:
            words = ["sh", "-c", f"exec {command}"]
            process = subprocess.Popen(words, cwd=self.folder, env=self._environment, stdout=file, stderr=file)
        self._background[command] = (process, said)

    def wait(self, command: str, told: Callable[[str], object]) -> None:
        """Wait until a command in the background has said something; it must not end before, unless with status 0."""
        process, said = self._background[command]

        def is_told() -> bool:
            if told(said.read_text(errors="replace")):
                return True
            ended = process.poll()
            assert not ended, f"{command}: ended with status {ended}\n{said.read_text(errors='replace')}"
            return False

        wait_until(is_told, PATIENCE, f"{command}: {said.read_text(errors='replace')}")

    def close(self) -> None:
        """End what runs in the background; the last to start ends first."""
        for process, _ in reversed(self._background.values()):
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
