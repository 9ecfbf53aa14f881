from __future__ import annotations

import struct

import pytest

from edge_inspect.edge.mqtt.sparkplug.payload import DataType, Metric, PayloadError, Written, decode, encode


def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def field(number: int, content: int | float | bytes) -> bytes:
    """A field as https://protobuf.dev/programming-guides/encoding has it; a float is a double."""
    if isinstance(content, float):
        return varint(number << 3 | 1) + struct.pack("<d", content)
    if isinstance(content, bytes):
        return varint(number << 3 | 2) + varint(len(content)) + content
    return varint(number << 3) + varint(content)


def test_every_field_has_the_specifications_number() -> None:
    metrics = [
        Metric("i", DataType.Int64, -2, 1000),
        Metric("d", DataType.Double, 0.5, 1001, historical=True),
        Metric("b", DataType.Boolean, False, 1002),
        Metric("s", DataType.String, "ä", 1003),
        Metric("t", DataType.DateTime, 1_700_000_000_000, 1004),
        Metric("j", DataType.Bytes, b"\xff", 1005, transient=True),
        Metric("n", DataType.String, None, 1006),
    ]
    expected = [
        field(1, b"i") + field(3, 1000) + field(4, 4) + field(11, 2**64 - 2),
        field(1, b"d") + field(3, 1001) + field(4, 10) + field(5, 1) + field(13, 0.5),
        field(1, b"b") + field(3, 1002) + field(4, 11) + field(14, 0),
        field(1, b"s") + field(3, 1003) + field(4, 12) + field(15, "ä".encode()),
        field(1, b"t") + field(3, 1004) + field(4, 13) + field(11, 1_700_000_000_000),
        field(1, b"j") + field(3, 1005) + field(4, 17) + field(6, 1) + field(16, b"\xff"),
        field(1, b"n") + field(3, 1006) + field(4, 12) + field(7, 1),
    ]
    payload = encode(metrics, timestamp=7, seq=0, datatypes=True)
    assert payload == field(1, 7) + b"".join(field(2, metric) for metric in expected) + field(3, 0)


def test_data_says_no_types_and_a_death_no_number() -> None:
    metric = Metric("b", DataType.Boolean, True, 3)
    expected = field(1, 7) + field(2, field(1, b"b") + field(3, 3) + field(14, 1))
    assert encode([metric], timestamp=7, seq=None, datatypes=False) == expected


def test_a_command_is_read_with_what_this_program_does_not_know() -> None:
    rebirth = field(1, b"Node Control/Rebirth") + field(4, 11) + field(9, field(1, b"Quality")) + field(14, 1)
    text = field(1, b"text") + field(15, b"x")
    data_set = field(1, b"table") + field(17, field(1, 0))
    payload = field(1, 7) + field(2, rebirth) + field(2, text) + field(2, data_set) + field(9, b"extension")
    assert decode(payload) == [Written("Node Control/Rebirth", True), Written("text", "x"), Written("table", None)]


@pytest.mark.parametrize("payload", [b"\xff", b"{}", field(2, b"\x0a\x09x")])
def test_what_is_no_payload_is_refused(payload: bytes) -> None:
    with pytest.raises(PayloadError, match="not a Sparkplug B payload"):
        decode(payload)
