"""What tests of the outbox share: messages to put in, and what came out."""

from __future__ import annotations

import json
from collections.abc import Callable

from edge_inspect.edge.outbox import Kind, Outbox, Outgoing

Make = Callable[[int], list[Outgoing]]
# Two of these are 200 bytes with their topic.
PAYLOAD = b"{" + b" " * 93 + b"}"


def message(kind: Kind = "verdict", payload: bytes = PAYLOAD) -> Outgoing:
    return Outgoing("topic", payload, kind)


def one(kind: Kind = "verdict") -> Make:
    return lambda sequence: [message(kind)]


def both(sequence: int) -> list[Outgoing]:
    text = json.dumps({"sequence": sequence}).encode()
    return [Outgoing("v", text, "verdict"), Outgoing("d", text, "defect")]


def sequences(outbox: Outbox, station: str = "a") -> list[int]:
    return [entry.sequence for entry in outbox.pending(station, 0, 10_000)]
