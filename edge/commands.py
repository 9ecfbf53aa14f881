"""The commands of the MQTT contract, version 1, and the reply that every one of them gets.

    Trigger       take a frame now: a part, with its id
    Pause         take no more frames
    Resume        take frames again
    SetThreshold  judge by another threshold, or by the bundle's again
    Snapshot      publish a picture of what the camera sees
    Resend        publish again what a subscriber has missed
    ChangeBundle  judge by another bundle, or by the one before again
    Reply         what became of a command

A command is one JSON object on the station's topic `command`, not retained, with an id of its own. Whether it may be
carried out is for the broker's access list to say, and for edge/station/command_desk.py.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    Field,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from edge.messages import CONTRACT_VERSION, BundleReference, ContractModel, Message, Reason, Time, Uuid7

LARGEST_COMMAND = 4096
"""Bytes. None needs a fifth of it."""

Verb = Literal["trigger", "pause", "resume", "threshold", "snapshot", "resend", "bundle"]
VERBS: tuple[Verb, ...] = get_args(Verb)
Refusal = Literal["malformed", "oversized", "unauthorised", "expired", "replayed", "busy", "impossible"]
"""`busy`: ask again later; `impossible`: not while things are as the reason says."""
PartSequence = Annotated[int, Field(ge=1, le=2**53)]


class Command(ContractModel):
    """What every command has."""

    contract: Literal[1] = Field(default=CONTRACT_VERSION, description="version of the contract")
    command: Verb
    id: Uuid7 = Field(description="a new one for every command; its time must be now")
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
    from_sequence: PartSequence
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


AnyCommand = Trigger | Pause | Resume | SetThreshold | Snapshot | Resend | ChangeBundle
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

    command_id: Uuid7 | None = Field(description="null where the command had none that could be read")
    command: Verb | None
    at: Time
    done: bool = Field(description="carried out; a trigger: taken, its verdict follows")
    refusal: Refusal | None = Field(default=None, description="what kind of reason; null where it is done")
    reason: Reason | None = None
    threshold: ThresholdChange | None = None
    resend: SequenceRange | None = None
    image: str | None = Field(default=None, description="topic of the picture")
    bundle: BundleChange | None = None


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


class Sender(BaseModel):
    """Which command it is: as much as can be read of one that may be malformed."""

    id: Annotated[Uuid7 | None, WrapValidator(_or_none)] = None
    command: Annotated[Verb | None, WrapValidator(_or_none)] = None


def read_sender(payload: bytes) -> Sender:
    """Return the id and the verb of a payload, as far as it has any."""
    try:
        return Sender.model_validate_json(payload[:LARGEST_COMMAND])
    except ValidationError:
        return Sender()


def parse_command(payload: bytes) -> AnyCommand:
    """Read a command.

    Raises:
        Refused: `oversized` or `malformed`.
    """
    if len(payload) > LARGEST_COMMAND:
        raise Refused("oversized", f"a command has at most {LARGEST_COMMAND} bytes, this one {len(payload)}")
    try:
        return COMMANDS.validate_json(payload, strict=True)
    except ValidationError as error:
        mistakes = error.errors(include_url=False, include_input=False, include_context=False)
        said = "; ".join(f"{'.'.join(map(str, m['loc'])) or 'payload'}: {m['msg']}" for m in mistakes)
        raise Refused("malformed", said[:1000]) from None
