"""What an independent client, node-opcua, sees of a station and may do: types, states, methods, events, history."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from opcua_parts import KEY, PATIENCE, PREFIX, Served
from replier import Replier

INSPECTION = f"{PREFIX}.Inspection"
MODE = f"{PREFIX}.VisionStateMachine.AutomaticModeStateMachine"
LATEST = f"{PREFIX}.ResultManagement.Results.LatestResult"
EMPTY = ("ns=2;i=3015", "ns=2;i=3004", "ns=2;i=3002", "ns=2;i=3003")
"""The data types of the identifiers that StartSingleJob takes: MeasId, PartId, RecipeId, ProductId."""


def read(*nodes: str) -> dict[str, Any]:
    return {"do": "read", "nodes": list(nodes)}


def call(method: str, *inputs: dict[str, Any]) -> dict[str, Any]:
    return {"do": "call", "object": method.rpartition(".")[0], "method": method, "inputs": list(inputs)}


def structure(data_type: str, identity: str) -> dict[str, Any]:
    return {"structure": data_type, "value": {"id": identity}}


def number(kind: str, value: int) -> dict[str, Any]:
    return {"type": kind, "value": value}


def test_types_states_results_history_and_methods(served: Served) -> None:
    made = served.station.inspect(2, ok=False, part_id="SN-9")

    def answer(command: dict[str, Any]) -> dict[str, Any]:
        if command["command"] == "trigger":
            return {"done": False, "refusal": "impossible", "reason": "this station has another trigger"}
        return {}

    with Replier(served.broker, served.station, answer) as replier:
        results = served.node(
            {"do": "endpoints"},
            {"do": "children", "node": PREFIX},
            {"do": "children", "node": f"{PREFIX}.VisionStateMachine"},
            read(f"{PREFIX}.VisionStateMachine.CurrentState", f"{PREFIX}.VisionStateMachine.CurrentState.Id"),
            read(f"{MODE}.CurrentState", f"{MODE}.CurrentState.Number", f"{PREFIX}.SystemState", LATEST),
            {"do": "history", "node": f"{INSPECTION}.Score"},
            {"do": "history", "node": LATEST, "count": 1},
            call(f"{INSPECTION}.Pause"),
            call(f"{INSPECTION}.Trigger", {"type": "String", "value": "SN-1"}),
            call(
                f"{MODE}.StartSingleJob",
                *(structure(each, "SN-5" if each == EMPTY[1] else "") for each in EMPTY),
                {"type": "Variant", "value": None},
            ),
            call(f"{MODE}.Stop", number("Int32", 0), {"type": "String", "value": ""}),
            call(f"{PREFIX}.ResultManagement.GetResultById", structure("ns=2;i=3021", made.id), number("Int32", 0)),
            call(f"{PREFIX}.ResultManagement.GetResultById", structure("ns=2;i=3021", "none"), number("Int32", 0)),
            {"do": "write", "node": f"{INSPECTION}.Score", "type": "Double", "value": 1.0},
        )
    endpoints, children, machine, states, more, scores, latest, *called = results
    assert [each["policy"] for each in endpoints] == ["Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"]
    assert {each["mode"] for each in endpoints} == {"SignAndEncrypt"}
    assert [each["tokens"] for each in endpoints] == [["UserName"]] * 3
    types = {each["name"]: each["type"] for each in children}
    assert types["VisionStateMachine"] == "ns=2;i=1017" and types["RecipeManagement"] == "ns=2;i=1004"
    assert types["ResultManagement"] == "ns=2;i=1007" and types["Inspection"] == "ns=3;i=1001"
    names = {each["name"] for each in machine}
    assert names >= {"CurrentState", "Halt", "Reset", "Halted", "Error", "Operational", "AutomaticModeStateMachine"}
    assert states[0]["value"]["text"] == "Operational" and states[1]["value"] == "ns=2;i=5031"
    assert more[0]["value"]["text"] == "ContinuousExecution" and more[1]["value"] == 8
    assert more[2]["value"] == {"state": 1, "stateDescription": "production"}
    assert more[3]["value"]["resultId"]["id"] == made.id and more[3]["value"]["partId"]["id"] == "SN-9"
    assert [each["value"] for each in scores["values"]] == [0.75, 0.75]
    assert len(latest["values"]) == 1 and latest["values"][0]["value"]["partId"]["id"] == "SN-9"
    paused, refused, single, stopped, found, unknown, written = called
    assert paused == {"status": "Good", "outputs": [0, ""]}
    assert refused == {"status": "Good", "outputs": [-3, "this station has another trigger"]}
    assert single["outputs"][1] == -3 and stopped["outputs"] == [0]
    assert found["outputs"][1]["resultId"]["id"] == made.id and found["outputs"][2] == 0
    assert unknown["outputs"][2] == -9
    assert "BadUserAccessDenied" in written["error"]
    heard = [(each["command"], each.get("part_id")) for each in replier.heard]
    assert heard == [("pause", None), ("trigger", "SN-1"), ("trigger", "SN-5"), ("pause", None)]
    assert single["outputs"][0]["id"] == replier.heard[2]["id"]


def test_events_and_conditions_come_to_a_subscription(served: Served) -> None:
    fields = ["EventType", "SourceName", "Message", "Severity", "2:ResultId", "ToState", "ToState.Id", "ConditionName"]
    step = {
        "do": "subscribe",
        "events": "i=2253",
        "fields": [*fields, "Retain", "Time"],
        "values": [f"{INSPECTION}.Sequence"],
        "wanted": {"events": 6, "values": 3},
    }
    command = served.node_command(step, user="vera", policy="Aes256_Sha256_RsaPss")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as listening:
        assert listening.stderr is not None
        for line in listening.stderr:
            if line == "subscribed\n":
                break
        accepted = served.station.inspect(1)
        rejected = served.station.inspect(1, ok=False)
        served.station.begin("paused", warnings=("dark",), remedy="check the lamp")
        served.station.begin("online")
        said, _ = listening.communicate(timeout=2 * PATIENCE)
    got = json.loads(said.strip().splitlines()[-1])["results"][0]
    # node-opcua takes answers apart at the same time, and a short one may overtake a long one.
    events = sorted(got["events"], key=lambda each: str(each["Time"]))
    assert {each["SourceName"] for each in events} == {KEY}
    results = [each for each in events if each["EventType"] == "ns=2;i=1024"]
    assert [each["2:ResultId"]["id"] for each in results] == [accepted.id, rejected.id]
    changes = [each["ToState.Id"] for each in events if each["EventType"] == "ns=2;i=1018"]
    assert changes == ["ns=2;i=5057", "ns=2;i=5059"], "Ready, ContinuousExecution"
    conditions = [each for each in events if each["EventType"] == "ns=2;i=1034"]
    assert [(each["ConditionName"], each["Retain"]) for each in conditions] == [("dark", True), ("dark", False)]
    assert conditions[0]["Message"]["text"] == "dark: check the lamp" and conditions[0]["Severity"] == 500
    newest = sorted(each["value"][1] for each in got["values"])
    assert newest[-2:] == [accepted.sequence, rejected.sequence]


def test_wrong_users_are_refused(served: Served) -> None:
    look = read(f"{INSPECTION}.State")
    for login in ({"user": "otto", "password": "wrong"}, {"user": None}):
        results = served.node(look, **login)
        assert len(results) == 1 and "error" in results[0], results
    [refused] = served.node(call(f"{INSPECTION}.Pause"), user="vera")
    assert refused["status"] == "BadUserAccessDenied"


def test_without_encryption_nothing_is_read(served: Served) -> None:
    [refused] = served.node(read(f"{INSPECTION}.State"), policy="None")
    assert "End point must exist" in refused["error"]
