"""How to command a station by hand: a part of docs/mqtt/README.md, with what the models say."""

from __future__ import annotations

from edge_inspect.edge.contract.commands import MODELS

_TEXT = r"""
`command` and `id` are always needed. Optional fields may be left out.

TABLE

The `id` is a UUIDv7 (RFC 9562): its first 48 bits are the milliseconds since 1970. They must be of now by the clocks of
both sender and box (`commands.max_age_s`), and an id is used once. Capitals are read; the reply has the id as it was
sent. Three ways to make one:

```sh
edge-inspect command pause --config /etc/edge-inspect/config.yaml     # makes the id, prints the reply
```

```sh
id=$(printf '%012x%s' "$(date +%s)000" "$(od -An -N10 -tx1 /dev/urandom | tr -d ' \n')" |
  sed -E 's/(.{8})(.{4})(.{3})(.{3})(.{12}).*/\1-\2-7\3-8\4-\5/')
mosquitto_pub -q 1 -t 'edge-inspect/v1/plant1/line1/station1/command' -m '{"command": "pause", "id": "'$id'"}'
```

```python
import os, time, uuid  # from Python 3.14 on: uuid.uuid7()

number = int(time.time() * 1000) << 80 | int.from_bytes(os.urandom(10), "big")
id = str(uuid.UUID(int=number & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62))
```

**The reply** comes on the topic `reply`; its `command_id` says which command it answers. A requester that speaks MQTT 5
may give a response topic. The reply then goes there too, with QoS 0 and the command's correlation data; the broker's
access list must let the station write there. Below `edge-inspect/v1/`, only topics under the station's own `reply/` are
answered to. A refusal has `done: false`, its kind in `refusal` and the remedy in `reason`:

| `refusal` | what to do |
|---|---|
| `malformed`, `oversized` | mend the payload as the reason says |
| `unauthorised` | name the command in the configuration's `commands.allow` |
| `expired` | send a new command; if it was new, a clock is wrong: the reason says what both say |
| `replayed` | give every command an id of its own, and do not retain it |
| `busy` | ask again later |
| `impossible` | change what the reason names |
"""


def guide() -> str:
    """Return the text, as Markdown."""
    rows = ["| command | needed | optional |", "|---|---|---|"]
    for verb, model in MODELS.items():
        fields = {name: field.is_required() for name, field in model.model_fields.items()}
        needed = [f"`{name}`" for name, is_needed in fields.items() if is_needed and name not in ("command", "id")]
        optional = [f"`{name}`" for name, is_needed in fields.items() if not is_needed]
        rows.append(f"| `{verb}` | {', '.join(needed)} | {', '.join(optional)} |")
    return _TEXT.replace("TABLE", "\n".join(rows))
