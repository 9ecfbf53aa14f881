"""The page in a real browser: its process, a real broker, stations that publish, and people who look at it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
from bridge_parts import verdict
from browser import Watch, open_browser
from mosquitto import Broker, wait_until
from page_parts import Publisher, Station, png, write_page
from page_server import PASSWORDS
from service_process import Process

from edge_inspect.edge.contract.messages import Defect, Region, Verdict
from edge_inspect.edge.demo.line import render_part

PATIENCE = 60_000
"""Longest wait for what a browser shows, in milliseconds: only a page that hangs takes so long."""
SIZES = ((768, 1024), (1024, 768), (1920, 1080), (390, 844))
"""A tablet, a tablet on its side, a screen on the wall, a phone."""
REGION = Region(bbox=(400, 300, 60, 40), area_px=1800, peak=0.8, centroid=(430.0, 320.0))


class LivePage:
    """A page that runs, its broker and its publisher; every part of it can be ended and started again."""

    def __init__(self, folder: Path, browser: Any, **settings: Any) -> None:
        self._folder, self._browser = folder, browser
        self.broker = Broker(folder)
        self.broker.start()
        settings = {"display_without_login": False, **settings}
        self.config, self.port = write_page(folder, self.broker.port, **settings)
        self.address = f"http://127.0.0.1:{self.port}/"
        self.publisher = Publisher(self.broker.port)
        self._process: Process | None = None
        self._sessions: dict[str, Any] = {}
        self.picture = bytes(cv2.imencode(".jpg", render_part(1).frame)[1])

    def start(self) -> None:
        """Start the page's process, and wait until it listens."""
        command = [sys.executable, "-m", "edge_inspect.edge.cli", "page", "--config", str(self.config)]
        variables = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
        self._process = Process(command, self._folder / "page.log", cwd=self._folder, env=variables)
        wait_until(lambda: "serving the page" in self.said(), PATIENCE / 1000, "the page starts")

    def kill(self) -> None:
        """End the page's process without a warning."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def restart_broker(self) -> None:
        """Start the broker that was stopped; stations that were made before cannot publish any more."""
        self.publisher.close()
        self.broker.start()
        self.publisher = Publisher(self.broker.port)

    def said(self) -> str:
        """What the page's process has logged; a test fails when the process has ended by itself."""
        assert self._process is not None
        assert self._process.poll() is None, self._process.said()
        return self._process.said()

    def station(self, name: str) -> Station:
        """A station that has published its status and its health."""
        made = Station(self.publisher, f"plant/line1/{name}")
        made.begin()
        return made

    def inspect(self, station: Station, *, ok: bool = True, picture: bytes | bool = True, **changes: Any) -> Verdict:
        """Publish a part with its region, its picture (a rendered part, or the given JPEG) and its map."""
        station.sequence += 1
        made = verdict(station.sequence, ok=ok).model_copy(update=changes)
        station.say(made, "verdict")
        if not made.ok:
            station.say(Defect.of(made, (REGION.model_copy(update={"area_name": made.area_name}),)), "defect")
        if picture:
            station.show(made.id, self.picture if picture is True else picture, png(320, 240))
        return made

    @contextlib.contextmanager
    def seen_by(self, user: str | None, route: str = "#/", **options: Any) -> Iterator[Any]:
        """Yield the page in a browser of its own; the browser's console must stay empty.

        Args:
            user: Who has logged in; `None`: nobody.
            route: What is opened.
            options: Of the browser's context; `errors` says which errors on the console are allowed.
        """
        allowed = options.pop("errors", ())
        # Checking a password costs a core some tenths of a second, so a person logs in once for all tests.
        options.setdefault("storage_state", self._sessions.get(user or ""))
        context = self._browser.new_context(**{"viewport": {"width": 1024, "height": 768}, **options})
        try:
            page = context.new_page()
            page.set_default_timeout(PATIENCE)
            watch = Watch(page, self.address)
            page.goto(self.address + route)
            if user is not None and user not in self._sessions:
                log_in(page, user)
                self._sessions[user] = context.storage_state()
            yield page
            found = [text for text in watch.found if not any(each in text for each in allowed)]
            assert not found, found
        finally:
            context.close()

    def close(self) -> None:
        self.publisher.close()
        if self._process is not None:
            self._process.__exit__()
        self.broker.stop()


