"""The contract's messages as metrics: `verdict/score`, `health/frames/rejected`, `status/state`.

The names follow from the models of the contract, so a new field of a message becomes a metric automatically. A list is
one metric of type String that contains its JSON. A defect's metrics are the fields that its verdict does not have, and
the part's id and number.
"""

from __future__ import annotations

import functools
import json
import types
import typing
from datetime import datetime, timedelta, timezone
from typing import Any

from pydantic import AwareDatetime, BaseModel

from edge_inspect.edge.contract.health import Health
from edge_inspect.edge.contract.messages import Defect, Status, Verdict
from edge_inspect.edge.contract.replies import Reply
from edge_inspect.edge.mqtt.sparkplug.payload import DataType, Value

MODELS: dict[str, type[BaseModel]] = {
    "verdict": Verdict,
    "defect": Defect,
    "status": Status,
    "health": Health,
    "reply": Reply,
}
_DATATYPES = {
    bool: DataType.Boolean,
    int: DataType.Int64,
    float: DataType.Double,
    str: DataType.String,
    AwareDatetime: DataType.DateTime,
}
_EPOCH = datetime.fromtimestamp(0, timezone.utc)
_OF_THE_VERDICT = set(Verdict.model_fields) - {"id", "sequence"}


def definitions(schema: str) -> dict[str, DataType]:
    """Return the metrics of a kind of message, each with its type, in the order of the fields."""
    left_out = _OF_THE_VERDICT if schema == "defect" else set()
    return {
        f"{schema}/{path}": datatype
        for path, datatype in _walk(MODELS[schema]).items()
        if path.split("/")[0] not in left_out
    }


def read(name: str, datatype: DataType, message: dict[str, Any]) -> Value | None:
    """Return a metric's value in a decoded message; `None` if the message has none."""
    found: Any = message
    for key in _path(name):
        found = found.get(key) if isinstance(found, dict) else None
    if found is None:
        return None
    if datatype == DataType.DateTime:
        return milliseconds(found)
    if datatype == DataType.Double:
        return float(found)
    if datatype == DataType.String and not isinstance(found, str):
        return json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    return typing.cast(Value, found)


def milliseconds(time: str) -> int:
    """Return a time of the contract in whole milliseconds since 1970."""
    # Python 3.10 does not accept the Z.
    return (datetime.fromisoformat(time.replace("Z", "+00:00")) - _EPOCH) // timedelta(milliseconds=1)


@functools.cache
def _path(name: str) -> list[str]:
    return name.split("/")[1:]


def _walk(model: type[BaseModel]) -> dict[str, DataType]:
    found: dict[str, DataType] = {}
    for name, field in model.model_fields.items():
        kind = _plain(field.annotation)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= {f"{name}/{path}": datatype for path, datatype in _walk(kind).items()}
        else:
            found[name] = _DATATYPES.get(kind, DataType.String)
    return found


def _plain(annotation: Any) -> Any:
    """Return the type inside `Annotated`, `Literal` and `| None`; any other annotation is returned unchanged."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _plain(arguments[0])
    if origin is typing.Literal:
        return type(arguments[0])
    if origin in (typing.Union, types.UnionType):
        inner = [argument for argument in arguments if argument is not type(None)]
        return _plain(inner[0]) if len(inner) == 1 else annotation
    return annotation
