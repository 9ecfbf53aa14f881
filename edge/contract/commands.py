"""The commands of the MQTT contract, version 1. edge/contract/replies.py has the reply that every one of them gets.

    Trigger       take a frame of a part now
    Pause         stop taking frames
    Resume        take frames again
    SetThreshold  use another threshold, or the bundle's own again
    Snapshot      publish a picture of what the camera sees
    Resend        publish again the messages that a subscriber has missed
    ChangeBundle  use another bundle, or the previous one again
    ChangeRecipe  inspect another product: use the bundle of another recipe
    GoShadow      reject nothing while scores are collected, or end that
    Report        send a page of the log, or of the index of evidence

A command is one JSON object on the station's topic `command`, not retained, with a new id. The broker's access list and
edge/station/command_admission.py decide whether it may be carried out.

Every command that satisfies the JSON Schema is accepted, also one with capital letters in its id, or with a whole
number that is written like 7300.0.
"""

from __future__ import annotations

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

from edge_inspect.edge.contract.command_mistakes import explain
from edge_inspect.edge.contract.fields import CONTRACT_VERSION, ContractModel
from edge_inspect.edge.contract.ids import UUID7_PATTERN_READ
from edge_inspect.edge.contract.reports import Cursor, Kind

LARGEST_COMMAND = 4096
"""Largest size of a command, in bytes. No command needs half of it."""

Verb = Literal["trigger", "pause", "resume", "threshold", "snapshot", "resend", "bundle", "recipe", "shadow", "report"]
VERBS: tuple[Verb, ...] = get_args(Verb)
Refusal = Literal["malformed", "oversized", "unauthorised", "expired", "replayed", "busy", "impossible"]
"""Kinds of refusal. `busy`: send the command again later; `impossible`: change what the reason names first."""


def _whole(value: Any) -> Any:
    """Return a whole number that is written like 7300.0 as an integer: JSON has one kind of number.

    Raises:
        ValueError: The value is true or false, which Python would accept as 1 and 0.
    """
    if isinstance(value, bool):
        raise ValueError("Input should be a valid integer, not true or false")
    return int(value) if isinstance(value, float) and value.is_integer() else value


PartSequence = Annotated[int, Field(ge=1, le=2**53), BeforeValidator(_whole)]
BundleDigest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
CommandId = Annotated[str, Field(pattern=UUID7_PATTERN_READ)]


class Command(ContractModel):
    """Fields of every command."""

    contract: Annotated[Literal[1], BeforeValidator(_whole)] = Field(
        default=CONTRACT_VERSION, description="version of the contract"
    )
    command: Verb
    id: CommandId = Field(description="a new UUIDv7 for every command; it contains the present time")
    by: str | None = Field(
        default=None, max_length=64, description="name of the sender, for the log and the records; it is not checked"
    )


class Trigger(Command):
    """Take a frame of a part now. The station's configuration must say `trigger: command`.

    The verdict is published like every other.
    """

    command: Literal["trigger"]
    part_id: str | None = Field(
        default=None, max_length=256, description="id of the part, such as a serial number; the verdict repeats it"
    )


class Pause(Command):
    """Stop taking frames until `resume`, or until the service restarts. Frames already taken still get a verdict."""

    command: Literal["pause"]


class Resume(Command):
    """Take frames again."""

    command: Literal["resume"]


class SetThreshold(Command):
    """Use another threshold. The change is recorded. It survives restarts, and ends when the bundle is changed.

    In a station with recipes it belongs to the recipe in force.
    """

    command: Literal["threshold"]
    value: float | None = Field(
        description="new threshold, between the bundle's ÷ `commands.threshold_factor` and the bundle's × that factor; "
        "null restores the bundle's threshold"
    )


class Snapshot(Command):
    """Publish a frame as JPEG on `image/<id of the command>`. If no frames are being taken, one is taken."""

    command: Literal["snapshot"]


