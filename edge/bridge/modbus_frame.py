"""Frames of Modbus TCP, found in a stream of bytes: TCP may deliver many frames at once, or one frame in pieces.

A frame is a header of seven bytes (transaction, protocol, length, unit; big-endian), followed by the function code and
its data. The length counts the unit, the function code and the data. See MODBUS Messaging on TCP/IP Implementation
Guide V1.0b, section 3.1.3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from edge_inspect.edge.errors import EdgeInspectError

_HEADER = struct.Struct(">HHHB")
_BEFORE_UNIT = 6
_SHORTEST = 2
# The specification's limit is 254. A request to write too many registers (its count is one byte, so at most 127)
# exceeds this limit. It must be found all the same: it is answered with an exception, and the frame after it is found
# too.
_LONGEST = 511


class NotModbusError(EdgeInspectError):
    """A client's bytes are not Modbus TCP, so the beginning of the next frame is unknown."""


class ModbusFrame(NamedTuple):
    """A request or an answer. `pdu` is the function code (one byte) and its data."""

    transaction: int
    unit: int
    pdu: bytes

    def to_bytes(self) -> bytes:
        """Return the bytes to send."""
        return _HEADER.pack(self.transaction, 0, 1 + len(self.pdu), self.unit) + self.pdu


def take_frames(received: bytearray) -> Iterator[ModbusFrame]:
    """Remove all complete frames from the beginning of the received bytes and yield them; an incomplete frame stays.

    A frame with a protocol identifier other than 0 is skipped, as the guide demands.

    Raises:
        NotModbusError: A length is impossible. The frames before it have been yielded.
    """
    while len(received) >= _BEFORE_UNIT:
        protocol, length = struct.unpack_from(">HH", received, 2)
        if not _SHORTEST <= length <= _LONGEST:
            raise NotModbusError(f"not Modbus TCP: the length in a frame's header is {length}; 2 to 254 are possible")
        end = _BEFORE_UNIT + length
        if len(received) < end:
            return
        transaction, _, _, unit = _HEADER.unpack_from(received)
        frame = ModbusFrame(transaction, unit, bytes(received[_HEADER.size : end]))
        del received[:end]
        if protocol == 0:
            yield frame
