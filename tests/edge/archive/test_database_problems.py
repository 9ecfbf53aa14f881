"""An error of the database comes with its remedy, which names the configuration, the keys in it, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from archive_parts import settings
from postgresql import USER, PostgreSQL
from sqlalchemy.exc import OperationalError

from edge_inspect.edge.archive.database_problems import explained, said
from edge_inspect.edge.cli import main

FAILED = 'connection failed: connection to server at "127.0.0.1", port 5432 failed: '
RUNNING = "\n\tIs the server running on that host and accepting TCP/IP connections?"


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (FAILED + 'FATAL:  password authentication failed for user "arch"', "password of arch into the file"),
        (FAILED + "fe_sendauth: no password supplied", "'password_file'"),
        (FAILED + 'FATAL:  database "parts" does not exist', "CREATE DATABASE parts"),
        (FAILED + 'FATAL:  role "arch" does not exist', "CREATE USER arch"),
        (FAILED + "server does not support SSL, but SSL was required", "another sslmode in 'database'"),
        (FAILED + 'FATAL:  no pg_hba.conf entry for host "127.0.0.1", user "a", no encryption', "pg_hba.conf of the"),
        (
            FAILED + 'root certificate file "/var/lib/a/.postgresql/root.crt" does not exist',
            "sslrootcert in 'database'",
        ),
        (FAILED + "SSL error: certificate verify failed", "sslrootcert in 'database'"),
        (FAILED + "Connection refused" + RUNNING, "refused; check that the server is running, and host and port"),
        ("failed to resolve host 'db': [Errno -2] Name or service not known", "host and port in 'database'"),
        ("permission denied for table verdicts", "the owner of the database"),
        ("connection is bad: invalid sslmode value", "check 'database' and 'password_file'"),
        ("unable to open database file", "let this user write the file"),
    ],
)
def test_a_problem_comes_with_its_remedy(words: str, remedy: str) -> None:
    error = OperationalError("SELECT secret", {}, Exception(words))
    assert remedy in explained(error) and "SELECT" not in explained(error)
    assert not said(error).endswith(("?", ".")) and "Is the server" not in explained(error)


def test_what_has_no_remedy_is_said_as_it_is() -> None:
    assert explained(OperationalError("SELECT", {}, Exception("the server closed it."))) == "the server closed it"


def test_commands_name_file_and_keys(server: PostgreSQL, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "archive.yaml"
    for url, remedy in (
        (server.url("nothere"), "create it with CREATE DATABASE nothere"),
        (server.url().replace(f"{USER}@", "nobody_here@"), "create it with CREATE USER nobody_here"),
        (f"postgresql://edge@/parts?host={tmp_path}", "check that the server is running"),
    ):
        config.write_text(settings(url, tmp_path).model_dump_json(exclude_unset=True))
        for command in ("check", "migrate"):
            assert main(["archive", command, "--config", str(config)]) == 2
            error = capsys.readouterr().err
            assert f"{config}: database postgresql://" in error and f"; {remedy}" in error, error
