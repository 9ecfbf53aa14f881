from __future__ import annotations

import pytest
from bridge_parts import reading, request
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.edge.bridge.modbus_frame import ModbusFrame, NotModbusError, take_frames

FRAMES = st.lists(
    st.builds(ModbusFrame, st.integers(0, 0xFFFF), st.integers(0, 255), st.binary(min_size=1, max_size=253)), max_size=6
)


@given(FRAMES, st.binary(max_size=5), st.lists(st.integers(1, 400), min_size=1, max_size=40))
def test_frames_are_found_however_they_are_cut(frames: list[ModbusFrame], rest: bytes, sizes: list[int]) -> None:
    stream = b"".join(frame.to_bytes() for frame in frames) + rest
    received, found, at = bytearray(), [], 0
    while at < len(stream):
        received += stream[at : at + sizes[0]]
        at += sizes[0]
        sizes = [*sizes[1:], sizes[0]]
        found += take_frames(received)
    assert found == frames and bytes(received) == rest


def test_a_frame_is_as_the_specification_has_it() -> None:
    # Read one register, that at 5, of unit 255.
    stream = bytes.fromhex("1501 0000 0006 ff 03 0005 0001")
    assert list(take_frames(bytearray(stream))) == [ModbusFrame(0x1501, 0xFF, reading(5, 1))]
    assert ModbusFrame(0x1501, 0xFF, reading(5, 1)).to_bytes() == stream


@pytest.mark.parametrize("length", [0, 1, 512, 0x0600, 0xFFFF])
def test_an_impossible_length_is_said_after_the_frames_before_it(length: int) -> None:
    received = bytearray(request(1, b"\3") + b"\0\2\0\0" + length.to_bytes(2, "big") + b"\1\3")
    found = take_frames(received)
    assert next(found) == ModbusFrame(1, 1, b"\3")
    with pytest.raises(NotModbusError, match=rf"header is {length}; 2 to 254 are possible"):
        next(found)


@pytest.mark.parametrize("size", [1, 252, 253, 254, 261, 510])
def test_a_frame_that_is_too_long_is_found_whole(size: int) -> None:
    received = bytearray(request(1, bytes(size)) + request(2, b"\3"))
    assert [(frame.transaction, len(frame.pdu)) for frame in take_frames(received)] == [(1, size), (2, 1)]


@given(st.integers(1, 0xFFFF), st.binary(min_size=1, max_size=253))
def test_another_protocol_is_skipped(protocol: int, pdu: bytes) -> None:
    received = bytearray(request(1, pdu, protocol=protocol) + request(2, b"\3"))
    assert [frame.transaction for frame in take_frames(received)] == [2] and not received
