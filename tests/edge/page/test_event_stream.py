from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from bridge_parts import verdict

from edge_inspect.edge.page import event_stream
from edge_inspect.edge.page.event_stream import EventStream, TooManyStreams, to_event
from edge_inspect.edge.page.line_view import LineView, Received
from edge_inspect.edge.page.settings import PageSettings

KEY = "plant/line1/a"


class FakeBrowser:
    """One request for the events, as an ASGI server hands it to the application."""

    def __init__(self, events: EventStream) -> None:
        self.got: list[bytes] = []
        self.at: list[float] = []
        self.stuck = asyncio.Event()
        self.stuck.set()
        self.gone = asyncio.Event()
        self.complete = False
        response = events.response()
        self.task = asyncio.ensure_future(response({"type": "http"}, self._receive, self._send))

    def events(self, name: str) -> list[Any]:
        """The data of the events with a name."""
        begin = f"event: {name}\ndata: ".encode()
        return [json.loads(each.split(b"data: ", 1)[1]) for each in self.got if begin in each]

    async def _receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        await self.stuck.wait()
        if message["type"] == "http.response.body":
            self.got.append(message["body"])
            self.at.append(time.monotonic())
            self.complete = not message["more_body"]


def run(test: Callable[[LineView, EventStream], Awaitable[None]], most: int = 200) -> None:
    """Runs a test in an event loop, with a line without a broker."""

    async def main() -> None:
        line = LineView(PageSettings())
        events = EventStream(line, most)
        sending = asyncio.ensure_future(events.run())
        try:
            await asyncio.wait_for(test(line, events), 30)
        finally:
            sending.cancel()

    asyncio.run(main())


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def inspect(line: LineView, number: int) -> None:
    line.take([Received(KEY, verdict(number))])


def test_a_browser_gets_everything_and_then_what_changes() -> None:
    async def test(line: LineView, events: EventStream) -> None:
        inspect(line, 1)
        browser = FakeBrowser(events)
        await until(lambda: browser.events("snapshot"))
        inspect(line, 2)
        await until(lambda: browser.events("change"))
        assert [part["sequence"] for part in browser.events("snapshot")[0]["stations"][0]["parts"]] == [1]
        assert browser.events("change")[-1]["stations"][0]["parts"][0]["sequence"] == 2

    run(test)


def test_changes_are_gathered_and_all_browsers_get_the_same_bytes() -> None:
    async def test(line: LineView, events: EventStream) -> None:
        browsers = [FakeBrowser(events) for _ in range(3)]
        await until(lambda: all(browser.events("snapshot") for browser in browsers))
        for number in range(1, 51):
            inspect(line, number)
            await asyncio.sleep(0.004)
        await until(lambda: all(seen(browser) == set(range(1, 51)) for browser in browsers))
        assert browsers[0].got[1:] == browsers[1].got[1:] == browsers[2].got[1:]
        assert browsers[0].got[1] is browsers[1].got[1], "serialised once"
        assert len(browsers[0].events("change")) < 30

    run(test)


def seen(browser: FakeBrowser) -> set[int]:
    changes = browser.events("change")
    return {part["sequence"] for change in changes for each in change["stations"] for part in each["parts"]}


def test_a_stuck_browser_is_dropped_and_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "TICK_S", 0.001)
    monkeypatch.setattr(event_stream, "FAREWELL_S", 0.05)

    async def test(line: LineView, events: EventStream) -> None:
        stuck, well = FakeBrowser(events), FakeBrowser(events)
        await until(lambda: stuck.got and well.got)
        stuck.stuck.clear()
        for number in range(1, 200):
            inspect(line, number)
            await until(lambda number=number: number in seen(well))  # type: ignore[misc]
        await until(stuck.task.done)
        assert len(events) == 1 and not well.task.done() and not stuck.complete

    run(test)


def test_a_browser_that_leaves_is_forgotten() -> None:
    async def test(line: LineView, events: EventStream) -> None:
        browser = FakeBrowser(events)
        await until(lambda: browser.got)
        browser.gone.set()
        await until(browser.task.done)
        assert len(events) == 0 and browser.task.exception() is None

    run(test)


def test_there_are_only_so_many_browsers() -> None:
    async def test(line: LineView, events: EventStream) -> None:
        browsers = [FakeBrowser(events) for _ in range(2)]
        await until(lambda: all(browser.got for browser in browsers))
        with pytest.raises(TooManyStreams):
            FakeBrowser(events)
        browsers[0].gone.set()
        await until(browsers[0].task.done)
        FakeBrowser(events)

    run(test, most=2)


def test_a_quiet_line_sends_a_comment_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_S", 0.01)

    async def test(line: LineView, events: EventStream) -> None:
        browser = FakeBrowser(events)
        await until(lambda: browser.got.count(b": alive\n\n") == 3)

    run(test)


def test_closing_ends_every_response() -> None:
    async def test(line: LineView, events: EventStream) -> None:
        browsers = [FakeBrowser(events) for _ in range(5)]
        await until(lambda: all(browser.got for browser in browsers))
        events.close()
        await until(lambda: all(browser.task.done() for browser in browsers))
        assert all(browser.complete for browser in browsers)
        with pytest.raises(TooManyStreams):
            events.response()

    run(test)


def test_other_events_go_to_everybody_at_once() -> None:
    async def test(line: LineView, events: EventStream) -> None:
        browser = FakeBrowser(events)
        await until(lambda: browser.got)
        events.send("label", {"station": KEY, "id": "x\n\nevent: y", "label": None})
        await until(lambda: browser.events("label"))
        assert browser.events("label") == [{"station": KEY, "id": "x\n\nevent: y", "label": None}]

    run(test)


def test_the_format_of_an_event() -> None:
    assert to_event("change", b"{}") == b"event: change\ndata: {}\n\n"
