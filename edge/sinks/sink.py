"""The interface of a sink, which delivers one station's messages and receives its commands."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from edge_inspect.edge.configuration.settings import Settings
from edge_inspect.edge.contract.commands import ReturnAddress, Verb
from edge_inspect.edge.contract.health import Health
from edge_inspect.edge.contract.messages import Status
from edge_inspect.edge.contract.replies import Reply
from edge_inspect.edge.outbox import Kind, Outbox
from edge_inspect.edge.sinks import load_sink, split_sink

OnCommand = Callable[[bytes, bool, ReturnAddress | None], None]
"""Called with a command's payload, whether the command was retained, and the sender's return address, if it has one."""


class Sink(Protocol):
    """Delivers the messages of one station. It is opened with the station, before the station's engine is ready.

    Verdicts and defects wait in the outbox. A sink reads them from there in order, in a thread of its own, and removes
    an entry only when the receiver has acknowledged it. If the receiver can never accept an entry, the sink drops it
    from the outbox and counts it in `set_aside`. So every verdict arrives at least once, and in order if repeats are
    ignored.

    Every method may be called from any thread. Only `close` waits for the receiver.
    """

    @property
    def connected(self) -> bool:
        """Whether the receiver is connected now."""

    @property
    def reconnects(self) -> int:
        """Number of reconnections."""

    @property
    def set_aside(self) -> int:
        """Number of messages given up because the receiver does not accept them."""

    def address(self, kind: Kind) -> str:
        """Return the address of a kind of message, such as a topic. The outbox stores it with each message."""

    def set_status(self, status: Status) -> None:
        """Deliver a status, after earlier ones."""

    def publish_health(self, health: Health) -> None:
        """Deliver health if the receiver is connected; an older one that still waits is replaced."""

    def publish_image(self, identity: str, jpeg: bytes) -> str | None:
        """Deliver a picture before any later reply; return its address, or `None` if it cannot be sent."""

    def reply(self, reply: Reply, back: ReturnAddress | None = None) -> None:
        """Deliver the reply to a command, after earlier replies; also to the sender's return address, if it has one."""

    def resend(self, first: int, last: int) -> bool:
        """Deliver the parts `first` to `last` from the outbox's history again.

        Returns:
            False: too many requests wait already, and this one is refused.
        """

    def close(self, timeout: float = 5.0) -> None:
        """Deliver waiting messages for at most `timeout` seconds, deliver the status `offline`, and end the thread."""


@dataclass(frozen=True)
class SinkContext:
    """Arguments for opening a sink.

    Attributes:
        settings: The whole configuration.
        station: Name of the station, in the configuration and in the outbox.
        outbox: Outbox in which the station's messages wait; all stations share it.
        status: Present status of the station.
        where: Text after the sink's name and a colon in the configuration; empty if there is none.
        on_command: Called with each command, in a thread of the sink.
        on_set_aside: Called with a sentence when a message is given up because the receiver does not accept it.
        allowed: Commands that the station carries out.
    """

    settings: Settings
    station: str
    outbox: Outbox
    status: Status
    where: str
    on_command: OnCommand
    on_set_aside: Callable[[str], None]
    allowed: Collection[Verb] = ()


OpenSink = Callable[[SinkContext], Sink]


def open_sink(
    settings: Settings,
    station: str,
    outbox: Outbox,
    status: Status,
    on_command: OnCommand,
    on_set_aside: Callable[[str], None],
    *,
    allowed: Collection[Verb] = (),
) -> Sink:
    """Open the sink that the configuration names, for one station; see `SinkContext` for the arguments."""
    name, where = split_sink(settings.sink)
    opens: OpenSink = load_sink(name)
    return opens(SinkContext(settings, station, outbox, status, where, on_command, on_set_aside, allowed))
