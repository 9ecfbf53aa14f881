"""The Sparkplug B payload: metrics to bytes and back, by protobuf.

The message is described here, at run time, from the specification's field numbers (6.4.1): code that protoc generates
is tied to one major version of protobuf, a descriptor is not. What this program neither sends nor reads (data sets,
templates, properties) is left out; protobuf skips it where it comes in.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Any, NamedTuple

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

Value = bool | int | float | str | bytes


class DataType(IntEnum):
    """The specification's data types that the contract needs (6.4.16)."""

    Int64 = 4
    Double = 10
    Boolean = 11
    String = 12
    DateTime = 13
    Bytes = 17


_VALUE_FIELDS = {
    DataType.Int64: "long_value",
    DataType.Double: "double_value",
    DataType.Boolean: "boolean_value",
    DataType.String: "string_value",
    DataType.DateTime: "long_value",
    DataType.Bytes: "bytes_value",
}

_METRIC = {
    "name": (1, "STRING"),
    "alias": (2, "UINT64"),
    "timestamp": (3, "UINT64"),
    "datatype": (4, "UINT32"),
    "is_historical": (5, "BOOL"),
    "is_transient": (6, "BOOL"),
    "is_null": (7, "BOOL"),
}
_METRIC_VALUE = {
    "int_value": (10, "UINT32"),
    "long_value": (11, "UINT64"),
    "float_value": (12, "FLOAT"),
    "double_value": (13, "DOUBLE"),
    "boolean_value": (14, "BOOL"),
    "string_value": (15, "STRING"),
    "bytes_value": (16, "BYTES"),
}
_PAYLOAD = {"timestamp": (1, "UINT64"), "seq": (3, "UINT64"), "uuid": (4, "STRING"), "body": (5, "BYTES")}


class Metric(NamedTuple):
    """One metric; its timestamp in milliseconds since 1970, UTC."""

    name: str
    datatype: DataType
    value: Value | None
    timestamp: int
    historical: bool = False
    transient: bool = False


class Written(NamedTuple):
    """A metric that a command writes."""

    name: str
    value: Value | None


class PayloadError(ValueError):
    """What came in is no Sparkplug B payload."""


def _payload_class() -> Any:
    file = FileDescriptorProto(name="sparkplug_b.proto", package="org.eclipse.tahu.protobuf", syntax="proto2")
    payload = file.message_type.add(name="Payload")
    metric = payload.nested_type.add(name="Metric")
    metric.oneof_decl.add(name="value")
    optional, repeated = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.LABEL_REPEATED
    for message, fields, oneof in (
        (metric, _METRIC, {}),
        (metric, _METRIC_VALUE, {"oneof_index": 0}),
        (payload, _PAYLOAD, {}),
    ):
        for name, (number, kind) in fields.items():
            type_ = FieldDescriptorProto.Type.Value(f"TYPE_{kind}")
            message.field.add(name=name, number=number, label=optional, type=type_, **oneof)
    payload.field.add(
        name="metrics",
        number=2,
        label=repeated,
        type=FieldDescriptorProto.TYPE_MESSAGE,
        type_name=".org.eclipse.tahu.protobuf.Payload.Metric",
    )
    # A pool of its own: another library may have brought the same names into the common one.
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("org.eclipse.tahu.protobuf.Payload"))


_Payload = _payload_class()


def encode(metrics: Iterable[Metric], *, timestamp: int, seq: int | None, datatypes: bool) -> bytes:
    """Return a payload.

    Args:
        metrics: In the order in which they are to stand.
        timestamp: Of sending, in milliseconds since 1970, UTC.
        seq: 0 to 255; a death has none.
        datatypes: Whether each metric says its type: a birth does, data need not.
    """
    payload = _Payload(timestamp=timestamp)
    if seq is not None:
        payload.seq = seq
    for metric in metrics:
        added = payload.metrics.add(name=metric.name, timestamp=metric.timestamp)
        if datatypes:
            added.datatype = metric.datatype
        if metric.historical:
            added.is_historical = True
        if metric.transient:
            added.is_transient = True
        if metric.value is None:
            added.is_null = True
        elif metric.datatype == DataType.Int64:
            added.long_value = int(metric.value) % 2**64  # two's complement, as the specification has it
        else:
            setattr(added, _VALUE_FIELDS[metric.datatype], metric.value)
    return bytes(payload.SerializeToString())


def decode(payload: bytes) -> list[Written]:
    """Return the metrics that a command writes.

    Raises:
        PayloadError: It is no Sparkplug B payload.
    """
    try:
        metrics = _Payload.FromString(payload).metrics
    except DecodeError as error:
        raise PayloadError(f"{len(payload)} bytes are no Sparkplug B payload") from error
    fields = [metric.WhichOneof("value") for metric in metrics]
    return [
        Written(metric.name, None if field is None else getattr(metric, field))
        for metric, field in zip(metrics, fields, strict=True)
    ]
