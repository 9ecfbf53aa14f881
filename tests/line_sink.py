"""A sink for tests: it appends each message to a file as a line, `NAME:/path`. It shows what a new sink has to do."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from edge_inspect.edge.contract.commands import ReturnAddress
from edge_inspect.edge.contract.health import Health
from edge_inspect.edge.contract.messages import Status
from edge_inspect.edge.contract.replies import Reply
from edge_inspect.edge.outbox import Kind
from edge_inspect.edge.sinks.sink import SinkContext

RETRY_S = 0.05


class LineSink:
    """Delivers a station's messages to a file, which may not be there yet."""

    def __init__(self, context: SinkContext) -> None:
        self._station, self._outbox, self._path = context.station, context.outbox, Path(context.where)
        self.connected, self.reconnects, self.set_aside = False, 0, 0
        self.on_command = context.on_command
        self._notices: list[tuple[str, dict[str, Any]]] = []
        self._resends: list[tuple[int, int]] = []
        self._wake, self._closing = threading.Event(), threading.Event()
        self._unsubscribe = context.outbox.subscribe(context.station, self._wake.set)
        self.set_status(context.status)
        self._thread = threading.Thread(target=self._run, name=f"lines-{context.station}", daemon=True)
        self._thread.start()

    def address(self, kind: Kind) -> str:
        return f"{self._station}:{kind}"

    def set_status(self, status: Status) -> None:
        self._add("status", status.model_dump(mode="json"))

    def publish_health(self, health: Health) -> None:
        self._add("health", health.model_dump(mode="json"))

    def publish_image(self, identity: str, jpeg: bytes) -> str | None:
        self._add("image", {"bytes": len(jpeg)})
        return identity

    def reply(self, reply: Reply, back: ReturnAddress | None = None) -> None:
        self._add("reply", reply.model_dump(mode="json"))

    def resend(self, first: int, last: int) -> bool:
        self._resends.append((first, last))
        self._wake.set()
        return True

    def close(self, timeout: float) -> None:
        self._unsubscribe()
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout)

    def _add(self, kind: str, content: dict[str, Any]) -> None:
        self._notices.append((f"{self._station}:{kind}", content))
        self._wake.set()

    def _run(self) -> None:
        while True:
            closing = self._closing.is_set()
            self._wake.clear()
            try:
                while self._deliver():
                    pass
                self.connected = True
            except OSError:
                self.connected = False
            if closing:
                return
            self._wake.wait(None if self.connected else RETRY_S)

    def _deliver(self) -> bool:
        """Write what waits; return whether there may be more."""
        while self._notices:
            self._write(*self._notices[0])
            self._notices.pop(0)
        while self._resends:
            for entry in self._outbox.history(self._station, *self._resends[0], 0, 1000):
                self._write(entry.address, json.loads(entry.payload))
            self._resends.pop(0)
        entries = self._outbox.pending(self._station, 0, 16)
        for entry in entries:
            self._write(entry.address, json.loads(entry.payload))
            self._outbox.remove([entry.id])
        return bool(entries)

    def _write(self, address: str, content: dict[str, Any]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps({"address": address, **content}) + "\n")


def open_sink(context: SinkContext) -> LineSink:
    return LineSink(context)
