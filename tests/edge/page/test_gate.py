"""The gate, attacked over a socket: forged, oversized, slow and foreign requests."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest
from certificates import Authority
from page_client import PATIENCE, Browser, send_raw
from page_server import PASSWORDS, fail, make_app, make_people, serving, static, write_everybody
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

POST = b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SLOW = POST + b"Content-Length: 100\r\n\r\n{"


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "secret.txt").write_text("a secret")
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "index.html").write_text("the page")
    app = make_app(make_people(tmp_path), static(tmp_path / "static"), Route("/api/fail", fail), body_s=0.5)
    with serving(app, timeout_keep_alive=1) as server:
        yield server.port


@pytest.fixture
def otto(port: int) -> Browser:
    browser = Browser(port)
    assert browser.log_in("otto").status == 200
    return browser


def test_with_session_and_token_a_request_is_answered(otto: Browser) -> None:
    assert otto.post("/api/operator", {"a": 1}).json() == {"name": "otto", "role": "operator", "sent": {"a": 1}}
    assert otto.post("/api/viewer").status == 200
    assert otto.post("/api/engineer").status == 403
    assert "needs the role engineer, and otto has the role operator" in otto.post("/api/engineer").error


@pytest.mark.parametrize("token", ["", "A" * 64, "\xff", "null", "undefined"])
def test_without_the_right_csrf_token_nothing_changes(otto: Browser, token: str) -> None:
    answer = otto.post("/api/operator", {}, {"X-CSRF-Token": token})
    assert answer.status == 403 and "X-CSRF-Token" in answer.error
    assert otto.post("/api/logout", {}, {"X-CSRF-Token": token}).status == 403
    assert otto.get("/api/viewer").status == 200


def test_the_csrf_token_of_another_session_is_refused(otto: Browser, port: int) -> None:
    other = Browser(port)
    other.log_in("otto")
    assert otto.post("/api/operator", {}, {"X-CSRF-Token": str(other.csrf)}).status == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO"])
def test_every_method_that_may_change_something_needs_the_token(port: int, otto: Browser, method: str) -> None:
    assert otto.ask(method, "/api/operator", None, {"X-CSRF-Token": ""}).status == 403
    assert Browser(port).ask(method, "/api/operator").status == 401


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"Origin": "http://127.0.0.1:{port}"}, True),
        ({"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "https://127.0.0.1:{port}"}, False),
        ({"Origin": "http://127.0.0.1"}, False),
        ({"Origin": "http://127.0.0.1:1"}, False),
        ({"Origin": "http://localhost:{port}"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "http://127.0.0.1:{port}.evil.example"}, False),
        ({"Origin": "http://127.0.0.1:{port}/path"}, False),
        ({"Origin": "http://user@127.0.0.1:{port}"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "file://"}, False),
        ({"Origin": "http://[::1"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
    ],
)
def test_a_request_of_another_page_is_refused_even_with_the_token(
    otto: Browser, port: int, headers: dict[str, str], allowed: bool
) -> None:
    headers = {name: value.replace("{port}", str(port)) for name, value in headers.items()}
    assert otto.post("/api/operator", {}, headers).status == (200 if allowed else 403)
    login = {"user": "otto", "password": PASSWORDS["otto"]}
    assert Browser(port).post("/api/login", login, headers).status == (200 if allowed else 403)


@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx"]
    + ["text/plain; application/json", "application/json-seq"],
)
def test_a_form_or_text_that_any_page_could_send_is_refused(otto: Browser, port: int, kind: str) -> None:
    body = b'{"user": "otto", "password": "an operator\'s password"}'
    assert otto.ask("POST", "/api/operator", body, {"Content-Type": kind}).status == 415
    assert Browser(port).ask("POST", "/api/login", body, {"Content-Type": kind}).status == 415


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", "application/json"])
def test_json_is_accepted_however_it_is_written(otto: Browser, kind: str) -> None:
    assert otto.post("/api/operator", {}, {"Content-Type": kind}).status == 200


def test_a_post_without_body_needs_no_type(otto: Browser) -> None:
    assert otto.ask("POST", "/api/logout").status == 200


@pytest.mark.parametrize(
    "path", ["/api/session", "/api/viewer", "/api/nothing", "/static/index.html", "/x", "/api/fail"]
)
def test_every_answer_has_the_security_headers(otto: Browser, path: str) -> None:
    answer = otto.get(path)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "camera=()" in answer.headers["Permissions-Policy"] and answer.headers["Strict-Transport-Security"] is None
    assert (answer.headers["Cache-Control"] == "no-store") is path.startswith("/api/")
    assert answer.headers["Access-Control-Allow-Origin"] is None


def test_refused_requests_have_the_headers_too(port: int) -> None:
    for answer in (
        Browser(port).get("/api/viewer"),
        Browser(port).get("/api/viewer", {"Host": "evil.example"}),
        Browser(port).post("/api/login", b"x" * 70000),
    ):
        assert answer.status >= 400 and {name: answer.headers[name] for name in HEADERS} == HEADERS


def test_a_bug_is_logged_with_its_traceback_and_told_without(otto: Browser, caplog: pytest.LogCaptureFixture) -> None:
    answer = otto.get("/api/fail")
    assert answer.status == 500 and "secret details" not in answer.body.decode() and "log" in answer.error
    assert "RuntimeError: a bug with secret details" in caplog.text
    assert otto.get("/api/viewer").status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:99", 200),
        ("127.0.0.1:8460", 200),
        ("[::1]:8460", 200),
        ("evil.example", 421),
        ("evil.example:8460", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.", 421),
        ("192.0.2.1", 421),
        ("localhost@evil.example", 400),
        ("localhost/evil", 400),
        ("localhost:x", 400),
        ("[::1", 400),
        ("local host", 400),
    ],
)
def test_on_loopback_a_name_of_another_box_is_refused(port: int, host: str, status: int) -> None:
    """Otherwise a page whose name resolves to 127.0.0.1 could read the wall display (DNS rebinding)."""
    assert Browser(port).get("/api/session", {"Host": host}).status == status


@pytest.mark.parametrize("request_line", [b"GET /api/session HTTP/1.0\r\n", b"GET /api/session HTTP/1.1\r\nHost:\r\n"])
def test_a_request_without_host_is_refused(port: int, request_line: bytes) -> None:
    assert send_raw(port, request_line + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "path",
    ["/static/../secret.txt", "/static/%2e%2e/secret.txt", "/static/..%2fsecret.txt", "/static/%2e%2e%2fsecret.txt"]
    + ["/static//etc/passwd", "/static/%2fetc/passwd", "/static/..%5csecret.txt", "/static/.%00./secret.txt"]
    + ["/static/%252e%252e/secret.txt", "/static/index.html%00.txt", "/../secret.txt", "//secret.txt", "/static/"]
    + ["/static/%c0%ae%c0%ae/secret.txt", "/static/....//secret.txt"],
)
def test_no_path_leads_out_of_the_folder(port: int, path: str) -> None:
    answer = send_raw(port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b" ", 2)[1] in (b"400", b"404") and b"secret" not in answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("character", [b"\xff", b"\x00", b"\r", b"\x1b"])
def test_a_byte_that_no_path_has_is_refused(port: int, character: bytes) -> None:
    answer = send_raw(port, b"GET /" + character + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "value", ["x\r\nSet-Cookie: session=evil", "%0d%0aSet-Cookie:%20session=evil", "\n\nGET / HTTP/1.1"]
)
def test_no_name_or_header_reaches_the_head_of_an_answer(port: int, value: str) -> None:
    browser = Browser(port)
    answer = browser.post("/api/login", {"user": value, "password": "wrong"})
    assert answer.status == 401 and answer.headers["Set-Cookie"] is None
    answer = browser.get(f"/api/session?{value.encode().hex()}", {"X-CSRF-Token": "%0d%0aSet-Cookie: a=b"})
    assert answer.headers["Set-Cookie"] is None


@pytest.mark.parametrize("length", [65537, 10**9, 10**30])
def test_an_announced_body_that_is_too_large_is_refused_at_once(port: int, length: int) -> None:
    answer = send_raw(port, POST + f"Content-Length: {length}\r\n\r\n".encode())
    assert answer.startswith((b"HTTP/1.1 413", b"HTTP/1.1 400"))


def test_a_body_of_64_kib_is_read_and_no_byte_more(otto: Browser) -> None:
    assert otto.post("/api/operator", b'"' + b"x" * (65536 - 2) + b'"').status == 200
    assert otto.post("/api/operator", b'"' + b"x" * (65536 - 1) + b'"').status == 413


def test_a_body_without_end_is_refused_and_the_connection_closed(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        sent = 0
        with pytest.raises(OSError):
            while sent < 50_000_000:
                connection.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                sent += 4096
        assert sent < 50_000_000


def test_a_body_that_trickles_is_refused(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(SLOW)
        assert connection.recv(65536).startswith(b"HTTP/1.1 408")
        while connection.recv(65536):
            pass


def test_slow_bodies_do_not_keep_others_waiting(port: int) -> None:
    slow = [socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) for _ in range(50)]
    try:
        for connection in slow:
            connection.sendall(SLOW)
        assert Browser(port).log_in("vera").status == 200
    finally:
        for connection in slow:
            connection.close()


@pytest.mark.parametrize("body", [b"x", b"0\r\n\r\n"])
def test_a_get_with_a_body_is_refused_unless_it_is_empty(port: int, body: bytes) -> None:
    how = b"Transfer-Encoding: chunked" if body.startswith(b"0") else b"Content-Length: 1"
    answer = send_raw(
        port, b"GET /api/session HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + how + b"\r\n\r\n" + body
    )
    assert answer.startswith(b"HTTP/1.1 200" if body.startswith(b"0") else b"HTTP/1.1 413")


def test_too_many_and_too_long_headers_are_refused(port: int) -> None:
    browser = Browser(port)
    assert browser.get("/api/session", {f"X-{i}": "x" for i in range(70)}).status == 431
    assert browser.get("/api/session", {"Cookie": "a=" + "x" * 15000, "X-A": "y" * 1500}).status == 431
    assert browser.get("/api/session?" + "x" * 5000).status == 414
    assert browser.get("/api/session").status == 200


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x00" * 1000,
        b"x" * 70000,
        b"PRI * HTTP/2.0\r\n\r\n",
    ]
    + [b"POST /api/login HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"]
    + [b"POST /api/login HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /"]
    + [b"GET /api/session HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n"]
    + [b"GET ws://localhost/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: close, upgrade\r\n\r\n"],
)
def test_bytes_that_are_no_request_do_no_harm(port: int, data: bytes) -> None:
    answer = send_raw(port, data)
    assert b"200 OK" not in answer
    assert answer == b"" or answer.split(b" ", 2)[1] in (b"400", b"404", b"413", b"421")
    assert Browser(port).get("/api/session").status == 200


def test_if_the_audit_log_cannot_be_written_nobody_logs_in_but_everybody_can_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = make_people(tmp_path)
    with serving(make_app(people)) as server:
        otto = Browser(server.port)
        otto.log_in("otto")
        monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        emma = Browser(server.port)
        answer = emma.log_in("emma")
        assert answer.status == 507 and "No space left on device" in answer.error and emma.cookies == {}
        assert otto.post("/api/logout").status == 200
        monkeypatch.undo()
        assert otto.get("/api/viewer").status == 401
        assert emma.log_in("emma").status == 200


def test_a_display_without_login_may_look_and_do_nothing(tmp_path: Path) -> None:
    with serving(make_app(make_people(tmp_path, display_without_login=True))) as server:
        display = Browser(server.port)
        assert display.get("/api/session").json()["display"] is True
        assert display.get("/api/session").json()["user"] is None
        assert display.get("/api/viewer").json()["name"] == "display"
        assert display.get("/api/operator").status == 401
        assert display.post("/api/viewer").status == 401
        assert display.log_in("otto").status == 200
        assert display.get("/api/viewer").json()["name"] == "otto"
        write_everybody(tmp_path / "users.yaml", "vera")
        assert display.get("/api/viewer").json()["name"] == "display"


def test_a_stream_ends_with_the_session(tmp_path: Path) -> None:
    async def stream(request: Request) -> StreamingResponse:
        async def events() -> AsyncIterator[bytes]:
            yield b"begun\n"
            await anyio.sleep_forever()

        return StreamingResponse(events())

    people = make_people(tmp_path)
    with serving(make_app(people, Route("/api/stream", stream), session_check_s=0.1)) as server:
        browser = Browser(server.port)
        browser.log_in("otto")
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
            cookie = f"Cookie: session={browser.cookies['session']}"
            connection.sendall(f"GET /api/stream HTTP/1.1\r\nHost: localhost\r\n{cookie}\r\n\r\n".encode())
            received = b""
            while b"begun" not in received:
                received += connection.recv(65536)
            time.sleep(0.5)
            connection.settimeout(0.01)
            with pytest.raises(TimeoutError):
                assert connection.recv(65536), "the stream ended although the session is open"
            connection.settimeout(PATIENCE)
            browser.post("/api/logout")
            while connection.recv(65536):
                pass


@pytest.mark.parametrize(
    ("forwarded", "seen"),
    [
        ({"X-Forwarded-For": "192.0.2.7"}, "192.0.2.7"),
        ({"X-Forwarded-For": "203.0.113.1, 192.0.2.7"}, "192.0.2.7"),
        ({"X-Forwarded-For": "192.0.2.7, 127.0.0.1"}, "192.0.2.7"),
        ({"X-Forwarded-For": "evil\\n, 192.0.2.7:4711"}, "192.0.2.7"),
        ({"X-Forwarded-For": "[2001:db8::1]:4711"}, "2001:db8::1"),
        ({"X-Forwarded-For": "192.0.2.7, evil"}, "127.0.0.1"),
        ({"X-Forwarded-For": ""}, "127.0.0.1"),
        ({}, "127.0.0.1"),
    ],
)
def test_behind_a_proxy_its_headers_are_believed(tmp_path: Path, forwarded: dict[str, str], seen: str) -> None:
    people = make_people(tmp_path, proxies=("127.0.0.1", "::1"))
    with serving(make_app(people)) as server:
        browser = Browser(
            server.port, headers={"X-Forwarded-Proto": "https", "Host": "page.plant.example", **forwarded}
        )
        browser.headers["Origin"] = "https://page.plant.example"
        answer = browser.log_in("emma")
        assert answer.status == 200
        assert all(
            "; Secure" in cookie and cookie.startswith("__Host-") for cookie in answer.headers.get_all("Set-Cookie")
        )
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert browser.get("/api/audit").json()["entries"][0]["address"] == seen
        assert browser.post("/api/operator", {}, {"Origin": "http://page.plant.example"}).status == 403
        assert browser.post("/api/operator", {}, {"X-Forwarded-Proto": "http"}).status == 200


def test_a_proxy_that_answers_without_tls_is_told_before_a_password_is_examined(tmp_path: Path) -> None:
    with serving(make_app(make_people(tmp_path, proxies=("127.0.0.1",)))) as server:
        browser = Browser(server.port, headers={"X-Forwarded-Proto": "http", "Host": "page.plant.example"})
        answer = browser.log_in("otto")
        assert answer.status == 403 and "HTTPS" in answer.error


def test_behind_a_proxy_nobody_else_may_connect(tmp_path: Path) -> None:
    with serving(make_app(make_people(tmp_path, proxies=("192.0.2.0/24",)))) as server:
        answer = Browser(server.port, headers={"X-Forwarded-For": "192.0.2.1"}).get("/api/session")
        assert answer.status == 403 and "proxy" in answer.error


def test_without_a_proxy_forwarded_headers_change_nothing(port: int) -> None:
    browser = Browser(port, headers={"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"})
    answer = browser.log_in("emma")
    assert "Secure" not in answer.headers["Set-Cookie"] and answer.headers["Strict-Transport-Security"] is None
    assert browser.get("/api/audit").json()["entries"][0]["address"] == "127.0.0.1"


def test_over_tls_the_cookie_is_secure_and_browsers_stay_with_https(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate = authority.make("page", "localhost", "127.0.0.1")
    people = make_people(tmp_path, tls=True)
    files = {"ssl_certfile": str(certificate), "ssl_keyfile": str(certificate.with_suffix(".key"))}
    with serving(make_app(people), **files) as server:
        browser = Browser(server.port, tls=ssl.create_default_context(cafile=str(authority.file)))
        answer = browser.log_in("otto")
        assert answer.status == 200 and "__Host-session" in browser.cookies
        assert all("; Secure" in cookie for cookie in answer.headers.get_all("Set-Cookie") or [])
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert browser.post("/api/operator", {}, {"Origin": f"https://localhost:{server.port}"}).status == 200
        assert browser.post("/api/operator", {}, {"Origin": f"http://localhost:{server.port}"}).status == 403
        plain = Browser(server.port, tls=ssl.create_default_context(cafile=str(authority.file)))
        plain.cookies = {"session": browser.cookies["__Host-session"]}
        assert plain.get("/api/viewer").status == 401, "a cookie that a page without TLS could set is not read"
        assert send_raw(server.port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""


def test_uvicorn_logs_no_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(make_app(make_people(tmp_path))) as server:
        browser = Browser(server.port)
        browser.log_in("otto")
        browser.get("/api/viewer")
    assert browser.cookies["session"] not in caplog.text and PASSWORDS["otto"] not in caplog.text
