"""One request to a server that accepts the connection, and nothing more."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator

import pytest

from edge_inspect.edge.bundle.web_address import WebAddress
from edge_inspect.edge.webhook.post import post

TIMEOUT_S = 0.5


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that reads and writes nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        accepted: list[socket.socket] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    accepted.append(server.accept()[0])

        thread = threading.Thread(target=accept)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for one in accepted:
            one.close()


@pytest.mark.parametrize(("scheme", "body_bytes"), [("https", 10), ("http", 2**25), ("http", 10)])
def test_the_time_of_a_request_holds_whatever_hangs(silent: int, scheme: str, body_bytes: int) -> None:
    """The TLS handshake, the sending of a body, or the wait for the answer."""
    address = WebAddress.parse(f"{scheme}://127.0.0.1:{silent}/parts")
    context = ssl.create_default_context() if scheme == "https" else None
    began = time.monotonic()
    answer = post(address, context, {}, bytes(body_bytes), TIMEOUT_S, lambda: False)
    took = time.monotonic() - began
    assert not answer.delivered and not answer.refused and answer.problem
    assert took < 8 * TIMEOUT_S, answer


def test_a_stop_ends_a_request(silent: int) -> None:
    address, stop = WebAddress.parse(f"http://127.0.0.1:{silent}/parts"), threading.Event()
    timer = threading.Timer(0.2, stop.set)
    timer.start()
    answer = post(address, None, {}, b"{}", 60.0, stop.is_set)
    timer.join()
    assert answer.problem == "the program is stopping"
