"""The values of one station in the address space, which become uncertain when the station falls silent."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from asyncua import Server, ua

from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.opcua.inspection_type import Value

GOOD = ua.StatusCode(ua.StatusCodes.Good)
OLD = ua.StatusCode(ua.StatusCodes.UncertainLastUsableValue)
NOTHING = ua.StatusCode(ua.StatusCodes.BadNoData)
WAITING = ua.StatusCode(ua.StatusCodes.BadWaitingForInitialData)


class LiveValues:
    """Writes values, and remembers them to mark them as old. Used in the event loop's thread.

    Args:
        server: The server.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._written: dict[ua.NodeId, ua.DataValue] = {}
        self._is_old = False

    async def put(self, node: ua.NodeId, value: ua.Variant, at: datetime | None = None, *, empty: bool = False) -> None:
        """Write a value.

        Args:
            node: The variable.
            value: Its value.
            at: Time of the value; the present by default.
            empty: Whether there is no value, and `value` only stands in its place.
        """
        now = utc_now()
        status = NOTHING if empty else OLD if self._is_old else GOOD
        self._written[node] = ua.DataValue(value, status, SourceTimestamp=at or now, ServerTimestamp=now)
        await self._server.write_attribute_value(node, self._written[node])

    async def put_all(
        self, nodes: dict[str, ua.NodeId], values: Iterable[Value], message: Any, at: datetime | None = None
    ) -> None:
        """Write the values that a message gives.

        Args:
            nodes: The variables, by the names of the values.
            values: The values.
            message: The message.
            at: Time of the values.
        """
        for value in values:
            given = value.of(message)
            await self.put(nodes[value.name], variant(value, given), at, empty=given is None)

    async def set_old(self, old: bool) -> None:
        """Mark all values as old, or as good again, unless they are."""
        if old == self._is_old:
            return
        self._is_old = old
        now = utc_now()
        for node, last in self._written.items():
            if last.StatusCode == NOTHING:
                continue
            marked = ua.DataValue(
                last.Value, OLD if old else GOOD, SourceTimestamp=last.SourceTimestamp, ServerTimestamp=now
            )
            await self._server.write_attribute_value(node, marked)

    async def await_first(self, nodes: Iterable[ua.NodeId]) -> None:
        """Say of variables that they have no value yet."""
        for node in nodes:
            await self._server.write_attribute_value(node, ua.DataValue(ua.Variant(), WAITING))


def variant(value: Value, given: Any) -> ua.Variant:
    """Return a value as its type says; `None` becomes an empty text, 0 or false, because asyncua keeps the type."""
    if given is None:
        given = ua.get_default_value(value.kind)
    return ua.Variant(given, value.kind, is_array=value.rank == 1 or None)
