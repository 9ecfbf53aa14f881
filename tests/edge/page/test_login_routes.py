"""Logging in and out, over a socket."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from page_client import Browser
from page_server import PASSWORDS, ROLES, make_app, make_people, serving, write_everybody


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    with serving(make_app(make_people(tmp_path))) as server:
        yield server.port


@pytest.mark.parametrize("name", PASSWORDS)
def test_a_user_logs_in_is_known_and_logs_out(port: int, name: str) -> None:
    browser = Browser(port)
    assert browser.get("/api/session").json()["user"] is None
    answer = browser.log_in(name)
    assert answer.status == 200
    assert answer.json() == {"user": name, "role": ROLES[name], "csrf": browser.csrf}
    cookie, device = answer.headers.get_all("Set-Cookie") or []
    assert device.startswith("device=") and "HttpOnly" in device and "SameSite=strict" in device
    assert cookie.startswith("session=") and "HttpOnly" in cookie and "SameSite=strict" in cookie and "Path=/" in cookie
    assert "Secure" not in cookie and "Domain" not in cookie
    session = browser.get("/api/session").json()
    assert (session["user"], session["role"], session["csrf"]) == (name, ROLES[name], browser.csrf)
    token = browser.cookies["session"]
    assert browser.post("/api/logout").status == 200
    browser.cookies["session"] = token
    assert browser.get("/api/session").json()["user"] is None
    assert browser.get("/api/viewer").status == 401


def test_a_token_from_before_the_login_is_not_the_session_after_it(port: int) -> None:
    victim = Browser(port)
    victim.cookies["session"] = "A" * 43
    victim.log_in("otto")
    assert victim.cookies["session"] != "A" * 43
    first = victim.cookies["session"]
    victim.log_in("otto")
    attacker = Browser(port)
    for token in ("A" * 43, first):
        attacker.cookies["session"] = token
        assert attacker.get("/api/viewer").status == 401
    assert victim.get("/api/viewer").status == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"user": "otto", "password": "not the password"}, 401),
        ({"user": "nobody at all", "password": PASSWORDS["otto"]}, 401),
        ({"user": "OTTO", "password": PASSWORDS["otto"]}, 401),
        ({"user": "otto' OR '1'='1", "password": "x"}, 401),
        ({"user": "otto\x00", "password": PASSWORDS["otto"]}, 401),
        ({"user": "otto", "password": ""}, 401),
        ({"user": "\ud800", "password": "\udfff"}, 401),
        ({"user": "otto", "password": "\ud800"}, 401),
        ({"user": "otto"}, 400),
        ({"user": ["otto"], "password": PASSWORDS["otto"]}, 400),
        ({"user": "otto", "password": None}, 400),
        ({"user": "otto", "password": "x" * 1025}, 400),
        (["otto", "password"], 400),
        (b"user=otto", 400),
        (b"[" * 30000, 400),
        (b"\xff\xfe", 400),
    ],
)
def test_a_wrong_login_gets_no_session(port: int, body: object, status: int) -> None:
    browser = Browser(port)
    answer = browser.post("/api/login", body)
    assert answer.status == status and answer.error
    assert browser.cookies == {}


def test_unknown_and_wrong_are_told_alike(port: int) -> None:
    browser = Browser(port)
    said = {browser.post("/api/login", {"user": name, "password": "wrong"}).body for name in ("otto", "nobody")}
    assert len(said) == 1


def test_no_secret_reaches_log_or_files(port: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    browser = Browser(port)
    browser.log_in("otto", "mistyped-secret-1")
    browser.post("/api/login", {"user": "secret-typed-as-name", "password": "mistyped-secret-2"})
    browser.log_in("otto")
    token, csrf = browser.cookies["session"], browser.csrf
    browser.get("/api/viewer")
    browser.post("/api/logout")
    files = "".join(path.read_text() for path in tmp_path.iterdir() if path.is_file())
    assert '"login refused"' in files and '"logout"' in files
    for secret in ("mistyped-secret", "secret-typed-as-name", token, str(csrf), PASSWORDS["otto"]):
        assert secret not in files and secret not in caplog.text


def test_the_audit_log_is_for_engineers_and_says_who_did_what(port: int) -> None:
    for name in ("vera", "otto"):
        browser = Browser(port)
        browser.log_in(name)
        assert browser.get("/api/audit").status == 403
    browser = Browser(port)
    browser.log_in("emma")
    entries = browser.get("/api/audit?limit=2").json()["entries"]
    assert [(entry["person"], entry["action"], entry["address"]) for entry in entries] == [
        ("emma", "login", "127.0.0.1"),
        ("otto", "login", "127.0.0.1"),
    ]
    for limit in ("0", "-1", "1001", "9" * 400, "ten", "", "1e3", "٣"):
        assert browser.get(f"/api/audit?limit={limit.encode().hex() if not limit.isascii() else limit}").status == 400


def test_without_users_the_login_form_says_which_command_adds_one(tmp_path: Path) -> None:
    (tmp_path / "users.yaml").write_text("users: []\n")
    (tmp_path / "users.yaml").chmod(0o600)
    with serving(make_app(make_people(tmp_path))) as server:
        browser = Browser(server.port)
        notice = browser.get("/api/session").json()["notice"]
        assert "edge-inspect page-user add" in notice
        assert browser.log_in("otto").error == notice
        write_everybody(tmp_path / "users.yaml")
        assert browser.log_in("otto").status == 200
        assert browser.get("/api/session").json()["notice"] is None


def test_a_user_who_is_removed_or_changed_loses_the_session(tmp_path: Path) -> None:
    with serving(make_app(make_people(tmp_path))) as server:
        vera, otto = Browser(server.port), Browser(server.port)
        vera.log_in("vera")
        otto.log_in("otto")
        file = tmp_path / "users.yaml"
        write_everybody(file, "otto", "emma")
        assert (vera.get("/api/viewer").status, otto.get("/api/viewer").status) == (401, 200)
        file.write_text(file.read_text().replace("role: operator", "role: engineer"))
        assert otto.get("/api/viewer").status == 401
        assert otto.log_in("otto").json()["role"] == "engineer"


def test_sessions_outlive_a_restart(tmp_path: Path) -> None:
    people = make_people(tmp_path)
    with serving(make_app(people)) as server:
        browser = Browser(server.port)
        browser.log_in("otto")
    people.close()
    with serving(make_app(make_people(tmp_path))) as server:
        again = Browser(server.port)
        again.cookies = browser.cookies
        assert again.get("/api/session").json()["user"] == "otto"


def test_guessing_is_slowed_down_and_ends_with_the_delay(tmp_path: Path) -> None:
    people = make_people(tmp_path)
    with serving(make_app(people)) as server:
        browser = Browser(server.port)
        statuses = [browser.log_in("otto", "wrong").status for _ in range(6)]
        assert statuses[:4] == [401] * 4 and 429 in statuses
        for _ in range(3):
            people.limits.note_wrong("otto", "127.0.0.1")
        answer = browser.log_in("otto")
        assert answer.status == 429 and int(answer.headers["Retry-After"]) > 0
        assert json.loads(answer.body)["error"].startswith("too many attempts")
