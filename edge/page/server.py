"""The HTTP server: uvicorn, without its handling of signals and its own log of every request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.mqtt.credentials import server_tls_context
from edge_inspect.edge.page.http_connection import HttpConnection, listen
from edge_inspect.edge.page.settings import ListenSettings

_KEEP_ALIVE_S = 75
_MOST_CONNECTIONS = 600
_STOP_S = 1


class PageServer(uvicorn.Server):
    """Serves the application until `stop`.

    Args:
        app: The application.
        settings: Address, certificate and key.

    Raises:
        ConfigurationError: The page cannot listen on the address, or certificate and key cannot be used.
    """

    def __init__(self, app: ASGIApp, settings: ListenSettings) -> None:
        # The names of a proxy's headers are dealt with by the page's own gate.
        config = uvicorn.Config(
            app,
            http=HttpConnection,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_STOP_S,
            limit_concurrency=_MOST_CONNECTIONS,
        )
        config.load()
        if settings.certificate is not None and settings.key is not None:
            # uvicorn would ask for a key's passphrase on the terminal, and says less about a file that cannot be used.
            config.ssl = server_tls_context("listen", settings.certificate, settings.key)
        try:
            self._listener = listen(settings.host, settings.port)
        except OSError as error:
            raise ConfigurationError(
                f"listen: cannot listen on {settings.host}:{settings.port}: {error.strerror}; choose another port, or "
                "an address of this box"
            ) from error
        log = logging.getLogger("uvicorn.error")
        log.setLevel(logging.WARNING)
        log.addFilter(_is_news)
        super().__init__(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to answer requests."""
        self._task = asyncio.ensure_future(self.serve([self._listener]))
        while not self.started and not self._task.done():
            await asyncio.sleep(0.01)
        if self._task.done():
            self._task.result()

    async def stop(self) -> None:
        """Stop listening, give the last answers a second, and end all connections."""
        self.should_exit = True
        if self._task is not None:
            await asyncio.wait([self._task], timeout=2 * _STOP_S)
        self._listener.close()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the service."""
        yield


def _is_news(record: logging.LogRecord) -> bool:
    """Return false for what uvicorn says when a browser is dropped, which `EventStream` has logged already."""
    return "without completing response" not in record.getMessage()
