"""The examples of docs/examples do what they say, against a real service and a real broker."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_bundle
from mosquitto import Broker, Subscriber, wait_until
from node_modules import FOLDER as NODE
from node_modules import node_program
from service_process import PATIENCE, Launch, Process, write_settings

from edge_inspect.edge.demo.line import write_stream

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
STATION = "plant/line1/station1"
TOPIC = f"edge-inspect/v1/{STATION}"


@pytest.fixture
def config(tmp_path: Path, broker: Broker) -> Path:
    """The configuration of a service whose bundle rejects every part."""
    tiny_bundle.write(tmp_path / "bundle")
    write_stream(tmp_path / "frames", frames=4, defect_share=0, seed=5)
    station = {"camera": f"folder:{tmp_path}/frames?fps=10&loop=true", "bundle": str(tmp_path / "bundle")}
    return write_settings(tmp_path, broker.port, station, commands={"allow": ["pause", "resend"]})


@pytest.fixture(params=["python", "node"])
def printer(request: pytest.FixtureRequest, tmp_path: Path, broker: Broker) -> Iterator[tuple[Process, Path]]:
    """A subscriber of the examples that runs, and what it prints."""
    if request.param == "python":
        command = [sys.executable, str(EXAMPLES / "subscriber.py"), "127.0.0.1", str(broker.port)]
    else:
        node = node_program("subscriber.mjs")[0]
        # Beside the packages, as `npm install mqtt` leaves them.
        (tmp_path / "node_modules").symlink_to(NODE / "node_modules")
        shutil.copy(EXAMPLES / "subscriber.mjs", tmp_path)
        command = [node, str(tmp_path / "subscriber.mjs"), f"mqtt://127.0.0.1:{broker.port}"]
    printed = tmp_path / "printed"
    with printed.open("wb") as file, Process(command, tmp_path / "said-printer", stdout=file) as process:
        yield process, printed


def verdict(sequence: int, **fields: Any) -> bytes:
    """What the subscribers read of a verdict."""
    identity = f"019f2b1c-7e40-7000-8000-{sequence:012d}"
    return json.dumps(
        {"id": identity, "sequence": sequence, "ok": True, "score": 0.25, "threshold": 0.5, **fields}
    ).encode()


def test_a_subscriber_prints_each_verdict_of_a_service_and_its_regions(
    config: Path, launch: Launch, printer: tuple[Process, Path]
) -> None:
    process, printed = printer
    launch(config)
    wait_until(lambda: printed.read_text().count("REJECT") > 3, PATIENCE, process.said())
    lines = printed.read_text().splitlines()
    assert any(re.fullmatch(rf"{TOPIC}  #\d+  REJECT  \d\.\d{{4}} of 0\.5000", line) for line in lines)
    assert any(re.fullmatch(rf"{TOPIC}  #\d+  region \[\d+(, \d+){{3}}\], peak \d\.\d{{4}}", line) for line in lines)
    assert "missed" not in printed.read_text() and process.said() == ""


def test_a_subscriber_drops_repeats_and_tells_of_gaps(subscriber: Subscriber, printer: tuple[Process, Path]) -> None:
    process, printed = printer

    def heard() -> bool:
        subscriber.publish(f"{TOPIC}/verdict", verdict(1))  # until it has subscribed
        return bool(printed.read_text())

    wait_until(heard, PATIENCE, process.said())
    for sequence in (2, 2, 5, 3, 6):
        subscriber.publish(f"{TOPIC}/verdict", verdict(sequence))
    wait_until(lambda: "#6 " in printed.read_text(), PATIENCE, process.said())
    said = [line.removeprefix(f"{TOPIC}  ").split("  ")[0] for line in printed.read_text().splitlines()]
    assert said == ["#1", "#2", "missed #3 to #4", "#5", "#3", "#6"]


def test_the_shell_script_sends_a_command_and_prints_its_reply(
    broker: Broker, subscriber: Subscriber, config: Path, launch: Launch
) -> None:
    if shutil.which("mosquitto_pub") is None:
        pytest.skip("no mosquitto_pub to send a command with: apt-get install mosquitto-clients")
    launch(config)
    wait_until(lambda: subscriber.payloads("verdict"), PATIENCE)

    def send(*command: str) -> subprocess.CompletedProcess[str]:
        whole = [str(EXAMPLES / "send_command.sh"), "127.0.0.1", str(broker.port), STATION, *command]
        return subprocess.run(whole, capture_output=True, text=True, timeout=PATIENCE, check=False)

    paused = send("pause")
    assert (paused.returncode, paused.stderr) == (0, "")
    assert json.loads(paused.stdout)["command"] == "pause" and json.loads(paused.stdout)["done"]
    again = json.loads(send("resend", '"from_sequence": 1, "to_sequence": 1').stdout)
    assert again["done"] and again["command"] == "resend"
    refused = send("resume")
    assert refused.returncode == 1 and json.loads(refused.stdout)["refusal"] == "unauthorised"
    unknown = send()
    assert unknown.returncode == 2 and "SITE/LINE/STATION" in unknown.stderr and "set -eu" not in unknown.stderr


def test_a_bundle_is_used_from_python(tmp_path: Path) -> None:
    tiny_bundle.write(tmp_path / "bundle")
    write_stream(tmp_path / "frames", frames=3, defect_share=0, seed=5)
    script = EXAMPLES / "use_a_bundle.py"
    command = [sys.executable, str(script), str(tmp_path / "bundle"), str(tmp_path / "frames")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3 and all(re.fullmatch(r"reject \d\.\d{4} .*\.png \[\(.*\)\]", line) for line in lines)
    code = [line for line in script.read_text().splitlines() if line and not line.startswith(('"', "import", "from"))]
    assert len(code) <= 10


def test_every_example_is_named_by_the_contents_page() -> None:
    page = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in sorted(EXAMPLES.iterdir()) if f"(examples/{path.name})" not in page] == []
