"""All stations: makes the nodes of a station at its first message, and gives each message to its station."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from functools import partial

from asyncua import Server, ua

from edge_inspect.edge.opcua.feed import Received
from edge_inspect.edge.opcua.inspection_type import PART_VALUES, Value, add_inspection_type
from edge_inspect.edge.opcua.live_values import variant
from edge_inspect.edge.opcua.machine_vision import import_machine_vision
from edge_inspect.edge.opcua.part_history import PartHistory
from edge_inspect.edge.opcua.received_messages import ReceivedPart
from edge_inspect.edge.opcua.result_values import result
from edge_inspect.edge.opcua.station_commands import StationCommands
from edge_inspect.edge.opcua.station_events import EventTypes, StationEvents
from edge_inspect.edge.opcua.station_methods import StationMethods
from edge_inspect.edge.opcua.station_nodes import NodeMaker, StationNodes
from edge_inspect.edge.opcua.stored_history import StoredHistory
from edge_inspect.edge.opcua.vision_station import VisionStation
from edge_inspect.edge.page.audit import AuditLog
from edge_inspect.edge.page.command_sender import CommandSender
from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)

MOST_STATIONS = 256
"""Largest number of stations, because anybody who may publish can make up names."""
FINISH_S = 1.0
"""Longest time for which parts are still shown when the server ends, in seconds."""
_WITH_HISTORY = ("Accepted", "Score")
"""Variables of Inspection that have a history, beside LatestResult."""


class Stations:
    """The stations in the address space. Used in the event loop's thread.

    Args:
        server: The server.
        history: The history of parts.
        sender: Sends commands.
        audit: The audit log.
        stale_after_s: Seconds without a message after which a station's values are old.
    """

    def __init__(
        self, server: Server, history: PartHistory, sender: CommandSender, audit: AuditLog, stale_after_s: float
    ) -> None:
        self._server, self._history, self._sender, self._audit = server, history, sender, audit
        self._stale_after_s = stale_after_s
        self._stations: dict[str, VisionStation | None] = {}
        self._stored = StoredHistory(history)

    async def load(self) -> None:
        """Add the types to the address space; call this once, before the server starts."""
        self._vision = await import_machine_vision(self._server)
        self._maker = NodeMaker(self._server, self._vision, await add_inspection_type(self._server))
        self._event_types = EventTypes(self._server, self._vision)
        await self._event_types.load()
        self._server.iserver.history_manager.set_storage(self._stored)

    @property
    def waiting(self) -> bool:
        """Whether parts wait for their defects, so that `release` should be called soon."""
        return any(station is not None and len(station.queue) for station in self._stations.values())

    async def take(self, received: list[Received]) -> None:
        """Take what has come; the clients are served between any two messages, however many have come."""
        for each in received:
            station = await self._station(each.station)
            if station is not None:
                await station.take(each.message, retained=each.retained)
            await asyncio.sleep(0)
        await self.release()

    async def finish(self, received: list[Received]) -> None:
        """Take what has come, and let no part wait any longer: the broker does not send it again after a restart.

        Every part is stored. For `FINISH_S` they are shown too; the server ends soon, whatever has piled up.
        """
        shown_until = time.monotonic() + FINISH_S
        for each in received:
            station = await self._station(each.station)
            if station is not None and isinstance(each.message, ReceivedPart):
                await station.take(each.message, retained=each.retained)
        await self.release(math.inf, shown_until)

    async def release(self, now: float | None = None, shown_until: float = math.inf) -> None:
        """Store and show the parts that need not wait any longer.

        Args:
            now: Seconds of the monotonic clock; the present by default.
            shown_until: Time of that clock from which parts are only stored.
        """
        now = time.monotonic() if now is None else now
        for key, station in self._stations.items():
            if station is not None and (ready := station.queue.release(now)):
                for part in await asyncio.to_thread(self._history.add, key, ready):
                    if time.monotonic() >= shown_until:
                        break
                    await station.show_new(part)
                    await asyncio.sleep(0)

    async def grow_old(self, *, connected: bool) -> None:
        """Mark the values of silent stations as old; call this every second, and when the connection changes."""
        for station in self._stations.values():
            if station is not None:
                await station.grow_old(connected=connected)

    async def _station(self, key: str) -> VisionStation | None:
        """Return a station, which is made if it is new; `None` if it cannot be shown."""
        if key not in self._stations:
            if len(self._stations) >= MOST_STATIONS:
                return None
            self._stations[key] = await self._make(key)
            if len(self._stations) == MOST_STATIONS:
                log.warning("%d stations are shown, and that is the limit; others are left out", MOST_STATIONS)
        return self._stations[key]

    async def _make(self, key: str) -> VisionStation | None:
        try:
            nodes = await self._maker.add(key)
        except ua.UaError as error:
            log.warning("%s is not shown, because its name is that of another station's node: %s", clean(key), error)
            return None
        events = StationEvents(self._event_types, nodes.station, key)
        station = VisionStation(self._server, self._vision, nodes, events, self._stale_after_s)
        commands = StationCommands(key, self._sender, self._audit)
        await StationMethods(key, station, commands, self._history).bind(self._server, nodes.methods)
        await station.begin(await asyncio.to_thread(self._history.newest, key))
        await self._keep_history(key, nodes)
        log.info("%s is shown", clean(key))
        return station

    async def _keep_history(self, key: str, nodes: StationNodes) -> None:
        """Let LatestResult, and some variables of Inspection, have a history."""
        self._stored.show(nodes.result, key, lambda part: ua.Variant(result(part), ua.VariantType.ExtensionObject))
        shown = [value for value in PART_VALUES if value.name in _WITH_HISTORY]
        for value in shown:
            self._stored.show(nodes.inspection[value.name], key, partial(_of_part, value))
        for node in (nodes.result, *(nodes.inspection[value.name] for value in shown)):
            made = self._server.get_node(node)
            await made.write_attribute(ua.AttributeIds.Historizing, ua.DataValue(True))
            await made.set_attr_bit(ua.AttributeIds.AccessLevel, ua.AccessLevel.HistoryRead)
            await made.set_attr_bit(ua.AttributeIds.UserAccessLevel, ua.AccessLevel.HistoryRead)


def _of_part(value: Value, part: ReceivedPart) -> ua.Variant:
    return variant(value, value.of(part))
