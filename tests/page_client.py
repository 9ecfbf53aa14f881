"""A browser's side of the page: cookies, the CSRF token, and bytes on a socket as no browser would send them."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from typing import Any, NamedTuple

from page_server import PASSWORDS

PATIENCE = 30.0


class Answer(NamedTuple):
    """An answer of the server."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """What went wrong, in words."""
        return str(self.json()["error"])


class Browser:
    """Sends requests as the page's code in a browser does, and keeps the cookies that it is given."""

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None, headers: dict[str, str] | None = None) -> None:
        self._port, self._tls = port, tls
        self.headers = headers or {}
        self.cookies: dict[str, str] = {}
        self.csrf: str | None = None

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Return the answer to a request.

        A body that is not bytes is sent as JSON. A stream of events is not read.
        """
        sent = dict(self.headers)
        if body is not None:
            sent["Content-Type"] = "application/json"
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if self.csrf and method != "GET":
            sent["X-CSRF-Token"] = self.csrf
        sent |= headers or {}
        if self._tls is not None:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                "localhost", self._port, timeout=PATIENCE, context=self._tls
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, {name: value for name, value in sent.items() if value})
            got = connection.getresponse()
            endless = got.headers.get_content_type() == "text/event-stream"
            answer = Answer(got.status, got.headers, b"" if endless else got.read())
        finally:
            connection.close()
        for line in got.headers.get_all("Set-Cookie") or []:
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        """Return the answer to a GET."""
        return self.ask("GET", path, None, headers)

    def post(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Return the answer to a POST."""
        return self.ask("POST", path, {} if body is None else body, headers)

    def log_in(self, name: str, password: str | None = None) -> Answer:
        """Log in, by default with the user's own password."""
        answer = self.post("/api/login", {"user": name, "password": password or PASSWORDS[name]})
        if answer.status == 200:
            self.csrf = answer.json()["csrf"]
        return answer


def send_raw(port: int, data: bytes, *, timeout: float = PATIENCE) -> bytes:
    """Return all that the server sends after these bytes, until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(data)
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
        return answer
