"""The mistakes in a command, each as a sentence with its remedy."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from edge_inspect.edge.contract.fields import CONTRACT_VERSION

_EXAMPLE = 'send an object like {"command": "pause", "id": "a new UUIDv7"}'


def explain(mistake: Any, models: Mapping[str, type[BaseModel]]) -> str:
    """Return a sentence that says what is wrong with a field and what to send instead.

    Args:
        mistake: One of pydantic's `ValidationError.errors()`.
        models: The models of all commands, by their verbs.
    """
    kind, place, context = mistake["type"], mistake["loc"], mistake.get("ctx", {})
    where = ".".join(map(str, place)) or "payload"
    model = models.get(place[0]) if place else None
    field = model.model_fields.get(str(place[1])) if model is not None and len(place) > 1 else None
    if kind == "json_invalid":
        return f"{where}: is not JSON ({context['error']}); {_EXAMPLE}"
    if kind in ("union_tag_not_found", "model_attributes_type", "model_type", "dict_type"):
        return f"{where}: has no field `command`; {_EXAMPLE}, with one of {', '.join(models)}"
    if kind == "union_tag_invalid":
        return f"command: there is no command {context['tag'][:40]!r}; send one of {', '.join(models)}"
    if kind == "extra_forbidden" and model is not None:
        return f"{where}: unknown field; leave it out. {place[0]} has the fields {', '.join(model.model_fields)}"
    if kind == "missing" and field is not None:
        return f"{where}: is missing; add it ({field.description})"
    if kind == "literal_error" and place[-1] == "what":
        return f"{where}: send {context['expected']}"
    if kind == "literal_error":
        return f"{where}: this station uses contract {CONTRACT_VERSION}; send {CONTRACT_VERSION}, or leave it out"
    if kind == "string_pattern_mismatch":
        explain = _explain_digest if place[-1] == "digest" else _explain_id
        return f"{where}: {explain(mistake['input'])}"
    said = mistake["msg"].removeprefix("Value error, ")
    return f"{where}: {said[0].lower()}{said[1:]}"


def _explain_digest(text: str) -> str:
    found = "has capital letters" if text.lower() != text else f"has {len(text)} characters"
    return f"{found}; send the 64 digits 0-9 and a-f of the manifest's sha256, as calibrate show BUNDLE prints them"


def _explain_id(text: str) -> str:
    try:
        version = uuid.UUID(text).version if len(text) == 36 else None
    except ValueError:
        version = None
    found = f"is a UUID of version {version}" if version else "is not a UUID like 019f2b1c-7e40-7000-8000-0123456789ab"
    how = "`edge-inspect command` makes one, and docs/mqtt/README.md has a shell command that does"
    return f"{found}; send a new UUIDv7, which contains the present time: {how}"
