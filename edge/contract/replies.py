"""The reply that every command gets, and what it says of each kind of command."""

from __future__ import annotations

from pydantic import Field

from edge_inspect.edge.contract.commands import CommandId, PartSequence, Refusal, Verb
from edge_inspect.edge.contract.fields import ContractModel, Name, Reason, Time
from edge_inspect.edge.contract.health import ShadowHealth
from edge_inspect.edge.contract.messages import BundleReference, Message
from edge_inspect.edge.contract.reports import EvidencePage, LogPage


class ThresholdChange(ContractModel):
    """The threshold before and after a change."""

    before: float
    after: float
    bundle: float = Field(description="threshold that the bundle contains")


class BundleChange(ContractModel):
    """The bundle in use before and after a change."""

    before: BundleReference
    after: BundleReference


class RecipeChange(ContractModel):
    """The recipe in force before and after a change-over."""

    before: Name
    after: Name


class SequenceRange(ContractModel):
    """The parts that are published again."""

    first: PartSequence = Field(
        description="sequence number of the first part; above `from_sequence` if the history begins later"
    )
    last: PartSequence = Field(description="sequence number of the last part")


class Reply(Message):
    """The answer to a command."""

    command_id: CommandId | None = Field(
        description="`id` of the command that is answered, as it was sent; null if the command had no readable id"
    )
    command: Verb | None = Field(description="the command that is answered; null if it could not be read")
    at: Time = Field(description="time of the reply")
    done: bool = Field(
        description="true: the command was carried out; for a trigger: it was accepted, and the verdict follows"
    )
    refusal: Refusal | None = Field(
        default=None, description="why the command was refused, in one word; null if it was carried out"
    )
    reason: Reason | None = Field(default=None, description="why the command was refused, and what to do about it")
    threshold: ThresholdChange | None = Field(default=None, description="answer to `threshold`: the change")
    resend: SequenceRange | None = Field(
        default=None, description="answer to `resend`: the parts that are published again"
    )
    image: str | None = Field(default=None, description="answer to `snapshot`: topic of the picture")
    bundle: BundleChange | None = Field(default=None, description="answer to `bundle`: the change")
    recipe: RecipeChange | None = Field(default=None, description="answer to `recipe`: the change")
    shadow: ShadowHealth | None = Field(
        default=None, description="answer to `shadow`: progress of the collection; null if parts are rejected again"
    )
    log: LogPage | None = Field(default=None, description="answer to `report` with `what: log`: a page of the log")
    evidence: EvidencePage | None = Field(
        default=None, description="answer to `report` with `what: evidence`: a page of the index of evidence"
    )
