"""What tests of the OPC UA server share: its configuration, parts as it reads them, and clients."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from bridge_parts import defect, verdict
from mosquitto import free_port
from page_server import PASSWORDS, write_everybody

from edge_inspect.edge.opcua.received_messages import ReceivedPart
from edge_inspect.edge.opcua.settings import OpcuaSettings

KEY = "plant/line1/a"
PATIENCE = 60.0


def part(
    sequence: int, *, ok: bool = True, areas: tuple[int, ...] | None = (100,), at: datetime | None = None, **more: Any
) -> ReceivedPart:
    """A part as the server reads it: a rejected one with its regions, or without where `areas` is None."""
    made = verdict(sequence, ok=ok)
    if at is not None:
        made = made.model_copy(update={"decided_at": at})
    text = (made if ok or areas is None else defect(made, *areas)).to_json()
    return ReceivedPart.model_validate_json(json.dumps(json.loads(text) | more))


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def write_opcua(folder: Path, broker_port: int, **more: Any) -> tuple[Path, OpcuaSettings]:
    """Writes a configuration with three users, one of each role; returns it and its content."""
    users = folder / "users.yaml"
    if not users.exists():
        write_everybody(users)
    fields = {
        "mqtt": {"host": "127.0.0.1", "port": broker_port, "backoff_cap_s": 0.5},
        "listen": {"port": free_port(), **more.pop("listen", {})},
        "users": str(users),
        "data": str(folder / "data"),
        **more,
    }
    path = folder / "opcua.yaml"
    path.write_text(yaml.safe_dump(fields))
    return path, OpcuaSettings.model_validate_json(json.dumps(fields))


__all__ = ["KEY", "PASSWORDS", "PATIENCE", "part", "seconds", "write_opcua"]