class Resend(Command):
    """Publish delivered verdicts and defects again, unchanged: with the same topics, ids and sequence numbers."""

    command: Literal["resend"]
    from_sequence: PartSequence = Field(description="sequence number of the first part to publish again")
    to_sequence: PartSequence | None = Field(
        default=None, description="sequence number of the last part to publish again; null: the newest part"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Resend:
        if self.to_sequence is not None and self.to_sequence < self.from_sequence:
            raise ValueError("to_sequence is below from_sequence")
        return self


class ChangeBundle(Command):
    """Use another bundle, from one part to the next. The reply comes when the new bundle is in use, or failed to load.

    The choice survives restarts, until the configuration names another bundle. In a station with recipes, this is the
    bundle of the recipe in force.

    With `digest`, that digest decides which bundle is used, whatever its file is called. A station that has no such
    bundle fetches it from `url`, which must lie under one of `bundles.pull.prefixes` of its configuration. A fetched
    bundle must have that digest and be signed with a key that the station trusts.
    """

    command: Literal["bundle"]
    name: str | None = Field(
        min_length=1,
        max_length=256,
        description="name of a folder or .zip below `bundles.folder`; null rolls back to the previous bundle; with "
        "`digest`, the name is only tried first",
    )
    digest: BundleDigest | None = Field(
        default=None,
        description="sha256 of the bundle's manifest, in lower case, as verdicts and `calibrate show` give it; a "
        "bundle with this digest below `bundles.folder` is used; null: the name alone decides",
    )
    url: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="http or https URL of the bundle's .zip, which is fetched if `bundles.folder` has no bundle with "
        "`digest`; null: nothing is fetched",
    )

    @model_validator(mode="after")
    def _one_bundle_is_meant(self) -> ChangeBundle:
        if self.name is None and (self.digest is not None or self.url is not None):
            raise ValueError("name is null, which rolls back; leave digest and url out, or give the bundle's name")
        if self.url is not None and self.digest is None:
            raise ValueError("url needs the bundle's digest beside it; calibrate show BUNDLE prints it")
        return self


class ChangeRecipe(Command):
    """Inspect another product: parts from now on are judged by the bundle of this recipe. The choice survives restarts.

    Parts that were triggered or taken before are still judged by the recipe before. The reply comes when the new recipe
    is in force. If its bundle is open, that is at once. Otherwise the bundle is opened first, and the recipe before
    stays in force until then, or for good if the bundle cannot be used.
    """

    command: Literal["recipe"]
    name: str = Field(
        min_length=1, max_length=64, description="name of a recipe in the station's configuration (`recipes`)"
    )


class GoShadow(Command):
    """Inspect and publish, but reject nothing, until the scores of `parts` parts are collected (shadow).

    Shadow continues after a restart. Scores that were collected earlier are replaced.
    """

    command: Literal["shadow"]
    parts: Annotated[int, Field(ge=0, le=1_000_000), BeforeValidator(_whole)] = Field(
        description="number of parts whose scores are collected; 0 ends shadow now, and parts are rejected again"
    )


class Report(Command):
    """Send a page of the service's log, or of the station's index of evidence, in the reply. Nothing is changed.

    A page has at most 200 lines or parts. The reply says where the next page begins. The log is that of the whole
    service, so it also has the lines of the other stations of the box; its newest 2,000 lines are kept.
    """

    command: Literal["report"]
    what: Kind = Field(description="log: lines of the service's log; evidence: the parts that are stored as evidence")
    after: Cursor | None = Field(
        default=None, description="`next` of the page before, unchanged; null: the oldest line or part comes first"
    )


AnyCommand = (
    Trigger | Pause | Resume | SetThreshold | Snapshot | Resend | ChangeBundle | ChangeRecipe | GoShadow | Report
)
MODELS: dict[str, type[Command]] = {get_args(m.model_fields["command"].annotation)[0]: m for m in get_args(AnyCommand)}
COMMANDS: TypeAdapter[AnyCommand] = TypeAdapter(Annotated[AnyCommand, Field(discriminator="command")])


class Refused(Exception):
    """A command is not carried out.

    Args:
        refusal: Kind of refusal.
        reason: Sentence that says what was wrong and what to do about it.
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
    """Response topic and correlation data of a command sent with MQTT 5.

    Attributes:
        topic: Topic to which the reply is published as well; `None` if only the station's topic `reply` gets it.
        correlation: Bytes that are published with the reply, unchanged.
    """

    topic: str | None
    correlation: bytes | None


class Sender(NamedTuple):
    """Id, verb and return address of a command, as far as they can be read: the command may be malformed."""

    id: str | None = None
    command: Verb | None = None
    back: ReturnAddress | None = None


class _Readable(BaseModel):
    id: Annotated[CommandId | None, WrapValidator(_or_none)] = None
    command: Annotated[Verb | None, WrapValidator(_or_none)] = None


def read_sender(payload: bytes) -> Sender:
    """Return the id and the verb of a payload; each is `None` if it cannot be read."""
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
        raise Refused("oversized", f"the command has {len(payload)} bytes; send at most {LARGEST_COMMAND}")
    try:
        return COMMANDS.validate_json(payload, strict=True)
    except ValidationError as error:
        said = "; ".join(explain(mistake, MODELS) for mistake in error.errors(include_url=False))
        raise Refused("malformed", said[:1000]) from None
