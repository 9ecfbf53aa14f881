"""Gives asyncua the history of a station's nodes from the history of its parts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from asyncua import ua
from asyncua.server.history import HistoryStorageInterface

from edge_inspect.edge.opcua.part_history import PartHistory
from edge_inspect.edge.opcua.received_messages import ReceivedPart
from edge_inspect.edge.opcua.result_values import stored_value

MOST_VALUES = 1000
"""Largest number of values in one answer; the client asks again for more."""
MakeValue = Callable[[ReceivedPart], ua.Variant]


class StoredHistory(HistoryStorageInterface):
    """Answers asyncua's questions for the history of nodes.

    Args:
        history: The history of parts.
    """

    def __init__(self, history: PartHistory) -> None:
        self._history = history
        self._nodes: dict[ua.NodeId, tuple[str, MakeValue]] = {}

    def show(self, node: ua.NodeId, station: str, make: MakeValue) -> None:
        """Let a node have a history.

        Args:
            node: The node.
            station: Key of its station.
            make: Returns the node's value after a part.
        """
        self._nodes[node] = (station, make)

    async def read_node_history(
        self, node_id: ua.NodeId, start: datetime | None, end: datetime | None, nb_values: int
    ) -> tuple[list[ua.DataValue], datetime | None]:
        """Return values of a node by time, and the time at which the next answer begins; see asyncua.

        Without a start, or with a start after the end, the newest value comes first.
        """
        if node_id not in self._nodes:
            return [], None
        station, make = self._nodes[node_id]
        first, last = _moment(start), _moment(end)
        backwards = first is None or (last is not None and first > last)
        if first is not None and last is not None and first > last:
            first, last = last, first
        most = min(nb_values or MOST_VALUES, MOST_VALUES)
        page = await asyncio.to_thread(self._history.read, station, first, last, most, backwards=backwards)
        values = [stored_value(make(part), part.decided_at) for part in page.parts]
        # With a wish for so many values, the client does not expect more.
        return values, None if nb_values and nb_values <= MOST_VALUES else page.next_at

    async def read_event_history(self, source_id: Any, start: Any, end: Any, nb_values: int, evfilter: Any) -> Any:
        """Return no events: they have no history."""
        return [], None

    async def init(self) -> None:
        """Do nothing: the history of parts is open."""

    async def stop(self) -> None:
        """Do nothing: whoever opened the history of parts closes it."""

    async def new_historized_node(self, node_id: ua.NodeId, period: timedelta | None, count: int = 0) -> None:
        """Do nothing: `show` says which nodes have a history."""

    async def save_node_value(self, node_id: ua.NodeId, datavalue: ua.DataValue) -> None:
        """Do nothing: the parts are stored."""

    async def new_historized_event(self, source_id: Any, evtypes: Any, period: Any, count: int = 0) -> None:
        """Do nothing: events have no history."""

    async def save_event(self, event: Any) -> None:
        """Do nothing: events have no history."""


def _moment(time: datetime | None) -> datetime | None:
    """Return a time; `None` for none, which OPC UA writes as the year 1601."""
    return None if time is None or time.year <= 1601 else time
