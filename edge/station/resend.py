"""The command `resend`: which parts of the history are published again."""

from __future__ import annotations

from edge_inspect.edge.contract.commands import Refused, Resend
from edge_inspect.edge.contract.replies import SequenceRange
from edge_inspect.edge.outbox import Outbox
from edge_inspect.edge.sinks.sink import Sink


def resend(command: Resend, outbox: Outbox, station: str, sink: Sink) -> SequenceRange:
    """Publish parts of the history again, and return which.

    Args:
        command: The command.
        outbox: Outbox with the history.
        station: Name of the station in the outbox.
        sink: Sink that publishes.

    Raises:
        Refused: The history does not have the parts, or too many requests wait.
    """
    kept = outbox.history_range(station)
    if kept is None:
        raise Refused("impossible", "the history is empty; outbox.history_bytes sets how much it keeps")
    first, last = max(command.from_sequence, kept[0]), min(command.to_sequence or kept[1], kept[1])
    if first > last:
        beyond = "later parts were not delivered yet" if first > kept[1] else "earlier parts are no longer kept"
        raise Refused("impossible", f"the history holds parts {kept[0]} to {kept[1]}; {beyond}")
    if not sink.resend(first, last):
        raise Refused("busy", "too many requests to resend wait; try again when they are done")
    return SequenceRange(first=first, last=last)
