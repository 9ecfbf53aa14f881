"""The contract as documents for readers of other languages: JSON Schema, AsyncAPI, and an example of each message.

    python -m edge_inspect.edge.contract.schema docs/mqtt        writes them; a test compares them with the models

Everything in them comes from the models in edge/contract/.
"""

from __future__ import annotations

import argparse
import inspect
import json
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from edge_inspect.edge.contract.command_guide import guide
from edge_inspect.edge.contract.commands import COMMANDS, Command
from edge_inspect.edge.contract.examples import examples
from edge_inspect.edge.contract.fields import CONTRACT_VERSION
from edge_inspect.edge.contract.health import Health
from edge_inspect.edge.contract.messages import Defect, LabelMessage, Payload, Status, Verdict
from edge_inspect.edge.contract.replies import Reply
from edge_inspect.edge.contract.topics import TOPIC_ROOT
from edge_inspect.edge.files import write_atomically

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MESSAGES: dict[str, type[Payload]] = {
    "verdict": Verdict,
    "defect": Defect,
    "status": Status,
    "health": Health,
    "reply": Reply,
    "label": LabelMessage,
}


class Channel(NamedTuple):
    """Use of a topic: what is published there, QoS, whether it is retained, and in which direction."""

    summary: str
    qos: int
    retain: bool
    to_station: bool = False


CHANNELS = {
    "verdict": Channel("The verdict on every part.", 1, False),
    "defect": Channel("Every rejected part: its verdict, with the same id and sequence, and the regions.", 1, False),
    "status": Channel("The state of the station. The last will is published here too.", 1, True),
    "health": Channel("The condition of the station: counts, latency, faults and warnings.", 0, True),
    "command": Channel("Commands to the station.", 1, False, to_station=True),
    "reply": Channel("The answer to a command. Every command is answered.", 1, False),
    "label": Channel(
        "The word of a person about a part. The page (`edge-inspect page`) publishes it, not the station. The newest "
        "message about a part counts.",
        1,
        False,
    ),
}


class PictureChannel(NamedTuple):
    """Use of a topic below which pictures are published, with QoS 0: one topic for each."""

    summary: str
    content_type: str
    identity: str
    """Meaning of the topic's last level."""


PICTURE_CHANNELS = {
    "image": PictureChannel(
        "The picture that the command `snapshot` asked for, or, with the setting `pictures`, the frame of a part.",
        "image/jpeg",
        "id of the command `snapshot`, or of the part's verdict",
    ),
    "map": PictureChannel(
        "With the setting `pictures`, the anomaly map of a part in the plane of its frame. Stretched over the frame it "
        "lies in register. Grey levels: 0 is the score 0, 128 the threshold, 255 twice the threshold or more.",
        "image/png",
        "id of the part's verdict",
    ),
}


