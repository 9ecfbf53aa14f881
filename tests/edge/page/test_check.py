"""`edge-inspect check --page`: the files that the page's configuration names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from page_parts import write_page

from edge_inspect.edge.cli import main
from edge_inspect.edge.page.app import STATIC

Check = Callable[..., tuple[int, str]]


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Checks a configuration with these settings; returns the exit status and what was said."""

    def run(**settings: Any) -> tuple[int, str]:
        config, _ = write_page(tmp_path, 1883, **settings)
        status = main(["check", "--page", "--config", str(config)])
        return status, capsys.readouterr().err

    return run


def test_what_can_be_used_is_good(tmp_path: Path, check: Check) -> None:
    certificate = Authority(tmp_path).make("page", "localhost")
    status, said = check(listen={"certificate": str(certificate), "key": str(certificate.with_suffix(".key"))})
    assert status == 0 and "good; https://127.0.0.1:8460" in said and "not checked" not in said


def test_credentials_of_systemds_are_named_as_not_checked(check: Check) -> None:
    status, said = check(listen={"certificate": "page-certificate", "key": "page-key"})
    assert status == 0
    assert "listen.certificate: page-certificate is not checked; " in said and "LoadCredential=page-key:FILE" in said


def test_without_users_the_command_that_adds_one_is_named(tmp_path: Path, check: Check) -> None:
    nowhere = tmp_path / "nowhere.yaml"
    status, said = check(users=str(nowhere))
    assert status == 0
    assert f"users: nobody can log in to the page, because {nowhere} has no users; add the first one: " in said


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        ("users: []\n", 0o644, "chmod u=rw,g=r,o="),
        ("users: [}", 0o600, "is no YAML: line 1"),
        ("users: [{name: anna, role: boss, password: Secret-1234}]", 0o600, "users.0.role"),
    ],
)
def test_users_who_cannot_be_read_are_a_mistake(
    tmp_path: Path, check: Check, content: str, mode: int, said: str
) -> None:
    file = tmp_path / "others.yaml"
    file.write_text(content)
    file.chmod(mode)
    status, shown = check(users=str(file))
    assert status == 2 and "1 mistake" in shown and f"users: {file}: " in shown and said in shown
    assert "Secret-1234" not in shown and "Traceback" not in shown


def test_certificate_and_key_are_loaded_as_the_page_would(tmp_path: Path, check: Check) -> None:
    authority = Authority(tmp_path)
    certificate, other = authority.make("page", "localhost"), authority.make("other", "localhost")
    status, said = check(listen={"certificate": str(certificate), "key": str(other.with_suffix(".key"))})
    assert status == 2 and "listen.key: " in said and "does not belong to listen.certificate" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is missing or cannot be read; copy it there"),
        (b"", "is not JSON"),
        (b'{"title": "\xe4"}', "is not in UTF-8"),
        (b"[" * 100_000, "is not JSON"),
        (b'["title"]', "must be an object of texts"),
        (b'{"menu": {"line": 7}}', "menu: line must be a text in quotes"),
        (b'{"menu": {"line": ["Linie"]}}', "menu: line must be a text in quotes"),
        (b'{"language": "de_CH"}', "language: 'de_CH' is no language"),
        (b'{"language": ""}', "language: '' is no language"),
    ],
)
def test_texts_that_no_browser_can_show_are_a_mistake(
    tmp_path: Path, check: Check, content: bytes | None, said: str
) -> None:
    file = tmp_path / "texts.json"
    if content is not None:
        file.write_bytes(content)
    status, shown = check(texts=str(file))
    assert status == 2 and f"texts: {file}" in shown and said in shown and "Traceback" not in shown


def test_the_pages_own_texts_are_good(check: Check) -> None:
    assert check(texts=str(STATIC / "texts.json"))[0] == 0
