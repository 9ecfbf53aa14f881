"""What all parts of a configuration file have in common: no key but their own, and values that can be used."""

from __future__ import annotations

import re
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo, field_validator

from edge_inspect.edge.configuration.host import check_host
from edge_inspect.edge.contract.topics import check_level


class Section(BaseModel):
    """A part of a configuration file: no key but its own, only finite numbers, and text that can be printed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _value_is_plain(cls, value: Any, info: ValidationInfo) -> Any:
        annotation = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and {annotation, *get_args(annotation)} & {int, float}:
            raise ValueError(f"must be a number, and {str(value).lower()} is none")
        for text in value if isinstance(value, list) else [value]:
            if text == "":
                raise ValueError("is empty; write a value, or leave the key out")
            # A path with a NUL, or a name with a line's end, fails far from here.
            if isinstance(text, str) and (wrong := re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)):
                raise ValueError(f"holds the control character U+{ord(wrong[0]):04X}; take it out")
        return value


def _level(name: str) -> str:
    check_level("a topic's level", name)
    if name != name.strip():
        raise ValueError(f"{name!r} has blanks around it, which nobody sees in a topic; take them out")
    if name in (".", ".."):  # folders are named after stations
        raise ValueError(f"{name!r} is no name; take another")
    return name


Level = Annotated[str, AfterValidator(_level)]
Host = Annotated[str, AfterValidator(check_host)]
