"""A real browser for tests of pages: Debian's chromium, driven by playwright."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@contextlib.contextmanager
def open_browser() -> Iterator[Browser]:
    """Start a browser; the test is skipped, with the reason, where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install '.[dev]'")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium not found: apt-get install chromium")
    # As root there is no sandbox; in a container /dev/shm may be small.
    arguments = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments, timeout=120_000)
        yield browser
        browser.close()


class Watch:
    """Collects what a page must not do: errors on its console, and requests to any address but its own."""

    def __init__(self, page: Page, own: str) -> None:
        self.found: list[str] = []
        page.on("console", lambda message: self.found.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: self.found.append(str(error)))
        page.on("request", lambda request: self._see(request.url, own))

    def _see(self, url: str, own: str) -> None:
        if not url.startswith((own, "data:", "blob:")):
            self.found.append(f"request: {url}")
