"""The body of a request: the message itself, or a template that is filled in."""

from __future__ import annotations

import json
from collections.abc import Callable
from string import Template
from typing import Any

from edge_inspect.edge.contract.examples import examples
from edge_inspect.edge.contract.messages import Defect, Verdict
from edge_inspect.edge.text import clean

_PLACE = ("site", "line", "station")


class BodyTemplate:
    """A template with `$name` or `${name}` for a field of the message, and `$$` for a dollar.

    The names are those of the verdict's fields, site, line and station of the topic, `bundle` for the bundle's name,
    and `message` for the whole message. In JSON a field is filled in as JSON, a text with its quotes. In other bodies
    it is filled in as text, without control characters. A field without a value is null, or empty.

    Args:
        text: The template; `None`: the message itself is the body.
        is_json: Whether fields are filled in as JSON.
    """

    def __init__(self, text: str | None, *, is_json: bool) -> None:
        self._template = None if text is None else Template(text)
        self._show: Callable[[Any], str] = _as_json if is_json else _as_text
        self._is_json = is_json

    def fill(self, message: Verdict, payload: bytes, place: tuple[str, str, str]) -> bytes:
        """Return the body for a message.

        Args:
            message: The message.
            payload: The message as it came, which is the body if there is no template.
            place: Site, line and station.
        """
        if self._template is None:
            return payload
        fields = json.loads(message.to_json())
        named = {
            **fields,
            **dict(zip(_PLACE, place, strict=True)),
            "bundle": message.bundle.name,
            "regions": fields.get("regions", []),
            "region_count": fields.get("region_count", 0),
            "message": fields,
        }
        return self._template.substitute({name: self._show(value) for name, value in named.items()}).encode()

    def check(self) -> None:
        """Fill in an example.

        Raises:
            ValueError: The template names a field that there is not, is misspelt, or does not become JSON.
        """
        (example,) = examples()["defect"][:1]
        assert isinstance(example, Defect)
        try:
            filled = self.fill(example, b"", ("plant1", "line1", "station1"))
        except KeyError as error:
            fields = sorted({*Defect.model_fields, *_PLACE, "message"})
            raise ValueError(f"template: there is no field {error}; the fields are {', '.join(fields)}") from None
        except ValueError as error:
            raise ValueError(f"template: {error}; write $name for a field, and $$ for a dollar") from None
        if self._template is not None and self._is_json:
            try:
                json.loads(filled)
            except ValueError as error:
                raise ValueError(
                    f"template: it becomes {filled.decode()[:200]!r}, which is no JSON ({error}); fields are filled in "
                    "with their quotes, or set content_type to text/plain"
                ) from None


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return clean(value)
    return "" if value is None else _as_json(value)
