"""Answers to Modbus requests.

Functions 3 and 4 read the same registers, functions 6 and 16 write the registers `acknowledged` and `recipe_requested`,
one at a time, and every other function is refused. The checks, their order and their exceptions follow the MODBUS
Application Protocol Specification V1.1b3, sections 6 and 7.
"""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Sequence

from edge_inspect.edge.bridge.registers import ACKNOWLEDGED, BLOCK, RECIPE_REQUESTED
from edge_inspect.edge.bridge.station import BridgedStation

log = logging.getLogger(__name__)

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE = 1, 2, 3, 4
"""Exception codes of a refused request."""
_REFUSED = 0x80
_MOST_READ = 125
_MOST_WRITTEN = 123


class _Refusal(Exception):
    def __init__(self, code: int) -> None:
        self.code = code


class ModbusRequests:
    """Answers requests from the present values of the stations' registers.

    Args:
        stations: Stations in the order of their blocks of registers.
    """

    def __init__(self, stations: Sequence[BridgedStation]) -> None:
        self._stations = stations
        self._functions = {3: self._read, 4: self._read, 6: self._write_one, 16: self._write_several}

    def answer(self, request: bytes) -> bytes:
        """Return the answer to a request. Both are a function code and its data; a refusal sets the code's high bit."""
        function = request[0]
        try:
            if function not in self._functions:
                raise _Refusal(ILLEGAL_FUNCTION)
            return self._functions[function](request)
        except _Refusal as refusal:
            return bytes((function | _REFUSED, refusal.code))
        except Exception:
            log.exception("Modbus: an error of the bridge prevents an answer to the request %s", request.hex())
            return bytes((function | _REFUSED, DEVICE_FAILURE))

    def _read(self, request: bytes) -> bytes:
        address, count = _unpack(">xHH", request)
        if not 1 <= count <= _MOST_READ:
            raise _Refusal(ILLEGAL_VALUE)
        end = address + count
        if end > BLOCK * len(self._stations):
            raise _Refusal(ILLEGAL_ADDRESS)
        now = time.monotonic()
        first = address // BLOCK
        found: list[int] = []
        for station in self._stations[first : (end - 1) // BLOCK + 1]:
            found += station.registers(now)
        at = address - first * BLOCK
        return struct.pack(f">BB{count}H", request[0], 2 * count, *found[at : at + count])

    def _write_one(self, request: bytes) -> bytes:
        self._write(*_unpack(">xHH", request))
        return request

    def _write_several(self, request: bytes) -> bytes:
        head, data = request[:6], request[6:]
        address, count, size = _unpack(">xHHB", head)
        if not 1 <= count <= _MOST_WRITTEN or not size == len(data) == 2 * count:
            raise _Refusal(ILLEGAL_VALUE)
        if count > 1:
            # The two registers that can be written are not neighbours.
            raise _Refusal(ILLEGAL_ADDRESS)
        self._write(address, int.from_bytes(data, "big"))
        return head[:5]

    def _write(self, address: int, value: int) -> None:
        number, offset = divmod(address, BLOCK)
        if offset not in (ACKNOWLEDGED, RECIPE_REQUESTED) or number >= len(self._stations):
            raise _Refusal(ILLEGAL_ADDRESS)
        station = self._stations[number]
        if not (station.acknowledge if offset == ACKNOWLEDGED else station.request_recipe)(value):
            raise _Refusal(ILLEGAL_VALUE)


def _unpack(layout: str, request: bytes) -> tuple[int, ...]:
    """Return the numbers in a request; a request whose length differs from the layout's is refused."""
    if len(request) != struct.calcsize(layout):
        raise _Refusal(ILLEGAL_VALUE)
    return struct.unpack(layout, request)
