"""What the document tells people to type makes commands that a station takes."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from edge_inspect.edge.contract.command_guide import guide
from edge_inspect.edge.contract.commands import VERBS, parse_command
from edge_inspect.edge.contract.ids import UUID7_PATTERN
from edge_inspect.edge.station.command_admission import CommandAdmission


def block(language: str, word: str) -> str:
    """The code of the text that holds a word."""
    return next(code for code in re.findall(rf"```{language}\n(.*?)```", guide(), re.DOTALL) if word in code)


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_shell_line_makes_an_id_and_a_command(shell: str) -> None:
    code = block("sh", "mosquitto_pub").replace("mosquitto_pub", "printf '%s\\n'")
    started = float(subprocess.run(["date", "+%s"], capture_output=True, check=True).stdout)
    desk = CommandAdmission(VERBS, 30.0, clock=lambda: started)
    for _ in range(3):
        done = subprocess.run([shell, "-c", code], capture_output=True, text=True, check=True, timeout=30)
        payload = done.stdout.splitlines()[-1]
        assert re.fullmatch(UUID7_PATTERN, json.loads(payload)["id"]) and done.stderr == ""
        assert desk.receive(payload.encode(), retained=False).refused is None


def test_the_python_lines_make_an_id() -> None:
    code = block("python", "uuid") + "print(id)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    payload = json.dumps({"command": "pause", "id": done.stdout.strip()}).encode()
    assert parse_command(payload).command == "pause"


def test_the_table_says_what_is_needed() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", guide(), re.MULTILINE))
    assert set(VERBS) <= set(rows)
    assert rows["resend"] == "`from_sequence` | `contract`, `by`, `to_sequence`"
    assert rows["bundle"].startswith("`name` |") and rows["trigger"].endswith("`part_id`")
