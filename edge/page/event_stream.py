"""Server-sent events: what has changed, serialised once, for every browser."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from edge_inspect.edge.page.line_view import LineView

log = logging.getLogger(__name__)

MOST_STREAMS = 200
TICK_S = 0.1
"""Shortest time between two changes, in seconds."""
KEEP_ALIVE_S = 5.0
"""Seconds after which a comment is sent, so that proxies and browsers see that the connection is alive."""
# A browser that is further behind is dropped. It connects again by itself, and gets a snapshot then.
_MOST_WAITING = 32
FAREWELL_S = 0.5
"""Seconds in which the end of a response must be sent."""


class TooManyStreams(Exception):
    """As many browsers as possible listen already."""


def to_event(name: str, data: bytes) -> bytes:
    """Return an event in the format of server-sent events. The data must be JSON without line breaks."""
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


class _Listener:
    """What waits for one browser."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[bytes] = asyncio.Queue(_MOST_WAITING)
        self.ended = asyncio.Event()


class EventStream:
    """Sends the changes of the line to all browsers. Used in the event loop's thread.

    The first change after a pause is sent at once, later ones after `TICK_S`. Nobody waits for a slow browser.

    Args:
        line: What is known of all stations.
        most: Largest number of browsers.
    """

    def __init__(self, line: LineView, most: int = MOST_STREAMS) -> None:
        self._line, self._most = line, most
        self._listeners: set[_Listener] = set()
        self._changed = asyncio.Event()
        self._closed = False
        line.on_change = self._changed.set

    def __len__(self) -> int:
        """Return the number of browsers that listen."""
        return len(self._listeners)

    async def run(self) -> None:
        """Send changes until this task is cancelled."""
        async with _task(self._keep_alive()):
            while True:
                await self._changed.wait()
                self._changed.clear()
                self._send(to_event("change", self._line.changes()))
                await asyncio.sleep(TICK_S)

    def send(self, name: str, data: dict[str, Any]) -> None:
        """Send an event of another kind, such as `label` or `teaching`, to every browser at once."""
        self._send(to_event(name, json.dumps(data, allow_nan=False, separators=(",", ":")).encode()))

    def response(self) -> Response:
        """Return the response to a browser that begins to listen. The gate ends it when the session ends.

        Raises:
            TooManyStreams: There are as many as possible.
        """
        if self._closed or len(self._listeners) >= self._most:
            raise TooManyStreams
        return _EventResponse(self)

    def close(self) -> None:
        """End all responses, and accept no more."""
        self._closed = True
        for listener in self._listeners:
            listener.ended.set()

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(KEEP_ALIVE_S)
            self._send(b": alive\n\n")

    def _send(self, event: bytes) -> None:
        for listener in self._listeners:
            if listener.ended.is_set():
                continue
            try:
                listener.waiting.put_nowait(event)
            except asyncio.QueueFull:
                log.warning("a browser is %d events behind and is disconnected", _MOST_WAITING)
                listener.ended.set()

    @contextlib.contextmanager
    def _listen(self) -> Any:
        listener = _Listener()
        listener.waiting.put_nowait(b"retry: 1000\n\n" + to_event("snapshot", self._line.snapshot()))
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)


class _EventResponse(Response):
    """The response to one browser, which lasts until the browser leaves, is too slow, or the page ends."""

    media_type = "text/event-stream"

    def __init__(self, stream: EventStream) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        with self._stream._listen() as listener:  # noqa: SLF001 (one class in two parts)
            ways_to_end = [self._send_all(listener, send), _until_gone(receive), listener.ended.wait()]
            tasks = [asyncio.ensure_future(way) for way in ways_to_end]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        # To a browser that reads nothing this cannot be sent.
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(send({"type": "http.response.body", "body": b"", "more_body": False}), FAREWELL_S)

    async def _send_all(self, listener: _Listener, send: Send) -> None:
        while True:
            event = await listener.waiting.get()
            await send({"type": "http.response.body", "body": event, "more_body": True})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@contextlib.asynccontextmanager
async def _task(work: Any) -> Any:
    """Run a coroutine beside the block, and cancel it after the block."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
