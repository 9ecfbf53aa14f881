"""The contract as documents for readers of other languages: JSON Schema, AsyncAPI, and an example of each message.

    python -m edge_inspect.edge.contract.schema docs/mqtt        writes them; a test compares them with the models

Everything in them comes from the models in edge/contract/.
"""

from __future__ import annotations

import argparse
import inspect
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel

from edge_inspect.edge.contract.command_guide import guide
from edge_inspect.edge.contract.commands import (
    COMMANDS,
    BundleChange,
    ChangeBundle,
    Command,
    GoShadow,
    Pause,
    Reply,
    Resend,
    Resume,
    SequenceRange,
    SetThreshold,
    Snapshot,
    ThresholdChange,
    Trigger,
)
from edge_inspect.edge.contract.fields import CONTRACT_VERSION
from edge_inspect.edge.contract.health import (
    CommandCounts,
    DriftHealth,
    EvidenceHealth,
    FrameCounts,
    Health,
    LatencyPercentiles,
    MqttHealth,
    OutboxHealth,
    PictureChangeHealth,
    PictureHealth,
    RefusalCounts,
    RejectHealth,
    ShadowHealth,
    StageHealth,
)
from edge_inspect.edge.contract.messages import BundleReference, Defect, FrameSize, Message, Region, Status, Verdict
from edge_inspect.edge.contract.topics import TOPIC_ROOT
from edge_inspect.edge.files import write_atomically

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MESSAGES: dict[str, type[Message]] = {
    "verdict": Verdict,
    "defect": Defect,
    "status": Status,
    "health": Health,
    "reply": Reply,
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
        "channels": {name: _channel(name) for name in [*CHANNELS, "image"]},
        "operations": {name: _operation(name, channel) for name, channel in CHANNELS.items()}
        | {"image": _operation("image", Channel("The picture that the command snapshot asked for.", 0, False))},
        "components": {"messages": {name: _message(name) for name in CHANNELS} | {"image": _image()}},
    }


