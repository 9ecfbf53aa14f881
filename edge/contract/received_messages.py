"""Reads the messages of stations. Anybody who may publish at the broker may have written them."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json

from edge_inspect.edge.contract.health import Health
from edge_inspect.edge.contract.messages import Defect, Status, Verdict
from edge_inspect.edge.text import clean

ReceivedMessage = Verdict | Status | Health
"""A message of a station; a `Defect` is a `Verdict` too."""
KINDS: dict[str, type[ReceivedMessage]] = {"verdict": Verdict, "defect": Defect, "status": Status, "health": Health}
"""The models of the messages that are read, by the last level of their topic."""
LARGEST_BYTES = 2**18
HIGHEST_SEQUENCE = 2**53
"""Highest sequence number that JavaScript can show exactly."""
_MOST_MISTAKES = 64


class UnreadableMessage(Exception):
    """A message is not one of the contract. The text says why, in characters that can be shown."""


def read_message(kind: str, payload: bytes) -> ReceivedMessage:
    """Read a message, without the fields and the values of lists that a later release has added.

    Args:
        kind: A key of `KINDS`.
        payload: The message.

    Raises:
        UnreadableMessage: It is too large, or not a message of this kind.
    """
    if len(payload) > LARGEST_BYTES:
        raise UnreadableMessage(f"it has {len(payload)} bytes, and {LARGEST_BYTES} are the limit")
    model = KINDS[kind]
    try:
        try:
            message = model.model_validate_json(payload)
        except ValidationError as error:
            message = _read_known(model, payload, error)
    except ValueError as error:
        raise UnreadableMessage(clean(" ".join(str(error).split()))[:300]) from None
    if message.sequence > HIGHEST_SEQUENCE or "id" not in message.model_fields_set:
        raise UnreadableMessage("it has no id, or an impossible sequence number")
    return message


def _read_known(model: type[ReceivedMessage], payload: bytes, error: ValidationError) -> ReceivedMessage:
    """Read a message once more, without what was wrong at the first reading.

    Raises:
        ValidationError: Something that is needed is missing or wrong.
    """
    mistakes = error.errors(include_url=False, include_context=False, include_input=False)
    if len(mistakes) > _MOST_MISTAKES or not mistakes[0]["loc"]:
        raise error
    fields = from_json(payload)
    # From the end, so that an item that is taken out of a list does not move those that follow.
    for mistake in reversed(mistakes):
        _leave_out(fields, mistake)
    return model.model_validate(fields)


def _leave_out(fields: Any, mistake: ErrorDetails) -> None:
    *way, last = mistake["loc"]
    for step in way:
        try:
            fields = fields[step]
        except (LookupError, TypeError):
            return
    if isinstance(fields, dict):
        fields.pop(last, None)
    elif isinstance(fields, list) and isinstance(last, int):
        del fields[last]