def json_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema (2020-12) of each message, by the last level of its topic."""
    schemas = {name: model.model_json_schema(mode="serialization") for name, model in _MESSAGES.items()}
    schemas["command"] = {"title": "Command", **COMMANDS.json_schema(mode="validation")}
    # This is OpenAPI's keyword, which strict validators do not know. Every branch names its command as a const anyway.
    del schemas["command"]["discriminator"]
    return {name: {"$schema": _DIALECT, **schemas[name]} for name in CHANNELS}


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document, from the station's point of view. It refers to the JSON Schemas beside it."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "edge-inspect",
            "version": f"{CONTRACT_VERSION}.0.0",
            "description": "Verdicts of a visual inspection station over MQTT. Delivery is at least once and in order. "
            "A gap in a station's sequence numbers means that a message was lost. A repeat has the same id as the "
            "first message.",
        },
        "defaultContentType": "application/json",
        "channels": {name: _channel(name) for name in [*CHANNELS, *PICTURE_CHANNELS]},
        "operations": {name: _operation(name, channel) for name, channel in CHANNELS.items()}
        | {name: _operation(name, Channel(channel.summary, 0, False)) for name, channel in PICTURE_CHANNELS.items()},
        "components": {
            "messages": {name: _message(name) for name in CHANNELS}
            | {name: _picture(name) for name in PICTURE_CHANNELS}
        },
    }


def _channel(name: str) -> dict[str, Any]:
    levels = {"site": "name of the plant", "line": "name of the line", "station": "name of the station on the line"}
    if name in PICTURE_CHANNELS:
        levels["id"] = PICTURE_CHANNELS[name].identity
    address = f"{TOPIC_ROOT}/{{site}}/{{line}}/{{station}}/{name}"
    return {
        "address": address + ("/{id}" if name in PICTURE_CHANNELS else ""),
        "parameters": {level: {"description": text} for level, text in levels.items()},
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
    }


def _operation(name: str, channel: Channel) -> dict[str, Any]:
    return {
        "action": "receive" if channel.to_station else "send",
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": channel.summary,
        "bindings": {"mqtt": {"qos": channel.qos, "retain": channel.retain, "bindingVersion": "0.2.0"}},
    }


def _message(name: str) -> dict[str, Any]:
    schema = {"$ref": f"./{name}.schema.json"}
    return {
        "name": name,
        "contentType": "application/json",
        "payload": {"schemaFormat": "application/schema+json;version=2020-12", "schema": schema},
    }


def _picture(name: str) -> dict[str, Any]:
    content_type = PICTURE_CHANNELS[name].content_type
    return {"name": name, "contentType": content_type, "payload": {"type": "string", "format": "binary"}}


def documents() -> dict[str, str]:
    """Return the content of every document, by file name."""
    schemas = {f"{name}.schema.json": json.dumps(schema, indent=2) + "\n" for name, schema in json_schemas().items()}
    return {
        **schemas,
        "asyncapi.yaml": yaml.safe_dump(asyncapi(), sort_keys=False, allow_unicode=True, width=120),
        "README.md": _readme(),
    }


def _readme() -> str:
    parts = [
        "# The MQTT contract, version 1\n\nThis page is generated from the models in `edge/contract/` by\n"
        "`python -m edge_inspect.edge.contract.schema docs/mqtt`; do not edit it. [asyncapi.yaml](asyncapi.yaml)\n"
        "describes the topics, the files `*.schema.json` describe the payloads of this release. A receiver should\n"
        "ignore fields that it does not know, because a later release may add fields.\n\n"
        f"All topics begin with `{TOPIC_ROOT}/<site>/<line>/<station>/`.\n"
    ]
    for name, found in examples().items():
        channel = CHANNELS[name]
        retained = ", retained" if channel.retain else ""
        parts.append(
            f"\n## `{name}` (QoS {channel.qos}{retained})\n\n{channel.summary} Schema: "
            f"[{name}.schema.json]({name}.schema.json)\n"
        )
        if name == "command":
            parts.append(guide())
        for example in found:
            about = f"\n`{example.command}`: {inspect.getdoc(example)}\n" if isinstance(example, Command) else ""
            text = json.dumps(example.model_dump(mode="json"), indent=2, ensure_ascii=False)
            parts.append(f"{about}\n```json\n{text}\n```\n")
    for name, pictures in PICTURE_CHANNELS.items():
        parts.append(f"\n## `{name}/<id>` (QoS 0)\n\n{pictures.summary} Content: `{pictures.content_type}`. ")
        parts.append(f"`<id>`: {pictures.identity}.\n")
    return "".join(parts)


def main() -> None:
    """Write the documents into the folder that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m edge_inspect.edge.contract.schema",
        description="Writes the documents of the MQTT contract: JSON Schemas, AsyncAPI and a page of examples.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder to write to, usually docs/mqtt")
    folder = parser.parse_args().folder
    for name, text in documents().items():
        write_atomically(folder / name, text.encode())


if __name__ == "__main__":
    main()
