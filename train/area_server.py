"""The page of `edge-train regions`: a web server on loopback with which a person draws areas on a picture.

    GET  /TOKEN/             the page, and its style and scripts beside it
    GET  /TOKEN/picture      the picture, PNG
    GET  /TOKEN/drawing      the areas in the file, JSON
    POST /TOKEN/problems     why the areas sent cannot be saved
    POST /TOKEN/save         writes the file; 422 with the problems, 409 if somebody else has changed the file

Other programs and pages on this computer are kept out: the token is random, the Host header must name loopback (a page
of another site could have its name point here), and what is posted must be JSON from the page itself.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import secrets
import sys
import threading
import webbrowser
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.program import say
from edge_inspect.edge.text import clean
from edge_inspect.train.area_editor import LARGEST_FILE, AreaEditor, Refused, SaveRequest

log = logging.getLogger(__name__)

_LARGEST_DROPPED = 2**24
"""A larger request is cut off before its answer is read."""
_LONGEST_LENGTH = 10
_CLOSE_S = 0.05
"""The server notices within this time that it is to stop."""

_FOLDER = resources.files(__package__ or "edge_inspect.train") / "area_page"
_SCRIPTS = ("main", "drawing", "view", "scene", "pointer", "keyboard", "list", "requests")
_PAGE = {
    "": ("index.html", "text/html; charset=utf-8"),
    "style.css": ("style.css", "text/css; charset=utf-8"),
    **{f"{name}.js": (f"{name}.js", "text/javascript; charset=utf-8") for name in _SCRIPTS},
}
"""Name behind the token, and of it file and type."""
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def edit_areas(picture: Path, out: Path, *, bits: int | None = None, port: int = 0, browser: bool = True) -> None:
    """Serve the page until Ctrl-C, after saying where it is.

    Args:
        picture: The picture to draw on.
        out: The YAML file.
        bits: How many bits the values of a 16-bit picture use; see `read_image`.
        port: The port on 127.0.0.1; 0 is any that is free.
        browser: Open the page in a browser if this computer has a display.

    Raises:
        EdgeInspectError: As `AreaEditor` and `EditorServer`.
    """
    editor = AreaEditor(picture, out, bits)
    server = EditorServer(editor, port)
    try:
        say(f"Draw on {clean(picture)} here: {server.url}\nCtrl-C ends this program.")
        if browser and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            # A browser for terminals would not return before it is closed.
            threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
        server.wait()
    except KeyboardInterrupt:
        say(f"\nEnded. {clean(out)}: " + ("saved" if editor.saved else "nothing was saved"))
    finally:
        server.close()


class EditorServer:
    """Serves the page on 127.0.0.1 until it is closed.

    Args:
        editor: The picture and the file.
        port: The port; 0 is any that is free.

    Raises:
        UsageError: The port is taken.
    """

    def __init__(self, editor: AreaEditor, port: int = 0) -> None:
        self._editor = editor
        token = secrets.token_urlsafe(16)
        handler = type("Handler", (_Handler,), {"editor": editor, "token": token})
        try:
            self._server = _Server(("127.0.0.1", port), handler)
        except OSError as error:
            reason = f"--port {port}: cannot be used: {error.strerror}; name another, or leave it out for a free one"
            raise UsageError(reason) from error
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/{token}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_CLOSE_S,), daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until the server is closed."""
        self._thread.join()

    def close(self) -> None:
        """Stop answering; a file that is being written is written to its end."""
        self._server.shutdown()
        self._server.server_close()
        self._editor.close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that closed its connection."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    editor: AreaEditor
    token: str
    server_version = "edge-inspect"
    sys_version = ""
    timeout = 10

    def do_GET(self) -> None:  # the name that http.server calls
        try:
            name = self._admit()
            if name in _PAGE:
                file, kind = _PAGE[name]
                self._answer(HTTPStatus.OK, kind, (_FOLDER / file).read_bytes())
            elif name == "picture":
                self._answer(HTTPStatus.OK, "image/png", self.editor.png)
            elif name == "drawing":
                self._answer_json(HTTPStatus.OK, self.editor.load())
            else:
                raise Refused(HTTPStatus.NOT_FOUND, "There is no such page; open the link that the terminal shows.")
        except Refused as refused:
            if "text/html" in self.headers.get("Accept", ""):  # a person reads it, not the page
                self._answer(refused.status, "text/plain; charset=utf-8", str(refused).encode())
            else:
                self._answer_json(refused.status, refused.answer)

    do_HEAD = do_GET

    def do_POST(self) -> None:  # likewise
        try:
            # First, because a client that is still sending does not see an answer.
            body = self._read_body()
            actions = {"problems": self.editor.find_problems, "save": self.editor.save}
            action = actions.get(self._admit())
            if action is None:
                raise Refused(HTTPStatus.NOT_FOUND, "There is no such page; open the link that the terminal shows.")
            self._check_sender()
            self._answer_json(HTTPStatus.OK, action(_parse(body)))
        except Refused as refused:
            self._answer_json(refused.status, refused.answer)

    def _admit(self) -> str:
        """Return what is asked for, behind the token, if whoever asks may have it."""
        host = self.headers.get("Host", "").lower()
        if host.partition(":")[0] not in ("127.0.0.1", "localhost"):
            raise Refused(HTTPStatus.FORBIDDEN, "Open this page as 127.0.0.1, by the link that the terminal shows.")
        token, slash, name = self.path.partition("?")[0].lstrip("/").partition("/")
        if not slash or not hmac.compare_digest(token.encode(), self.token.encode()):
            raise Refused(HTTPStatus.FORBIDDEN, "Open the whole link that the terminal shows; it holds the password.")
        return name

    def _check_sender(self) -> None:
        """Refuse what a page of another site could send."""
        origin = self.headers.get("Origin")
        if origin is not None and origin != f"http://{self.headers['Host']}":
            raise Refused(HTTPStatus.FORBIDDEN, "Only this program's own page may save.")
        if self.headers.get_content_type() != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send application/json.")

    def _read_body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) <= _LONGEST_LENGTH):
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "Send a Content-Length.")
        if int(length) > LARGEST_FILE:
            left = min(int(length), _LARGEST_DROPPED)
            while left > 0 and (dropped := self.rfile.read(min(left, 2**16))):
                left -= len(dropped)
            text = f"Not saved: the drawing takes more than {LARGEST_FILE} bytes; delete some points."
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
        return self.rfile.read(int(length))

    def _answer_json(self, status: HTTPStatus, answer: dict[str, Any]) -> None:
        self._answer(status, "application/json", json.dumps(answer).encode())

    def _answer(self, status: HTTPStatus, kind: str, data: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **_HEADERS}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        log.debug("regions: " + format, *args)


def _parse(body: bytes) -> SaveRequest:
    try:
        return SaveRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        text = f"Not saved: the request cannot be read: {f'{place}: ' if place else ''}{first['msg']}"
        raise Refused(HTTPStatus.BAD_REQUEST, text) from error
