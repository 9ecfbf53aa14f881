"""Connections that carry events, on a real socket, in the test's own event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from bridge_parts import defect, verdict
from mosquitto import free_port
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.page import event_stream, http_connection
from edge_inspect.edge.page.event_stream import EventStream
from edge_inspect.edge.page.line_view import LineView, Received
from edge_inspect.edge.page.server import PageServer
from edge_inspect.edge.page.settings import ListenSettings, PageSettings

Work = Callable[[int, LineView, EventStream], Awaitable[None]]


def serve(work: Work) -> None:
    """Runs a test beside a server with the events of a line without a broker."""

    async def main() -> None:
        line = LineView(PageSettings())
        events = EventStream(line)

        async def listen(request: Request) -> Response:
            return events.response()

        async def hello(request: Request) -> Response:
            return PlainTextResponse("hello")

        port = free_port()
        server = PageServer(Starlette(routes=[Route("/events", listen), Route("/", hello)]), ListenSettings(port=port))
        sending = asyncio.ensure_future(events.run())
        await server.start()
        try:
            await asyncio.wait_for(work(port, line, events), 60)
        finally:
            events.close()
            await server.stop()
            sending.cancel()

    asyncio.run(main())


async def ask(port: int, request: bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") -> Any:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    return reader, writer


def test_a_browser_that_reads_nothing_is_dropped_and_delays_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(event_stream, "TICK_S", 0.001)
    monkeypatch.setattr(event_stream, "FAREWELL_S", 0.05)

    async def work(port: int, line: LineView, events: EventStream) -> None:
        reader, writer = await ask(port, b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        stuck = await ask(port, b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        stuck[1].transport.pause_reading()
        seen = 0
        while len(events) != 1 or seen < 400:
            seen += 1
            made = verdict(seen, ok=False, part_id=f"part {seen}!")
            line.take([Received("plant/line1/a", defect(made, *[100] * 32))])
            text = b""
            while f'"part {seen}!"'.encode() not in text:
                text = text[-300:] + await asyncio.wait_for(reader.read(1 << 20), 30)
        await asyncio.sleep(0.2)  # longer than the farewell
        for each in (writer, stuck[1]):
            each.close()

    serve(work)
    assert "events behind and is disconnected" in caplog.text
    assert "Traceback" not in caplog.text and "without completing" not in caplog.text


def test_an_answer_may_take_longer_than_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "REQUEST_S", 0.2)
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_S", 0.5)

    async def work(port: int, line: LineView, events: EventStream) -> None:
        reader, writer = await ask(port, b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b": alive"), 30)
        writer.close()

    serve(work)


def test_a_taken_port_is_a_sentence() -> None:
    async def work(port: int, line: LineView, events: EventStream) -> None:
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            PageServer(Starlette(), ListenSettings(port=port))

    serve(work)
