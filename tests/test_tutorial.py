"""The tutorial's commands run as they are printed, one after the other, with fewer pictures and no student."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from document_shell import Shell
from documents import ROOT, codes, commands
from mosquitto import NO_MOSQUITTO, free_port, mosquitto_program

TUTORIAL = ROOT / "docs" / "tutorial.md"
NOT_RUN = ("pip ", "sudo ", "python3 -m venv")
"""Fetches packages, and needs root."""


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    port = free_port()
    changes = {
        "train_good=100": "train_good=24",
        "edge-train fit ": "edge-train fit --model memory --memory 50 --size 64 ",
        "calibrate bundle ": "calibrate bundle --calibration-images 8 --search-seconds 0 ",
        "mosquitto -p 1883": f"mosquitto -p {port}",
        "subscriber.py": f"subscriber.py localhost {port}",
        "host: localhost": f"host: localhost\n  port: {port}",
    }
    opened = Shell(tmp_path, changes, port)
    (configuration,) = [code.text for code in codes(TUTORIAL) if code.language == "yaml"]
    (tmp_path / "config.yaml").write_text(opened.changed(configuration))
    yield opened
    opened.close()


@pytest.mark.timeout(900)
def test_the_tutorials_commands_run(shell: Shell) -> None:
    if mosquitto_program() is None:
        pytest.skip(NO_MOSQUITTO)
    ran, broker, subscriber = [], "", ""
    for command in commands(TUTORIAL):
        changed = shell.changed(command.text)
        if command.language == "inline" or changed.startswith(NOT_RUN):
            continue
        ran.append(changed.split()[0])
        if changed.startswith("mosquitto"):
            broker = changed
            shell.start(broker)
            shell.wait(broker, lambda said: "running" in said)
        elif "subscriber" in changed:
            subscriber = changed
            shell.start(subscriber)
            shell.wait(broker, lambda said: "verdict-printer" in said)
        else:
            told = shell.run(changed)
        if "edge-inspect image" in changed:
            assert len(re.findall(r"^(?:accept|reject)  \d", told, re.MULTILINE)) == 8
    shell.wait(subscriber, lambda said: len(re.findall(r"#\d+  (?:accept|REJECT)", said)) == 8)
    assert {"edge-train", "calibrate", "edge-inspect", "python", "mosquitto"} <= set(ran)
