"""Modbus TCP: shows the stations' registers to PLCs, and takes their acknowledgements.

Function codes 3 and 4 read the same registers, 6 and 16 write `acknowledged`; any device id is answered. What one
request reads is of one moment.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Sequence

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from edge.bridge.registers import ACKNOWLEDGED, BLOCK
from edge.bridge.settings import ModbusSettings
from edge.bridge.station import BridgedStation
from edge.errors import ConfigurationError

log = logging.getLogger(__name__)

_READ = (3, 4)
_WRITE = (6, 16)
_START_S = 10.0


class Server:
    """Serves from its making to `close`, in a thread of its own.

    Args:
        settings: Where to listen.
        stations: In the order of their blocks.

    Raises:
        ConfigurationError: The address cannot be listened on.
    """

    def __init__(self, settings: ModbusSettings, stations: Sequence[BridgedStation]) -> None:
        self._settings, self._stations = settings, stations
        self._started = threading.Event()
        self._problem: str | None = "it does not start"
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="modbus", daemon=True)
        self._thread.start()
        self._started.wait(_START_S)
        if self._problem is not None:
            raise ConfigurationError(
                f"modbus: {settings.host}:{settings.port} cannot be listened on: {self._problem}; name another address "
                "or port, and see that no other bridge runs"
            )

    def close(self) -> None:
        """Stop listening and hang up."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(5.0)

    async def _serve(self) -> None:
        registers = SimData(0, count=BLOCK * len(self._stations), values=0, datatype=DataType.REGISTERS)
        # Id 0 stands for all.
        device = SimDevice(0, simdata=[registers], action=self._act)
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = ModbusTcpServer(device, address=(self._settings.host, self._settings.port))
        try:
            await server.serve_forever(background=True)
            self._problem = None
        except RuntimeError as error:
            self._problem = str(error)
        self._started.set()
        if self._problem is None:
            await self._stop.wait()
            server.close()

    async def _act(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        written: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Bring the registers that are read up to date, or take those that are written."""
        if function in _READ:
            now = time.monotonic()
            for number in range(address // BLOCK, (address + count - 1) // BLOCK + 1):
                registers[number * BLOCK : (number + 1) * BLOCK] = self._stations[number].registers(now)
            return None
        if function not in _WRITE or written is None:
            return ExcCodes.ILLEGAL_FUNCTION
        number, offset = divmod(address, BLOCK)
        if offset != ACKNOWLEDGED or count != 1:
            return ExcCodes.ILLEGAL_ADDRESS
        return None if self._stations[number].acknowledge(int(written[0])) else ExcCodes.ILLEGAL_VALUE
