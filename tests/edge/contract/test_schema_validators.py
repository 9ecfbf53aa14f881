"""The committed schemas in ajv's strict mode, against every example and our own parser; AsyncAPI by its own parser."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from node_modules import node_program

from edge_inspect.edge.contract.commands import Refused, parse_command
from edge_inspect.edge.contract.examples import examples
from edge_inspect.edge.contract.schema import CHANNELS, PICTURE_CHANNELS

FOLDER = Path(__file__).parents[3] / "docs" / "mqtt"
ID = "019f2b1c-7e40-7000-8000-0123456789ab"
COMMANDS: list[dict[str, Any]] = [
    {"command": "pause", "id": ID},
    {"command": "pause", "id": ID.upper()},
    {"command": "pause", "id": ID, "contract": 1.0},
    {"command": "pause", "id": ID, "by": None},
    {"command": "pause", "id": ID, "by": "x" * 64},
    {"command": "trigger", "id": ID, "part_id": "Ü" * 256},
    {"command": "threshold", "id": ID, "value": 1},
    {"command": "threshold", "id": ID, "value": None},
    {"command": "resend", "id": ID, "from_sequence": 7300.0},
    {"command": "resend", "id": ID, "from_sequence": 1, "to_sequence": 9e3},
    {"command": "bundle", "id": ID, "name": None},
    {"command": "pause", "id": ID, "contract": 2},
    {"command": "pause", "id": ID, "contract": True},
    {"command": "pause", "id": ID, "contract": "1"},
    {"command": "pause", "id": ID, "more": 1},
    {"command": "pause", "id": ID.replace("-7", "-4", 1)},
    {"command": "pause", "id": ID + "\n"},
    {"command": "pause", "id": ID.replace("-", "")},
    {"command": "pause", "id": None},
    {"command": "pause", "id": ID, "by": "x" * 65},
    {"command": "pause"},
    {"command": "fly", "id": ID},
    {"command": None, "id": ID},
    {"id": ID},
    {"command": "trigger", "id": ID, "part_id": 7},
    {"command": "threshold", "id": ID},
    {"command": "threshold", "id": ID, "value": "1"},
    {"command": "threshold", "id": ID, "value": True},
    {"command": "resend", "id": ID, "from_sequence": 7.5},
    {"command": "resend", "id": ID, "from_sequence": 0},
    {"command": "resend", "id": ID, "from_sequence": True},
    {"command": "resend", "id": ID, "from_sequence": 2.0**54},
    {"command": "bundle", "id": ID, "name": ""},
]


def ajv(instances: dict[str, list[Any]]) -> dict[str, list[list[str]]]:
    """The errors of each instance by the schema of its name."""
    program = [*node_program("schemas.mjs"), str(FOLDER)]
    done = subprocess.run(program, input=json.dumps(instances), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told: dict[str, list[list[str]]] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("name", CHANNELS)
def test_ajv_compiles_the_schema_strictly_and_takes_the_examples(name: str) -> None:
    found = [example.model_dump(mode="json") for example in examples()[name]]
    assert ajv({name: found})[name] == [[] for _ in found]
    for example in found:
        del example["id"]
    assert all(ajv({name: found})[name]), "an instance without its id must not be taken"


def test_a_command_is_read_if_its_schema_takes_it() -> None:
    taken = [not errors for errors in ajv({"command": COMMANDS})["command"]]
    assert any(taken) and not all(taken)
    for command, by_schema in zip(COMMANDS, taken, strict=True):
        try:
            parse_command(json.dumps(command).encode())
        except Refused as refused:
            assert not by_schema, f"{command}: the schema takes it, the station says: {refused}"
        else:
            assert by_schema, f"{command}: the station takes it, the schema does not"


def test_the_asyncapi_document_is_one() -> None:
    program = [*node_program("asyncapi.mjs"), str(FOLDER / "asyncapi.yaml")]
    done = subprocess.run(program, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    # That there is a newer version of AsyncAPI is no fault.
    assert [one for one in told["diagnostics"] if one["code"] != "asyncapi-latest-version"] == []
    assert len(told["channels"]) == len(CHANNELS) + len(PICTURE_CHANNELS)
