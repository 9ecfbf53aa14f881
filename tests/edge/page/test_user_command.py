"""`edge-inspect page-user`, as a process on a terminal of its own."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge_inspect.edge.cli import main
from edge_inspect.edge.page.users import read_users

SECRET = "a password, typed"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "users.yaml"


def password_file(folder: Path, password: str = SECRET) -> str:
    path = folder / "password"
    path.write_text(password + "\n")
    return str(path)


def run(*words: object) -> int:
    return main(["page-user", *map(str, words)])


def on_terminal(words: list[str], *lines: str) -> tuple[int, str]:
    """Status and output of the command on a new terminal, where somebody types a line after each question."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "edge_inspect.edge.cli", "page-user", *words])
    said = b""
    for line in lines:
        while not said.endswith(b": "):
            said += os.read(terminal, 1024)
        os.write(terminal, line.encode() + b"\n")
        said += b"\n"
    while True:
        try:
            if not (piece := os.read(terminal, 1024)):
                break
        except OSError:  # the terminal is closed
            break
        said += piece
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.decode()


def test_a_user_is_added_changed_listed_and_removed(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("add", "anna", "--role", "operator", "--users", file, "--password-file", password_file(tmp_path)) == 0
    assert run("role", "anna", "engineer", "--users", file) == 0
    (anna,) = read_users(file)
    assert (anna.name, anna.role, anna.password.fits(SECRET)) == ("anna", "engineer", True)
    other = password_file(tmp_path, "another password")
    assert run("password", "anna", "--users", file, "--password-file", other) == 0
    assert read_users(file)[0].password.fits("another password")
    assert file.stat().st_mode & 0o777 == 0o600 and SECRET not in file.read_text()
    capsys.readouterr()
    assert run("list", "--users", file) == 0
    assert capsys.readouterr().out == "anna  engineer\n"
    assert run("list", "--users", file, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"users": [{"name": "anna", "role": "engineer"}]}
    assert run("remove", "anna", "--users", file) == 0
    assert read_users(file) == []


def test_on_a_terminal_the_password_is_asked_for_twice_and_not_shown(file: Path) -> None:
    status, said = on_terminal(["add", "anna", "--role", "viewer", "--users", str(file)], SECRET, SECRET)
    assert status == 0 and SECRET not in said
    assert read_users(file)[0].password.fits(SECRET)


@pytest.mark.parametrize(
    ("typed", "said"),
    [((SECRET, SECRET + "x"), "differ"), (("short",), "10 characters"), (("\x04",), "nothing was changed")],
)
def test_what_is_typed_wrong_changes_nothing(file: Path, typed: tuple[str, ...], said: str) -> None:
    status, shown = on_terminal(["add", "anna", "--role", "viewer", "--users", str(file)], *typed)
    assert status == 2 and said in shown and "Traceback" not in shown and not file.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add", "anna", "--role", "viewer"], "has the user anna already"),
        (["add", "ANNA", "--role", "viewer"], "has the user anna already"),
        (["add", "a b", "--role", "viewer"], "letters, digits"),
        (["add", "display", "--role", "viewer"], "reserved"),
        (["role", "otto", "viewer"], "has no user 'otto'; its users are anna"),
        (["remove", "otto"], "has no user 'otto'"),
        (["password", "../x"], "has no user '../x'"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    run("add", "anna", "--role", "viewer", "--users", file, "--password-file", password_file(tmp_path))
    before = file.read_bytes()
    capsys.readouterr()
    more = ["--password-file", password_file(tmp_path)] if words[0] in ("add", "password") else []
    assert run(*words, "--users", file, *more) == 2
    shown = capsys.readouterr().err
    assert said in shown and shown.count("\n") == 1
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "--password-file.*is empty"), (b"two\nlines", "more than one line"), (b"\xff\xfe\xfd", "not UTF-8")]
    + [(b"ninechars", "10 characters")],
)
def test_a_password_file_that_cannot_be_used_is_named_and_not_shown(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, said: str
) -> None:
    given = tmp_path / "password"
    given.write_bytes(content)
    assert run("add", "anna", "--role", "viewer", "--users", file, "--password-file", given) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and re.search(said, shown)
    assert "ninechars" not in shown and "two" not in shown


def test_without_a_terminal_the_command_says_what_to_use(file: Path) -> None:
    command = [sys.executable, "-m", "edge_inspect.edge.cli", "page-user", "add", "anna", "--role", "viewer"]
    done = subprocess.run(
        [*command, "--users", str(file)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )
    assert done.returncode == 2 and "use --password-file FILE" in done.stderr and not file.exists()


def test_a_file_that_others_may_read_is_not_changed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("users: []\n")
    file.chmod(0o644)
    assert run("list", "--users", file) == 2
    assert "chmod u=rw,g=r,o=" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = password_file(tmp_path)
    file.parent.chmod(0o500)
    try:
        assert run("add", "anna", "--role", "viewer", "--users", file, "--password-file", given) == 2
    finally:
        file.parent.chmod(0o700)
    assert "cannot be written" in capsys.readouterr().err
