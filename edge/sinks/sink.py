"""What every sink does: it delivers one station's messages, and brings the commands for it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from edge_inspect.edge.configuration.settings import Settings
from edge_inspect.edge.contract.commands import Reply, ReturnAddress, Verb
from edge_inspect.edge.contract.health import Health
from edge_inspect.edge.contract.messages import Status
from edge_inspect.edge.outbox import Kind, Outbox
from edge_inspect.edge.sinks import load_sink, split_sink

OnCommand = Callable[[bytes, bool, ReturnAddress | None], None]
"""Called with a command's payload, whether it was kept for later receivers, and where its sender wants the reply."""


class Sink(Protocol):
    """Delivers what one station has to say; opened when the station is, before its engine is there.

    Verdicts and defects wait in the outbox. A sink takes them from there in order, in a thread of its own, and removes
    an entry only when the receiver has acknowledged it. An entry that the receiver can never take is dropped there, and
    counted in `set_aside`. So every verdict arrives once or more often, and in order once repeats are left out.

    Every method may be called from any thread, and none waits for the receiver but `close`.
    """

    @property
    def connected(self) -> bool:
        """Whether the receiver can be reached now."""

    @property
    def reconnects(self) -> int:
        """How often the connection was made again."""

    @property
    def set_aside(self) -> int:
        """How many messages were given up because the receiver does not take them."""

    def address(self, kind: Kind) -> str:
        """Return where messages of a kind go: what the outbox keeps with each of them for this sink."""

    def set_status(self, status: Status) -> None:
        """Deliver a status, after those before it."""

    def publish_health(self, health: Health) -> None:
        """Deliver health, if the receiver can be reached; only the newest matters."""

    def publish_image(self, identity: str, jpeg: bytes) -> str | None:
        """Deliver a picture, before any later reply; return where it can be had, or `None` if it cannot be sent."""

    def reply(self, reply: Reply, back: ReturnAddress | None = None) -> None:
        """Deliver what became of a command, after the replies before it, also to whom else wants it."""

    def resend(self, first: int, last: int) -> bool:
        """Deliver parts of the outbox's history again; return whether there was room for the request."""

    def close(self, timeout: float = 5.0) -> None:
        """Deliver what can be delivered within `timeout` seconds, say `offline`, and end the thread."""


@dataclass(frozen=True)
class SinkContext:
    """What a sink is opened with.

    Attributes:
        settings: The whole configuration.
        station: Name of the station, in the configuration and in the outbox.
        outbox: Where its messages wait; shared between stations.
        status: What the station is doing now.
        where: What the configuration says behind the sink's name and a colon; empty where there is none.
        on_command: Called with each command, in a thread of the sink.
        on_set_aside: Called with a sentence when a message is given up that the receiver does not take.
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
