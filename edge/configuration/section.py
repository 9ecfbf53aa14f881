"""The base of all sections of a configuration file, and the checks of values that several sections use."""

from __future__ import annotations

import re
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo, field_validator

from edge_inspect.edge.configuration.host import check_host
from edge_inspect.edge.contract.topics import check_level


class Section(BaseModel):
    """A section of a configuration file: unknown keys, infinite numbers and control characters are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _value_is_plain(cls, value: Any, info: ValidationInfo) -> Any:
        annotation = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and {annotation, *get_args(annotation)} & {int, float}:
            raise ValueError(f"must be a number, and {str(value).lower()} is not one")
        for text in value if isinstance(value, list) else [value]:
            if text == "":
                raise ValueError("is empty; write a value, or leave the key out")
            # Otherwise a path with a NUL, or a name with a line break, fails later, in code that cannot name the key.
            if isinstance(text, str) and (wrong := re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)):
                raise ValueError(f"holds the control character U+{ord(wrong[0]):04X}; take it out")
        return value


def _level(name: str) -> str:
    check_level("a topic's level", name)
    if name != name.strip():
        raise ValueError(f"{name!r} begins or ends with a blank, which is invisible in a topic; take it out")
    if name in (".", ".."):  # folders are named after stations
        raise ValueError(f"{name!r} cannot be a name; choose another")
    return name


Level = Annotated[str, AfterValidator(_level)]
Host = Annotated[str, AfterValidator(check_host)]
