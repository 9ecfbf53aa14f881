"""The server: TLS from files, and clients that send too slowly or nothing."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import Authority
from mosquitto import free_port
from page_client import PATIENCE, Browser
from page_server import make_app, make_people, serving

from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.page import http_connection
from edge_inspect.edge.page.http_connection import HttpConnection
from edge_inspect.edge.page.server import PageServer
from edge_inspect.edge.page.settings import ListenSettings

HEAD = b"GET /api/session HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(http_connection, "REQUEST_S", 0.5)
    with serving(make_app(make_people(tmp_path)), http=HttpConnection) as server:
        yield server.port


def until_closed(connection: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return received


@pytest.mark.parametrize("sent", [b"", b"GET /api", HEAD, HEAD + b"X-A: b"])
def test_a_client_that_sends_no_whole_request_is_cut_off(port: int, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(sent)
        assert until_closed(connection) == b""


def test_a_client_that_trickles_headers_is_cut_off(port: int) -> None:
    """The attack is known as Slowloris: each header keeps the connection busy."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(HEAD)
        with pytest.raises(OSError):
            for i in range(1000):
                connection.sendall(f"X-{i}: x\r\n".encode())
                time.sleep(0.02)


def test_the_second_request_of_a_connection_must_be_whole_as_well(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(HEAD + b"\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(HEAD)
        until_closed(connection)


def test_a_hundred_slow_clients_keep_nobody_out(port: int) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
            slow.sendall(HEAD)
        assert Browser(port).log_in("otto").status == 200


@contextlib.contextmanager
def running(folder: Path, listen: ListenSettings) -> Iterator[None]:
    """The page's own server in a thread, until the block ends."""
    ready, end = threading.Event(), threading.Event()

    async def serve() -> None:
        server = PageServer(make_app(make_people(folder, tls=True)), listen)
        await server.start()
        ready.set()
        while not end.is_set():
            await asyncio.sleep(0.01)
        await server.stop()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        yield
    finally:
        end.set()
        thread.join(PATIENCE)


def test_tls_comes_from_files_and_old_versions_are_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate = authority.make("page", "localhost", "127.0.0.1")
    port = free_port()
    with running(tmp_path, ListenSettings(port=port, certificate=certificate, key=certificate.with_suffix(".key"))):
        context = ssl.create_default_context(cafile=str(authority.file))
        browser = Browser(port, tls=context)
        assert browser.log_in("otto").status == 200 and "__Host-session" in browser.cookies
        old = ssl.create_default_context(cafile=str(authority.file))
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(OSError):
            Browser(port, tls=old).get("/api/session")


def test_a_relative_name_is_a_credential_of_systemds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    authority.make("page", "localhost")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    port = free_port()
    with running(tmp_path, ListenSettings(port=port, certificate=Path("page.pem"), key=Path("page.key"))):
        browser = Browser(port, tls=ssl.create_default_context(cafile=str(authority.file)))
        assert browser.get("/api/session").status == 200


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("missing", "No such file"),
        ("swapped", "are listen.certificate and listen.key swapped?"),
        ("of another", "does not belong to listen.certificate"),
        ("empty", "is empty"),
        ("passphrase", "has a passphrase; write it without one"),
    ],
)
def test_files_that_cannot_be_used_are_named_with_the_remedy(tmp_path: Path, fault: str, said: str) -> None:
    authority = Authority(tmp_path)
    certificate = authority.make("page", "localhost", passphrase=b"secret" if fault == "passphrase" else b"")
    key = certificate.with_suffix(".key")
    if fault == "missing":
        key = tmp_path / "nowhere.key"
    elif fault == "swapped":
        certificate, key = key, certificate
    elif fault == "of another":
        key = authority.make("other", "localhost").with_suffix(".key")
    elif fault == "empty":
        certificate.write_text("")
    with pytest.raises(ConfigurationError, match=r"^listen\.(key|certificate): ") as found:
        PageServer(make_app(make_people(tmp_path)), ListenSettings(port=free_port(), certificate=certificate, key=key))
    assert said in str(found.value)
    assert str(key) in str(found.value) or str(certificate) in str(found.value)
