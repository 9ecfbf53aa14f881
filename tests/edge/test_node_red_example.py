"""The flow for Node-RED: its structure, its topics, and what its functions make of messages, run by node."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from mosquitto import Broker, Subscriber, free_port, wait_until
from service_process import PATIENCE, Process

from edge_inspect.edge.contract.commands import VERBS, parse_command
from edge_inspect.edge.contract.examples import examples
from edge_inspect.edge.contract.topics import Topics

FLOW: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "docs" / "examples" / "node-red.json").read_text(encoding="utf-8")
)
STATION = Topics("plant1", "line1", "station1")
# A function node is called with its message, and with a context that it keeps.
RUN = """
const [code, messages] = JSON.parse(require("fs").readFileSync(0, "utf8"));
const kept = new Map();
const context = { get: (key) => kept.get(key), set: (key, value) => kept.set(key, value) };
const run = new Function("msg", "context", code);
console.log(JSON.stringify(messages.map((msg) => run(msg, context) ?? null)));
"""


def of_type(kind: str) -> list[dict[str, Any]]:
    return [node for node in FLOW if node["type"] == kind]


def run(name: str, *messages: dict[str, Any]) -> list[Any]:
    """What a function node returns for one message after another."""
    if shutil.which("node") is None:
        pytest.skip("no node to run the functions with: apt-get install nodejs")
    (code,) = [node["func"] for node in of_type("function") if node["name"] == name]
    done = subprocess.run(["node", "-e", RUN], input=json.dumps([code, messages]), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def test_all_nodes_hang_together() -> None:
    ids = [node["id"] for node in FLOW]
    assert len(set(ids)) == len(ids)
    (tab,), (broker,) = of_type("tab"), of_type("mqtt-broker")
    wired = {target for node in FLOW for output in node.get("wires", []) for target in output}
    for node in FLOW:
        if node not in (tab, broker):
            assert node["z"] == tab["id"] and wired <= set(ids)
        if node["type"].startswith("mqtt "):
            assert node["broker"] == broker["id"] and node["qos"] == "1"
        if node["type"] in ("function", "debug", "mqtt out"):
            assert node["id"] in wired, f"{node['name']} gets nothing"
    assert broker["protocolVersion"] == "5"


def test_the_topics_are_those_of_the_contract() -> None:
    line = STATION.prefix.rsplit("/", 1)[0]
    heard = {f"{line}/+/verdict", f"{line}/+/defect", f"{line}/+/status", STATION.reply}
    assert {node["topic"] for node in of_type("mqtt in")} == heard
    assert [node["topic"] for node in of_type("mqtt out")] == [STATION.command]
    assert all(node["datatype"] == "json" for node in of_type("mqtt in"))
    assert {node["payload"] for node in of_type("inject")} <= set(VERBS)


def test_repeats_are_dropped() -> None:
    messages = [{"payload": {"id": identity}} for identity in "abacb"]
    assert [kept and kept["payload"]["id"] for kept in run("drop repeats", *messages)] == ["a", "b", None, "c", None]


def test_a_part_becomes_a_line() -> None:
    verdicts = [json.loads(each.to_json()) for each in examples()["verdict"]]  # type: ignore[attr-defined]
    lines = [
        each["payload"]
        for each in run("one line a part", *[{"topic": STATION.verdict, "payload": each} for each in verdicts])
    ]
    assert "station1  SN-000123  rejected" in lines[0] and "score 0.813 of 0.510" in lines[0]
    assert "rejected (view_missing)" in lines[1] and lines[1].endswith("right: no verdict within 2 s")


def test_a_command_is_one_that_a_station_takes() -> None:
    made = [
        each["payload"] for each in run("command with an id", *[{"payload": verb} for verb in ("pause", "snapshot")])
    ]
    commands = [parse_command(json.dumps(each).encode()) for each in made]
    assert [command.command for command in commands] == ["pause", "snapshot"]
    assert len({command.id for command in commands}) == 2


def test_node_red_runs_the_flow(tmp_path: Path, broker: Broker, subscriber: Subscriber) -> None:
    if shutil.which("node-red") is None:
        pytest.skip("no node-red to run the flow in: npm install -g node-red")
    port = free_port()
    flow = [
        each | ({"port": str(broker.port)} if each["type"] == "mqtt-broker" else {})
        | ({"console": True} if each["type"] == "debug" else {})
        for each in FLOW
    ]  # fmt: skip
    (tmp_path / "flow.json").write_text(json.dumps(flow))
    (tmp_path / "settings.js").write_text(f'module.exports = {{ uiHost: "127.0.0.1", uiPort: {port} }};')
    command = ["node-red", "--userDir", str(tmp_path), str(tmp_path / "flow.json")]
    with (tmp_path / "told").open("wb") as out, Process(command, tmp_path / "said", stdout=out):

        def told() -> str:
            return (tmp_path / "told").read_text(errors="replace")

        wait_until(lambda: "Connected to broker" in told(), PATIENCE, "node-red is connected")
        verdict = examples()["verdict"][0].to_json()  # type: ignore[attr-defined]
        for _ in range(2):
            subscriber.publish(STATION.verdict, verdict)
        wait_until(lambda: "station1  SN-000123  rejected" in told(), PATIENCE, "the part is shown")
        asked = urllib.request.Request(f"http://127.0.0.1:{port}/inject/ei-pause", data=b"{}", method="POST")
        with urllib.request.urlopen(asked, timeout=PATIENCE):
            pass
        wait_until(lambda: subscriber.payloads("command"), PATIENCE, "the command is sent")
        assert told().count("SN-000123") == 1
    assert parse_command(json.dumps(subscriber.payloads("command")[0]).encode()).command == "pause"
