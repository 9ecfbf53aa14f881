"""The HTTP server of `/healthz`, `/livez` and `/metrics` on loopback, for a monitor on the same box.

It is off unless the configuration names a port. `/healthz` shows the same states as the MQTT status.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.health.exposition import CONTENT_TYPE, expose
from edge_inspect.edge.health.report import StationReport
from edge_inspect.edge.threads import wait_for_end

log = logging.getLogger(__name__)

_END_S = 1.0
_CLOSE_S = 0.05
"""Interval in seconds at which the server checks whether it is to stop."""

Read = Callable[[], tuple[list[str], list[StationReport]]]
"""Returns the stages that hang and the reports of all stations; must not wait for anything that may hang itself."""


class Answer(NamedTuple):
    """An answer: its status, the type of its content, and the content."""

    status: HTTPStatus
    kind: str
    text: str

    @classmethod
    def of_health(cls, ok: bool, fields: dict[str, Any]) -> Answer:
        """Return an answer in JSON, with status 200 or 503."""
        status = HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE
        return cls(status, "application/json", json.dumps({"ok": ok, **fields}) + "\n")

    @classmethod
    def of_metrics(cls, text: str) -> Answer:
        """Return an answer with metrics in the text format of Prometheus."""
        return cls(HTTPStatus.OK, CONTENT_TYPE, text)


class HealthServer:
    """Serves health over HTTP, in a thread of its own, until it is closed.

        GET /healthz    200 while all is well, else 503; JSON in both cases
        GET /livez      200 while nothing hangs, else 503; for a supervisor that restarts the process
        GET /metrics    metrics in the text format of Prometheus

    Args:
        port: Port on 127.0.0.1; 0 means any free port.
        answer: Called with the path of every request for one of these; must not wait for anything that may hang.
        key: The setting that names the port, for messages.

    Raises:
        ConfigurationError: The port is taken.
    """

    def __init__(self, port: int, answer: Callable[[str], Answer], key: str = "health.http_port") -> None:
        handler = type("Handler", (_Handler,), {"answer": staticmethod(answer)})
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        except OSError as error:
            raise ConfigurationError(
                f"{key}: 127.0.0.1:{port} cannot be opened: {error.strerror}; name another port"
            ) from error
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_CLOSE_S,), name="health-http", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop the server and its thread."""
        self._server.shutdown()
        self._server.server_close()
        wait_for_end(self._thread, _END_S)


def of_stations(read: Read) -> Callable[[str], Answer]:
    """Return what answers for the stations of a box.

    /healthz is 200 while every station is online or paused and nothing hangs; /livez has the same JSON.

    Args:
        read: Called at every request.
    """

    def answer(path: str) -> Answer:
        stuck, reports = read()
        if path == "/metrics":
            return Answer.of_metrics(expose(reports))
        ok = not stuck and (path == "/livez" or all(report.is_well for report in reports))
        return Answer.of_health(ok, {"stuck": stuck, "stations": {r.topics.station: _describe(r) for r in reports}})

    return answer


class _Handler(BaseHTTPRequestHandler):
    answer: Callable[[str], Answer]
    server_version = "edge-inspect"
    sys_version = ""
    timeout = 10

    def do_GET(self) -> None:  # http.server requires this name
        path = self.path.partition("?")[0]
        if path in ("/healthz", "/livez", "/metrics"):
            self._answer(*self.answer(path))
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", "the paths are /healthz, /livez and /metrics\n")

    do_HEAD = do_GET

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        log.debug("health: " + format, *args)


def _describe(report: StationReport) -> dict[str, Any]:
    """Return the state of a station, and once it has published health, its connection and its warnings."""
    answer: dict[str, Any] = {"state": report.state, "reason": report.reason}
    if (health := report.health) is not None:
        at = health.model_dump(mode="json", include={"at"})["at"]
        answer |= {"connected": health.mqtt.connected, "at": at, "warnings": list(health.warnings)}
    return answer