def log_in(page: Any, user: str, password: str | None = None) -> None:
    """Fill in the form."""
    page.locator("#user").fill(user)
    page.locator("#password").fill(PASSWORDS[user] if password is None else password)
    page.keyboard.press("Enter")
    if password is None:
        page.locator("#user").wait_for(state="detached")


@contextlib.contextmanager
def live_page(folder: Path, **settings: Any) -> Iterator[LivePage]:
    """Yield a page that runs, and a browser for it."""
    with open_browser() as browser:
        page = LivePage(folder, browser, **settings)
        try:
            page.start()
            yield page
        finally:
            page.close()


def settle(page: Any) -> None:
    """Wait until what has changed is drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


CONTRAST = """() => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const luminance = ({ r, g, b }) => [r, g, b]
    .map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const mix = (top, below, key) => top[key] * top.a + below[key] * (1 - top.a);
  const over = (top, below) => Object.fromEntries(["r", "g", "b"].map((key) => [key, mix(top, below, key)]));
  const ground = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      layers.push(colour);
      if (colour.a === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), { r: 255, g: 255, b: 255 });
  };
  const found = [];
  const seen = new Set();
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || element.closest("svg, .unseen, option") || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const [one, other] = [luminance(parse(style.color)), luminance(ground(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    const size = parseFloat(style.fontSize);
    const needed = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    seen.add(`${style.color} on ${Object.values(ground(element)).map(Math.round)}`);
    const name = `${element.className || element.tagName} "${element.textContent.slice(0, 30)}"`;
    if (ratio < needed) found.push(`${name}: ${ratio.toFixed(2)}`);
  }
  return { found, pairs: seen.size };
}"""
"""Returns texts whose contrast is below WCAG AA, and how many pairs of colours there are."""

TOO_SMALL = """() => [...document.querySelectorAll("button, a, input, select, summary")]
  .filter((element) => element.checkVisibility() && !element.closest(".alarms") && element.id !== "skip")
  .map((element) => [element, element.getBoundingClientRect()])
  .filter(([, { width, height }]) => height < 44 || width < 44)
  .map(([element, { width, height }]) => `${element.outerHTML.slice(0, 80)}: ${width} x ${height}`)"""
"""Returns what a finger would miss."""

OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
"""Returns by how many pixels the page is wider than the window."""


def check_legible(page: Any) -> None:
    """Check contrast, touch targets and width at every size."""
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        settle(page)
        contrast, small, overflow = page.evaluate(CONTRAST), page.evaluate(TOO_SMALL), page.evaluate(OVERFLOW)
        assert not contrast["found"], contrast["found"]
        assert contrast["pairs"] >= 3
        assert not small, (width, small)
        assert overflow == 0, (width, overflow)


def ask(page: Any, path: str) -> Any:
    """The server's answer, as JSON, to what the page's own code could ask."""
    return page.evaluate("async (path) => (await fetch(path)).json()", f"api/{path}")


def open_queue(page: Any, live: LivePage, station: Station, count: int, **filters: str) -> None:
    """Open the review of a station when the server has stored its parts; wait until the queue has so many."""

    def are_listed() -> bool:
        listed = ask(page, f"review?station={station.key}&word=all&only=all&limit=100")["parts"]
        page.wait_for_timeout(100)
        return len(listed) == min(station.sequence, 100)

    wait_until(are_listed, PATIENCE / 1000, "the server has stored the parts")
    page.goto(f"{live.address}#/review/{station.key}")
    for name, value in filters.items():
        page.locator(f"#filter-{name}").select_option(value)
    page.locator(f".strip li:nth-child({count})").wait_for()
