"""Who may log in: what is examined of a name and a password, and what is logged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from certificates import Authority
from cryptography.hazmat.primitives.serialization import Encoding
from opcua_parts import write_opcua
from page_server import PASSWORDS

from edge_inspect.edge.opcua.access import Access, Login, Person, login
from edge_inspect.edge.opcua.certificates import load_certificate
from edge_inspect.edge.page.passwords import LONGEST, PasswordHash


def attempt(access: Access, token: type = ua.UserNameIdentityToken, **shown: Any) -> Person | None:
    """Logs in from an address of the plant."""
    before = login.set(Login(token, "192.0.2.7"))
    try:
        return access.get_user(None, **shown)
    finally:
        login.reset(before)


def test_a_name_that_is_no_users_is_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    access = Access(write_opcua(tmp_path, 1)[1])
    assert attempt(access, username="my secret password", password="x") is None
    assert attempt(access, username="otto", password="x") is None
    assert "192.0.2.7: a login as an unknown user is refused" in caplog.text
    assert "192.0.2.7: a login as otto is refused" in caplog.text and "secret" not in caplog.text


def test_a_password_that_is_too_long_is_not_examined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fits(examined: PasswordHash, password: str) -> bool:
        raise AssertionError("it is examined")

    access = Access(write_opcua(tmp_path, 1)[1])
    monkeypatch.setattr(PasswordHash, "fits", fits)
    for _ in range(10):
        assert attempt(access, username="otto", password="x" * (LONGEST + 1)) is None
    monkeypatch.undo()
    found = attempt(access, username="otto", password=PASSWORDS["otto"])
    assert found is not None and found.name == "otto"


def test_the_certificate_of_a_user_expires(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority = Authority(tmp_path)
    files = {"mes": authority.make("mes", "localhost"), "old": authority.make("old", "localhost", first=-3, last=-1)}
    users = [{"name": name, "role": "viewer", "certificate": str(file)} for name, file in files.items()]
    access = Access(write_opcua(tmp_path, 1, certificate_users=users)[1])
    shown = {name: load_certificate(file.read_bytes()).public_bytes(Encoding.DER) for name, file in files.items()}
    mes = attempt(access, ua.X509IdentityToken, certificate=shown["mes"])
    assert mes is not None and mes.name == "mes"
    assert attempt(access, ua.X509IdentityToken, certificate=shown["old"]) is None
    assert "192.0.2.7: the certificate of the user old expired on " in caplog.text
