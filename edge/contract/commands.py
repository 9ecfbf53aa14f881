"""The commands of the MQTT contract, version 1, and the reply that every one of them gets.

    Trigger       take a frame now: a part, with its id
    Pause         take no more frames
    Resume        take frames again
    SetThreshold  judge by another threshold, or by the bundle's again
    Snapshot      publish a picture of what the camera sees
    Resend        publish again what a subscriber has missed
    ChangeBundle  judge by another bundle, or by the one before again
    GoShadow      judge and reject nothing while scores are collected, or end that
    Reply         what became of a command

A command is one JSON object on the station's topic `command`, not retained, with an id of its own. Whether it may be
carried out is for the broker's access list to say, and for edge/station/command_admission.py.

What the JSON Schema of a command takes is read: ids in capitals, and whole numbers that are written like 7300.0.
"""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from edge_inspect.edge.contract.fields import CONTRACT_VERSION, ContractModel, Reason, Time
from edge_inspect.edge.contract.health import ShadowHealth
from edge_inspect.edge.contract.ids import UUID7_PATTERN_READ
from edge_inspect.edge.contract.messages import BundleReference, Message

LARGEST_COMMAND = 4096
"""Bytes. None needs a fifth of it."""

Verb = Literal["trigger", "pause", "resume", "threshold", "snapshot", "resend", "bundle", "shadow"]
VERBS: tuple[Verb, ...] = get_args(Verb)
Refusal = Literal["malformed", "oversized", "unauthorised", "expired", "replayed", "busy", "impossible"]
"""`busy`: ask again later; `impossible`: not while things are as the reason says."""


def _whole(value: Any) -> Any:
    """Return a whole number that is written like 7300.0 as an integer: JSON has one kind of number.

    Raises:
        ValueError: It is true or false, which Python takes for 1 and 0.
    """
    if isinstance(value, bool):
        raise ValueError("Input should be a valid integer, not true or false")
    return int(value) if isinstance(value, float) and value.is_integer() else value


PartSequence = Annotated[int, Field(ge=1, le=2**53), BeforeValidator(_whole)]
CommandId = Annotated[str, Field(pattern=UUID7_PATTERN_READ)]


class Command(ContractModel):
    """What every command has."""

    contract: Annotated[Literal[1], BeforeValidator(_whole)] = Field(
        default=CONTRACT_VERSION, description="version of the contract"
    )
    command: Verb
    id: CommandId = Field(description="a new UUIDv7 for every command; its time must be now")
    by: str | None = Field(default=None, max_length=64, description="who asks, for the record; nobody checks it")


class Trigger(Command):
    """Take a frame now. For a station whose configuration says `trigger: command`; the verdict comes as any other."""

    command: Literal["trigger"]
    part_id: str | None = Field(default=None, max_length=256, description="comes back in the verdict")


class Pause(Command):
    """Take no more frames, until `resume` or the next start. Frames already taken get their verdict."""

    command: Literal["pause"]


class Resume(Command):
    """Take frames again."""

    command: Literal["resume"]


class SetThreshold(Command):
    """Judge by another threshold. It is recorded, and holds over restarts for as long as the bundle is the same."""

    command: Literal["threshold"]
    value: float | None = Field(description="within `commands.threshold_factor` of the bundle's; null: the bundle's")


class Snapshot(Command):
    """Publish a frame as JPEG on `image/<id of the command>`. Where no frames are taken, one is taken for it."""

    command: Literal["snapshot"]


class Resend(Command):
    """Publish delivered verdicts and defects again, as they were: same topics, ids and sequence numbers."""

    command: Literal["resend"]
    from_sequence: PartSequence = Field(description="number of the first part")
    to_sequence: PartSequence | None = Field(default=None, description="null: up to the newest")

    @model_validator(mode="after")
    def _in_order(self) -> Resend:
        if self.to_sequence is not None and self.to_sequence < self.from_sequence:
            raise ValueError("to_sequence is below from_sequence")
        return self


class ChangeBundle(Command):
    """Judge by another bundle, from one part to the next. The reply comes when it does, or when it has failed to load.

    It holds over restarts, until the configuration names another bundle.
    """

    command: Literal["bundle"]
    name: str | None = Field(
        min_length=1, max_length=256, description="a folder or .zip below `bundles.folder`; null: roll back"
    )


class GoShadow(Command):
    """Judge and publish, but reject nothing, until the scores of so many parts are collected; 0 ends that at once.

    It goes on over restarts. What was collected before is replaced.
    """

    command: Literal["shadow"]
    parts: Annotated[int, Field(ge=0, le=1_000_000), BeforeValidator(_whole)] = Field(
        description="how many parts; 0: reject again"
    )


AnyCommand = Trigger | Pause | Resume | SetThreshold | Snapshot | Resend | ChangeBundle | GoShadow
MODELS: dict[str, type[Command]] = {get_args(m.model_fields["command"].annotation)[0]: m for m in get_args(AnyCommand)}
COMMANDS: TypeAdapter[AnyCommand] = TypeAdapter(Annotated[AnyCommand, Field(discriminator="command")])


