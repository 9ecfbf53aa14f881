"""A web server, run as a process of its own, that takes what the webhook posts, or misbehaves as it is told.

    python tests/webhook_server.py PORT FOLDER [CERTIFICATE KEY]

FOLDER/mode says how the next request is treated, as `500` or `drop`; FOLDER/requests.jsonl has what was taken.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mosquitto import free_port, wait_until

HANG_S = 3600.0


class Handler(BaseHTTPRequestHandler):
    folder: Path

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        mode = (self.folder / "mode").read_text()
        self._note("tried.jsonl", body, mode)
        if mode == "hang":
            time.sleep(HANG_S)
        elif mode == "drop":
            self.close_connection = True
        elif mode == "trickle":
            with contextlib.suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while True:
                    self.wfile.write(b"a")
                    time.sleep(0.05)
        elif mode == "garbage":
            self.wfile.write(b"\x00\xff not http\r\n\r\n")
            self.close_connection = True
        elif mode == "redirect":
            self.send_response(307)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/other")  # type: ignore[attr-defined]
            self.end_headers()
        else:
            status = int(mode)
            if status < 300:
                self._note("requests.jsonl", body, mode)
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", "1")
            self.end_headers()
            self.wfile.write(b"because\x1b[31m" if status >= 400 else b"")

    def _note(self, name: str, body: bytes, mode: str) -> None:
        noted = {
            "path": self.path,
            "headers": {key.lower(): value for key, value in self.headers.items()},
            "body": body.decode(),
            "mode": mode,
        }
        with (self.folder / name).open("a") as file:
            file.write(json.dumps(noted) + "\n")

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class WebhookServer:
    """The server as a process, which can be stopped and started again on the same port."""

    def __init__(self, folder: Path, tls: Sequence[Path] = ()) -> None:
        folder.mkdir(exist_ok=True)
        self._folder, self._tls = folder, tls
        self.port = free_port()
        self.set_mode("200")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, __file__, str(self.port), str(self._folder), *map(str, self._tls)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"serving\n"

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def set_mode(self, mode: str) -> None:
        new = self._folder / "mode.new"
        new.write_text(mode)
        new.replace(self._folder / "mode")

    def requests(self, name: str = "requests.jsonl") -> list[dict[str, Any]]:
        """What was taken; with `tried.jsonl` also what was not."""
        path = self._folder / name
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        return [json.loads(line) for line in lines]

    def wait_for(self, count: int, patience: float = 60.0) -> list[dict[str, Any]]:
        """The requests, once so many different ones were taken."""

        def ids() -> set[str]:
            return {each["headers"]["webhook-id"] for each in self.requests()}

        wait_until(lambda: len(ids()) >= count, patience, f"{count} requests")
        return self.requests()

    def wait_tried(self, mode: str, patience: float = 60.0) -> None:
        """Wait until a request came while the server was in a mode."""
        wait_until(lambda: any(each["mode"] == mode for each in self.requests("tried.jsonl")), patience, mode)


def main(port: str, folder: str, *tls: str) -> None:
    Handler.folder = Path(folder)
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    server.daemon_threads = True
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print("serving", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
