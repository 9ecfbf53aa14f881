"""How to send a command to a station by hand: a section of docs/mqtt/README.md, with the fields of the models."""

from __future__ import annotations

from edge_inspect.edge.contract.commands import MODELS

_TEXT = r"""
Every command needs `command` and `id`. Optional fields may be left out.

TABLE

The `id` is a UUIDv7 (RFC 9562): its first 48 bits are the time in milliseconds since 1970. That time must be the
present by the clocks of both sender and box, within `commands.max_age_s`. Use each `id` only once. The station accepts
capital letters, and the reply repeats the `id` as it was sent. There are three ways to make one:

```sh
edge-inspect command pause --config /etc/edge-inspect/config.yaml     # makes the id, prints the reply
```

```sh
id=$(printf '%012x%s' "$(date +%s)000" "$(od -An -N10 -tx1 /dev/urandom | tr -d ' \n')" |
  sed -E 's/(.{8})(.{4})(.{3})(.{3})(.{12}).*/\1-\2-7\3-8\4-\5/')
mosquitto_pub -q 1 -t 'edge-inspect/v1/plant1/line1/station1/command' -m '{"command": "pause", "id": "'$id'"}'
```

```python
import os, time, uuid  # Python 3.14 and newer have uuid.uuid7()

number = int(time.time() * 1000) << 80 | int.from_bytes(os.urandom(10), "big")
id = str(uuid.UUID(int=number & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62))
```

**The reply** comes on the topic `reply`. Its `command_id` says which command it answers. A sender that uses MQTT 5 may
set a response topic. The station then publishes the reply to that topic too, with QoS 0 and the command's correlation
data. The broker's access list must let the station write there. Below `edge-inspect/v1/`, the station accepts only
response topics under its own `reply/`. A refused command is answered with `done: false`, the kind of refusal in
`refusal`, and the remedy in `reason`:

| `refusal` | what to do |
|---|---|
| `malformed`, `oversized` | correct the payload as the reason says |
| `unauthorised` | add the command to `commands.allow` in the station's configuration |
| `expired` | send the command again with a new id; if the id was new, one clock is wrong: the reason gives both times |
| `replayed` | give every command a new id, and do not publish it as a retained message |
| `busy` | send the command again later, with a new id |
| `impossible` | change what the reason names |
"""


def guide() -> str:
    """Return the section as Markdown."""
    rows = ["| command | required | optional |", "|---|---|---|"]
    for verb, model in MODELS.items():
        fields = {name: field.is_required() for name, field in model.model_fields.items()}
        needed = [f"`{name}`" for name, is_needed in fields.items() if is_needed and name not in ("command", "id")]
        optional = [f"`{name}`" for name, is_needed in fields.items() if not is_needed]
        rows.append(f"| `{verb}` | {', '.join(needed)} | {', '.join(optional)} |")
    return _TEXT.replace("TABLE", "\n".join(rows))