class ThresholdChange(ContractModel):
    """What a threshold was, and what it is now."""

    before: float
    after: float
    bundle: float = Field(description="what the bundle says")


class BundleChange(ContractModel):
    """Which bundle judged, and which does now."""

    before: BundleReference
    after: BundleReference


class SequenceRange(ContractModel):
    """Which parts are sent again."""

    first: PartSequence = Field(description="above `from_sequence` where the history begins later")
    last: PartSequence


class Reply(Message):
    """What became of a command."""

    command_id: CommandId | None = Field(description="as it was sent; null where none could be read")
    command: Verb | None
    at: Time
    done: bool = Field(description="carried out; a trigger: taken, its verdict follows")
    refusal: Refusal | None = Field(default=None, description="what kind of reason; null where it is done")
    reason: Reason | None = None
    threshold: ThresholdChange | None = None
    resend: SequenceRange | None = None
    image: str | None = Field(default=None, description="topic of the picture")
    bundle: BundleChange | None = None
    shadow: ShadowHealth | None = Field(default=None, description="null where parts are rejected")


class Refused(Exception):
    """A command is not carried out.

    Args:
        refusal: The kind of reason.
        reason: What was wrong and what to do about it.
    """

    def __init__(self, refusal: Refusal, reason: str) -> None:
        super().__init__(reason)
        self.refusal: Refusal = refusal


def _or_none(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    try:
        return handler(value)
    except ValidationError:
        return None


class ReturnAddress(NamedTuple):
    """Where a requester wants the reply: the response topic and the correlation data of MQTT 5.

    Attributes:
        topic: Gets the reply too; `None` where only the station's topic `reply` does.
        correlation: Goes with the reply.
    """

    topic: str | None
    correlation: bytes | None


class Sender(NamedTuple):
    """Which command it is, as far as that can be read of one that may be malformed, and who else wants the reply."""

    id: str | None = None
    command: Verb | None = None
    back: ReturnAddress | None = None


class _Readable(BaseModel):
    id: Annotated[CommandId | None, WrapValidator(_or_none)] = None
    command: Annotated[Verb | None, WrapValidator(_or_none)] = None


def read_sender(payload: bytes) -> Sender:
    """Return the id and the verb of a payload, as far as it has any."""
    try:
        found = _Readable.model_validate_json(payload[:LARGEST_COMMAND])
    except ValidationError:
        return Sender()
    return Sender(found.id, found.command)


def parse_command(payload: bytes) -> AnyCommand:
    """Read a command.

    Raises:
        Refused: `oversized` or `malformed`; the reason says what to send instead.
    """
    if len(payload) > LARGEST_COMMAND:
        raise Refused("oversized", f"a command has at most {LARGEST_COMMAND} bytes, this one {len(payload)}")
    try:
        return COMMANDS.validate_json(payload, strict=True)
    except ValidationError as error:
        said = "; ".join(_explain(mistake) for mistake in error.errors(include_url=False))
        raise Refused("malformed", said[:1000]) from None


_EXAMPLE = 'send an object like {"command": "pause", "id": "a new UUIDv7"}'


def _explain(mistake: Any) -> str:
    """Return what is wrong with a field, and what belongs there."""
    kind, place, context = mistake["type"], mistake["loc"], mistake.get("ctx", {})
    where = ".".join(map(str, place)) or "payload"
    model = MODELS.get(place[0]) if place else None
    field = model.model_fields.get(str(place[1])) if model is not None and len(place) > 1 else None
    if kind == "json_invalid":
        return f"{where}: is no JSON ({context['error']}); {_EXAMPLE}"
    if kind in ("union_tag_not_found", "model_attributes_type", "model_type", "dict_type"):
        return f"{where}: has no command; {_EXAMPLE}, with one of {', '.join(VERBS)}"
    if kind == "union_tag_invalid":
        return f"command: there is no {context['tag'][:40]!r}; send one of {', '.join(VERBS)}"
    if kind == "extra_forbidden" and model is not None:
        return f"{where}: there is no such field; leave it out, {place[0]} has {', '.join(model.model_fields)}"
    if kind == "missing" and field is not None:
        return f"{where}: is missing; add it ({field.description})"
    if kind == "literal_error":
        return f"{where}: this station speaks contract {CONTRACT_VERSION}; send {CONTRACT_VERSION}, or leave it out"
    if kind == "string_pattern_mismatch":
        return f"{where}: {_explain_id(mistake['input'])}"
    said = mistake["msg"].removeprefix("Value error, ")
    return f"{where}: {said[0].lower()}{said[1:]}"


def _explain_id(text: str) -> str:
    try:
        version = uuid.UUID(text).version if len(text) == 36 else None
    except ValueError:
        version = None
    found = f"is a UUID of version {version}" if version else "is no UUID like 019f2b1c-7e40-7000-8000-0123456789ab"
    how = "`edge-inspect command` makes one by itself, docs/mqtt/README.md has a shell line for it"
    return f"{found}; send a new UUIDv7, which holds the time now: {how}"
