"""The committed documents are what the models say, and the examples in them are messages."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_inspect.edge.contract.commands import COMMANDS, VERBS
from edge_inspect.edge.contract.examples import examples
from edge_inspect.edge.contract.health import Health
from edge_inspect.edge.contract.messages import Defect, LabelMessage, Status, Verdict
from edge_inspect.edge.contract.replies import Reply
from edge_inspect.edge.contract.schema import CHANNELS, PICTURE_CHANNELS, asyncapi, documents, main
from edge_inspect.edge.contract.topics import Topics

FOLDER = Path(__file__).parents[3] / "docs" / "mqtt"
MODELS: dict[str, Any] = {
    "verdict": Verdict,
    "defect": Defect,
    "status": Status,
    "health": Health,
    "reply": Reply,
    "label": LabelMessage,
}


def parsed(name: str, text: str) -> Any:
    """What a document says, however it is laid out."""
    if name.endswith(".json"):
        return json.loads(text)
    return yaml.safe_load(text) if name.endswith(".yaml") else text


@pytest.mark.parametrize("name", documents())
def test_the_committed_documents_match_the_models(name: str) -> None:
    committed = (FOLDER / name).read_text(encoding="utf-8")
    assert parsed(name, committed) == parsed(name, documents()[name]), (
        "run: python -m edge_inspect.edge.contract.schema docs/mqtt"
    )


def test_no_other_document_is_there() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(documents())


def test_an_option_is_no_folder_to_write_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["schema", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert "DIR" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", CHANNELS)
def test_the_examples_are_messages_of_the_contract(name: str) -> None:
    for example in examples()[name]:
        text = example.model_dump_json()
        again = COMMANDS.validate_json(text) if name == "command" else MODELS[name].model_validate_json(text)
        assert again == example


@pytest.mark.parametrize("arguments", [["--help"], [], ["--folder"]])
def test_an_option_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["schema", *arguments])
    with pytest.raises(SystemExit):
        main()
    assert not list(tmp_path.iterdir())


def test_there_is_an_example_of_every_command() -> None:
    assert {json.loads(example.model_dump_json())["command"] for example in examples()["command"]} == set(VERBS)


def test_the_channels_are_the_topics_and_everything_they_refer_to_is_there() -> None:
    document = asyncapi()
    topics = Topics("{site}", "{line}", "{station}")
    for name, channel in document["channels"].items():
        address = getattr(topics, name)
        assert channel["address"] == (address("{id}") if name in PICTURE_CHANNELS else address)
        assert channel["messages"][name]["$ref"] == f"#/components/messages/{name}"
        assert name in document["components"]["messages"]
        assert document["operations"][name]["channel"]["$ref"] == f"#/channels/{name}"
    for message in document["components"]["messages"].values():
        reference = message["payload"].get("schema", {}).get("$ref")
        assert reference is None or (FOLDER / reference).is_file()
    assert [name for name, use in document["operations"].items() if use["action"] == "receive"] == ["command"]
