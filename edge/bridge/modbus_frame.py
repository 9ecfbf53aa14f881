"""Frames of Modbus TCP, found in a stream of bytes: TCP may bring many at once, or one in pieces.

A frame is a header of seven bytes (transaction, protocol, length, unit; big-endian) and the function with its data. The
length counts the unit and what follows it. See MODBUS Messaging on TCP/IP Implementation Guide V1.0b, section 3.1.3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from edge_inspect.edge.errors import EdgeInspectError

_HEADER = struct.Struct(">HHHB")
_BEFORE_UNIT = 6
_SHORTEST = 2
# The specification's limit is 254. A client that asks to write too many registers, which a byte can count up to 127,
# exceeds it; it gets its exception too, and the frame after it is still found.
_LONGEST = 511


class NotModbusError(EdgeInspectError):
    """A client's bytes cannot be Modbus TCP, and where the next frame begins cannot be known."""


class ModbusFrame(NamedTuple):
    """A request or an answer; `pdu` is the function code, one byte, and its data."""

    transaction: int
    unit: int
    pdu: bytes

    def to_bytes(self) -> bytes:
        """Return the frame as it is sent."""
        return _HEADER.pack(self.transaction, 0, 1 + len(self.pdu), self.unit) + self.pdu


def take_frames(received: bytearray) -> Iterator[ModbusFrame]:
    """Take all complete frames from the beginning of what was received; the piece of a frame that is left stays there.

    A frame of another protocol than 0 is skipped: the guide has such a request discarded.

    Raises:
        NotModbusError: A length is impossible; the frames before it have been given.
    """
    while len(received) >= _BEFORE_UNIT:
        protocol, length = struct.unpack_from(">HH", received, 2)
        if not _SHORTEST <= length <= _LONGEST:
            raise NotModbusError(f"not Modbus TCP: a frame's header says {length} bytes; 2 to 254 can be")
        end = _BEFORE_UNIT + length
        if len(received) < end:
            return
        transaction, _, _, unit = _HEADER.unpack_from(received)
        frame = ModbusFrame(transaction, unit, bytes(received[_HEADER.size : end]))
        del received[:end]
        if protocol == 0:
            yield frame
