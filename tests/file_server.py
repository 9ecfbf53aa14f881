"""A web server of files on loopback that can break off, lie, redirect, trickle, and forget what it is asked."""

from __future__ import annotations

import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Served:
    """A file, and how it is served.

    Attributes:
        data: Its content.
        etag: Its ETag; `None`: none is sent.
        break_after: Numbers of bytes after which the next responses break off, one a response.
        says: What Content-Length says; `None`: the truth; -1: nothing is said, and the file ends with the connection.
        ranges: Whether Range is obeyed.
        status: Status of the next responses, one a response; then 200 or 206.
        location: Where a redirect leads.
        pause_s: Wait after each block.
        block: Bytes of a block.
        chunked: Whether the file is sent in chunks.
        headers: Further headers.
        shift: Bytes by which a partial response begins too late.
    """

    data: bytes
    etag: str | None = '"1"'
    break_after: list[int] = field(default_factory=list)
    says: int | None = None
    ranges: bool = True
    status: list[int] = field(default_factory=list)
    location: str | None = None
    pause_s: float = 0.0
    block: int = 65536
    chunked: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    shift: int = 0


class FileServer:
    """The server; `asked` lists path and Range of every request."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.files: dict[str, Served] = {}
        self.asked: list[tuple[str, str | None]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.asked.append((self.path, self.headers.get("Range")))
                try:
                    server.answer(self)
                except OSError:  # the client has given up
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign]
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
            scheme = "https"
        self.port = self._http.server_address[1]
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        served = self.files.get(request.path.split("?")[0])
        if served is None:
            request.send_error(404)
            return
        start, data = self._start(request, served), served.data
        status = served.status.pop(0) if served.status else 206 if start else 200
        rest = data[start + (served.shift if start else 0) :]
        request.send_response(status)
        if served.location is not None:
            request.send_header("Location", served.location)
        if status == 206:
            request.send_header("Content-Range", f"bytes {start + served.shift}-{len(data) - 1}/{len(data)}")
        if served.etag is not None:
            request.send_header("ETag", served.etag)
        for name, value in served.headers.items():
            request.send_header(name, value)
        if served.chunked:
            request.send_header("Transfer-Encoding", "chunked")
        elif served.says != -1:
            request.send_header("Content-Length", str(len(rest) if served.says is None else served.says))
        request.end_headers()
        self._send(request, served, rest)

    def _start(self, request: BaseHTTPRequestHandler, served: Served) -> int:
        wanted, same = request.headers.get("Range"), request.headers.get("If-Range")
        if not served.ranges or wanted is None or (same is not None and same != served.etag):
            return 0
        return int(wanted.removeprefix("bytes=").removesuffix("-"))

    def _send(self, request: BaseHTTPRequestHandler, served: Served, rest: bytes) -> None:
        end = served.break_after.pop(0) if served.break_after else None
        rest = rest[:end]
        for at in range(0, len(rest), served.block):
            block = rest[at : at + served.block]
            request.wfile.write(b"%x\r\n%b\r\n" % (len(block), block) if served.chunked else block)
            request.wfile.flush()
            time.sleep(served.pause_s)
        if served.chunked and end is None:
            request.wfile.write(b"0\r\n\r\n")

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join(10)
        self._http.server_close()
