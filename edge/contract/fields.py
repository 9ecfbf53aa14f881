"""Types of the contract's fields (times, ids, names, counts), and the base model of all its messages."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

from edge_inspect.edge.contract.ids import UUID7_PATTERN
from edge_inspect.edge.text import clean

CONTRACT_VERSION: Literal[1] = 1


Precision = Literal["int8", "bf16", "fp16", "fp32"]

NotFound = Literal["absent", "unclear", "glare", "outside", "turned", "upside_down", "several"]
"""Why a part was not found in its frame; edge/frame/pose.py has what each means."""


_TIME_PATTERN = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$"


BASE64_PATTERN = r"^[A-Za-z0-9+/]+={0,2}$"


def format_time(moment: datetime) -> str:
    """Return an aware time as RFC 3339 in UTC with microseconds: `2026-01-31T06:07:08.000009Z`."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def utc_now() -> datetime:
    """Return the present time, aware, in UTC."""
    return datetime.now(timezone.utc)


def _to_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(timezone.utc)
    except OverflowError:
        raise ValueError("lies in UTC before the year 1 or after the year 9999") from None


Time = Annotated[
    AwareDatetime,
    AfterValidator(_to_utc),
    PlainSerializer(format_time, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": _TIME_PATTERN}),
]


Uuid7 = Annotated[str, Field(pattern=UUID7_PATTERN)]


Name = Annotated[str, Field(min_length=1, max_length=256)]


Count = Annotated[int, Field(ge=0)]


_LONGEST_REASON = 1024


def _fit_reason(text: Any) -> Any:
    return clean(text)[:_LONGEST_REASON] if isinstance(text, str) else text


def _fit_part_id(text: Any) -> Any:
    try:
        return text.encode().decode()[:256] if isinstance(text, str) else text
    except UnicodeEncodeError:
        return clean(text)[:256]


# Such a text may quote the operating system, a driver or a file name. So any characters are accepted, and a long text
# is cut.
FreeText = Annotated[str, BeforeValidator(_fit_reason)]


Reason = Annotated[FreeText, Field(max_length=_LONGEST_REASON)]


# Control characters belong to a scanned part id, as the separators of a GS1 code do. They are returned unchanged.
PartId = Annotated[str, BeforeValidator(_fit_part_id), Field(max_length=256)]


class ContractModel(BaseModel):
    """Base of every model of the contract. A field that the contract does not define is refused."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        ser_json_inf_nan="constants",  # to_json then refuses them; written as null they would go unnoticed
        json_schema_serialization_defaults_required=True,
    )