def _channel(name: str) -> dict[str, Any]:
    levels = {"site": "name of the plant", "line": "name of the line", "station": "name of the station on the line"}
    if name == "image":
        levels["id"] = "id of the command snapshot"
    address = f"{TOPIC_ROOT}/{{site}}/{{line}}/{{station}}/{name}"
    return {
        "address": address + ("/{id}" if name == "image" else ""),
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


def _image() -> dict[str, Any]:
    return {"name": "image", "contentType": "image/jpeg", "payload": {"type": "string", "format": "binary"}}


def examples() -> dict[str, list[BaseModel]]:
    """Return examples of each message, by the last level of its topic."""
    head: dict[str, Any] = {"boot_id": "0b4c3a52-6b3f-4b8e-9f0e-3f6f2a7c1d55"}
    at = datetime(2026, 11, 22, 14, 30, 5, 120_000, tzinfo=timezone.utc)
    bundle = BundleReference(name="bottle-v3", digest="9f2c" * 16)
    verdict = Verdict(
        **head,
        id=_id(1),
        sequence=4711,
        part_id="SN-000123",
        captured_at=at,
        decided_at=at.replace(microsecond=163_250),
        ok=False,
        score=0.8125,
        threshold=0.51,
        bundle=bundle,
        precision="int8",
        engine="openvino",
        latency_ms=43.25,
        frame=FrameSize(width=640, height=480),
    )
    region = Region(bbox=(212, 96, 40, 31), area_px=806, area_mm2=11.6, peak=0.8125, centroid=(231.5, 110.25))
    health = Health(
        **head,
        id=_id(4),
        sequence=4711,
        at=at,
        uptime_s=86_400.5,
        frames=FrameCounts(inspected=4711, accepted=4689, rejected=22, dropped=0),
        fps=9.98,
        latency_ms=LatencyPercentiles(p50=42.1, p95=48.9, p99=61.0),
        outbox=OutboxHealth(entries=0, bytes=0, dropped_verdicts=0, dropped_defects=0),
        mqtt=MqttHealth(connected=True, reconnects=1),
        commands=CommandCounts(done=3, refused=RefusalCounts(replayed=1)),
        engine="openvino",
        precision="int8",
        bundle=bundle,
        threshold=0.51,
        stages={
            "camera": StageHealth(state="working", seconds=0.03, progress=4712),
            "engine": StageHealth(state="working", seconds=0.01, progress=4711),
            "outbox": StageHealth(state="idle", seconds=0.06, progress=4711, reason="nothing to store"),
        },
        picture=PictureHealth(
            level=52.1,
            saturated=0.002,
            sharpness=0.21,
            changes=PictureChangeHealth(
                light=-0.15, light_limit=0.1, focus=0.02, focus_limit=0.25, position=0.001, position_limit=0.05
            ),
        ),
        drift=DriftHealth(shift=0.82, limit=0.55),
        rejects=RejectHealth(share=0.09, usual=0.05, evidence=6.2, limit=13.8),
        cause="light",
        remedy="the picture is 15 % darker than before; check the lamp, the exposure, and light from other sources",
        warnings=("light_changed", "score_drift"),
        disk_free_bytes=21_474_836_480,
        throttled=False,
        temperature_c=58.5,
        evidence=EvidenceHealth(saved=31, dropped=0, bytes=28_311_552),
    )
    return {
        "verdict": [verdict],
        "defect": [Defect.of(verdict, (region,))],
        "status": [
            Status(**head, id=_id(2), sequence=0, state="online", at=at, version="0.2.0"),
            Status(**head, id=_id(3), sequence=4711, state="offline", at=at, reason="connection lost", version="0.2.0"),
        ],
        "health": [health],
        "command": _commands(),
        "reply": _replies(head, at),
    }


def _commands() -> list[BaseModel]:
    return [
        Trigger(id=_id(5), command="trigger", part_id="SN-000124", by="plc-1"),
        Pause(id=_id(6), command="pause", by="hmi-2"),
        Resume(id=_id(7), command="resume", by="hmi-2"),
        SetThreshold(id=_id(8), command="threshold", value=0.55, by="hmi-2"),
        Snapshot(id=_id(9), command="snapshot"),
        Resend(id=_id(10), command="resend", from_sequence=4650, by="mes"),
        ChangeBundle(id=_id(15), command="bundle", name="bottle-v4.zip", by="mes"),
        ChangeBundle(id=_id(16), command="bundle", name=None, by="hmi-2"),
        GoShadow(id=_id(18), command="shadow", parts=2000, by="hmi-2"),
    ]


def _replies(head: dict[str, Any], at: datetime) -> list[BaseModel]:
    head = {**head, "sequence": 4711, "at": at}
    change = ThresholdChange(before=0.51, after=0.55, bundle=0.51)
    range_ = SequenceRange(first=4650, last=4711)
    shadow = ShadowHealth(parts=0, wanted=2000, above=0)
    bundles = BundleChange(
        before=BundleReference(name="bottle-v3", digest="9f2c" * 16),
        after=BundleReference(name="bottle-v4", digest="41d7" * 16),
    )
    return [
        Reply(**head, id=_id(11), command_id=_id(5), command="trigger", done=True),
        Reply(**head, id=_id(12), command_id=_id(8), command="threshold", done=True, threshold=change),
        Reply(**head, id=_id(13), command_id=_id(10), command="resend", done=True, resend=range_),
        Reply(**head, id=_id(17), command_id=_id(15), command="bundle", done=True, bundle=bundles),
        Reply(**head, id=_id(19), command_id=_id(18), command="shadow", done=True, shadow=shadow),
        Reply(
            **head,
            id=_id(14),
            command_id=_id(6),
            command="pause",
            done=False,
            refusal="replayed",
            reason="its id was used before; give every command an id of its own",
        ),
    ]


def _id(number: int) -> str:
    return f"019f2b1c-7e40-7000-8000-{number:012x}"


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
