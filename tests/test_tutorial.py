"""The tutorial's commands run as they are printed, one after the other, with fewer pictures and no student."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.md"
SMALLER = {"train_good=100": "train_good=20", "edge-train fit": "edge-train fit --model memory --memory 50"}
PROGRAMS = {
    "edge-train": "edge_inspect.train.cli",
    "calibrate": "edge_inspect.calibrate.cli",
    "edge-inspect": "edge_inspect.edge.cli",
    "python": "",
}
ELSEWHERE = ("mosquitto", "python docs/examples/subscriber.py", "edge-inspect run")
"""Needs a broker at the usual port; tests/edge/test_examples.py runs these."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TUTORIAL.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_tutorials_commands_run(tmp_path: Path) -> None:
    (configuration,) = blocks("yaml")
    (tmp_path / "config.yaml").write_text(configuration)
    environment = {**os.environ, "PYTHONPATH": str(TUTORIAL.parents[1] / "src")}
    for name, module in PROGRAMS.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {f"-m {module}" if module else ""} "$@"\n')
        program.chmod(0o755)
    environment["PATH"] = f"{tmp_path / 'bin'}:{environment['PATH']}"
    ran = []
    for command in re.findall(r"^\$ (.*)$", "\n".join(blocks("console")), re.MULTILINE):
        if command.startswith(ELSEWHERE):
            continue
        for printed, smaller in SMALLER.items():
            command = command.replace(printed, smaller)
        done = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        ran.append(command.split()[0])
        if "edge-inspect image" in command:
            assert len(re.findall(r"^(?:accept|reject)  \d", done.stdout, re.MULTILINE)) == 8
    assert set(PROGRAMS) <= set(ran)
