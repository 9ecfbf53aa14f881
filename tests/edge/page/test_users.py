"""The file of users: what is read, what is refused, and that it is read again."""

from __future__ import annotations

import logging
import os
import pwd
import string
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.page.passwords import PasswordHash, check_new_password
from edge_inspect.edge.page.roles import ROLES
from edge_inspect.edge.page.users import User, Users, check_name, read_users, write_users

HASH = PasswordHash.of("a password of somebody", log_n=4)


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    users = [User("anna", "viewer", HASH), User("Jürgen.K-1@plant", "engineer", PasswordHash.of("x" * 20, log_n=4))]
    write_users(tmp_path / "users.yaml", users)
    assert read_users(tmp_path / "users.yaml") == users
    assert (tmp_path / "users.yaml").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["users.yaml"]


def test_an_existing_file_keeps_the_group_that_may_read_it_and_a_link_stays(tmp_path: Path) -> None:
    file = write(tmp_path / "users.yaml", "users: []\n", 0o640)
    (tmp_path / "link.yaml").symlink_to(file)
    write_users(tmp_path / "link.yaml", [User("anna", "viewer", HASH)])
    assert file.stat().st_mode & 0o777 == 0o640 and (tmp_path / "link.yaml").is_symlink()
    assert [user.name for user in read_users(file)] == ["anna"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file to a group")
def test_a_file_that_root_makes_is_for_the_service_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = pwd.getpwuid(65534)
    monkeypatch.setattr(pwd, "getpwnam", lambda name: service)
    write_users(tmp_path / "users.yaml", [User("anna", "viewer", HASH)])
    made = (tmp_path / "users.yaml").stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o777) == (0, service.pw_gid, 0o640)
    write_users(tmp_path / "users.yaml", [])
    assert (tmp_path / "users.yaml").stat().st_gid == service.pw_gid


@pytest.mark.parametrize("text", ["", "users: []\n", "{}\n", "# nobody yet\n"])
def test_a_file_without_users_is_no_mistake(tmp_path: Path, text: str) -> None:
    assert read_users(write(tmp_path / "users.yaml", text)) == []


def test_a_file_that_is_not_there_has_no_users(tmp_path: Path) -> None:
    assert read_users(tmp_path / "users.yaml") == []


@pytest.mark.parametrize(("mode", "may"), [(0o604, "read"), (0o644, "read"), (0o622, "write"), (0o660, "write")])
def test_a_file_that_others_may_read_or_write_is_refused_with_the_remedy(tmp_path: Path, mode: int, may: str) -> None:
    file = write(tmp_path / "users.yaml", "users: []\n", mode)
    with pytest.raises(ConfigurationError, match=f"other users of this box may {may} it; chmod u=rw,g=r,o= ") as found:
        read_users(file)
    assert str(file) in str(found.value)


def test_a_folder_in_which_everybody_may_replace_the_file_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    file = write(folder / "users.yaml", "users: []\n")
    folder.chmod(0o777)
    with pytest.raises(ConfigurationError, match="chmod o-w"):
        read_users(file)
    folder.chmod(0o1777)
    assert read_users(file) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("users: {anna: viewer}", "users"),
        ("- anna", "(the file)"),
        ("users: [anna]", "users.0"),
        ("users: [{name: anna, role: viewer}]", "users.0.password"),
        (f"users: [{{name: anna, role: admin, password: '{HASH}'}}]", "users.0.role"),
        (f"users: [{{name: anna, role: viewer, password: '{HASH}', email: a}}]", "users.0.email"),
        (f"users: [{{name: display, role: viewer, password: '{HASH}'}}]", "reserved"),
        (f"users: [{{name: 'a b', role: viewer, password: '{HASH}'}}]", "users.0.name"),
        ("users: [{name: anna, role: viewer, password: PlainSecret123}]", "page-user add"),
        ("users: [{name: anna, role: viewer, password: 1234567890}]", "users.0.password"),
        (f"users: [{{name: anna, role: viewer, password: '{str(HASH).replace('ln=4', 'ln=30')}'}}]", "out of range"),
        (f"users: [{{name: anna, role: viewer, password: '{str(HASH).replace('r=8', 'r=99')}'}}]", "out of range"),
        (f"users: [{{name: anna, role: viewer, password: '{str(HASH)[:-3]}'}}]", "users.0.password"),
        ("users: [{name: anna, name: otto, role: viewer, password: x}]", "given twice"),
        ("users: !!python/object:os.system x", "tag"),
        ("users: [", "line 1"),
    ],
)
def test_a_mistake_is_named_and_shows_no_secret(tmp_path: Path, text: str, said: str) -> None:
    file = write(tmp_path / "users.yaml", text)
    with pytest.raises(ConfigurationError) as found:
        read_users(file)
    assert said in str(found.value) and str(file) in str(found.value)
    for secret in ("PlainSecret123", "1234567890", str(HASH).rsplit("$")[-1][:20]):
        assert secret not in str(found.value)


def test_names_that_differ_by_capitals_alone_are_refused(tmp_path: Path) -> None:
    write_users(tmp_path / "users.yaml", [User("anna", "viewer", HASH), User("ANNA", "engineer", HASH)])
    with pytest.raises(ConfigurationError, match="named twice"):
        read_users(tmp_path / "users.yaml")


@pytest.mark.parametrize(
    "name",
    ["", "x" * 65, "a b", "a/b", "a\\b", "../etc", ".anna", "-anna", "a'b", 'a"b', "a\nb", "a\x00b", "<b>", "a$b"]
    + [
        "display",
        "Display",
        "UNKNOWN",
        "nobody",
        "ａｎｎａ",
        "a\u202eb",
        "a\u200bb",
        "${x}",
        "a;b",
        "a,b",
        "a{b",
        "%00",
    ],
)
def test_a_name_that_could_mislead_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        check_name(name)


@pytest.mark.parametrize("name", ["anna", "Anna.B", "a", "x" * 64, "7", "Jürgen", "anna@plant-1", "李雷", "o_o"])
def test_an_ordinary_name_is_accepted(name: str) -> None:
    assert check_name(name) == name


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_content_raises_anything_but_a_configuration_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "users.yaml"
    file.write_bytes(content)
    file.chmod(0o600)
    try:
        assert isinstance(read_users(file), list)
    except ConfigurationError as error:
        assert str(file) in str(error)


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(string.printable, max_size=30)
)
VALUES = st.recursive(SCALARS | st.just(str(HASH)), lambda inner: st.lists(inner, max_size=3), max_leaves=4)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["name", "role", "password", "x"]), VALUES | st.sampled_from(ROLES)), max_size=3
    )
)
def test_no_value_of_any_kind_makes_a_user_that_is_none(tmp_path: Path, entries: list[dict[str, object]]) -> None:
    file = write(tmp_path / "users.yaml", yaml.dump({"users": entries}))
    try:
        users = read_users(file)
    except ConfigurationError:
        return
    for user in users:
        assert check_name(user.name) and user.role in ROLES and user.password == HASH


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=120))
def test_a_text_is_a_hash_only_if_it_is_written_the_same_way(text: str) -> None:
    try:
        assert str(PasswordHash.parse(text)) == text
    except ValueError as error:
        assert text not in str(error) or len(text) < 3


@pytest.mark.parametrize(
    "password", ["correct horse battery", "Grüße aus Köln 42", "        x       y z", "pässwörd\u0301 !!"]
)
def test_a_hash_fits_its_password_alone(password: str) -> None:
    made = PasswordHash.of(password, log_n=4)
    assert PasswordHash.parse(str(made)).fits(password)
    assert not made.fits(password + " ") and not made.fits("") and not made.fits(password.upper())
    assert str(made) != str(PasswordHash.of(password, log_n=4)) and made.key.hex() not in repr(made)


def test_two_ways_to_type_a_letter_are_the_same_password() -> None:
    assert PasswordHash.of("gru\u0308ne Wiese", log_n=4).fits("gr\u00fcne Wiese")


@pytest.mark.parametrize(
    "password",
    [
        "",
        "short",
        "123456789",
        "aaaaaaaaaaaa",
        "abababababab",
        "x" * 1025,
        "a\x00bcdefghijk",
        "longerthan10",
        "Longerthan10",
    ],
)
def test_a_password_that_is_easy_to_guess_is_refused_without_being_shown(password: str) -> None:
    with pytest.raises(ValueError) as found:
        check_new_password(password, "longerthan10")
    assert len(password) < 5 or password not in str(found.value)


def test_users_are_read_again_and_a_damaged_file_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "users.yaml"
    users = Users(file)
    assert "page-user add NAME --role engineer --users" in users.remedy()
    assert len(users) == 0 and users.get("anna") is None
    write_users(file, [User("anna", "viewer", HASH)])
    assert users.get("anna") == User("anna", "viewer", HASH)
    caplog.clear()
    write(file, "users: [}")
    assert users.get("anna") is not None and users.get("anna") is not None
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1
    write_users(file, [])
    file.chmod(0o666)
    assert users.get("anna") is not None
    file.chmod(0o600)
    assert users.get("anna") is None
    write_users(file, [User("otto", "operator", HASH)])
    assert users.get("otto") is not None
    file.unlink()
    assert users.get("otto") is None and len(users) == 0


@pytest.mark.parametrize("left", ["", "\n", "# Users of the page.\n", "---\n", "null\n", "users:\n"])
def test_a_file_whose_writing_was_cut_off_logs_nobody_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, left: str
) -> None:
    file = tmp_path / "users.yaml"
    write_users(file, [User("anna", "viewer", HASH)])
    users = Users(file)
    write(file, left)
    assert users.get("anna") is not None and str(file) in caplog.text
    write(file, "users: []\n")
    assert users.get("anna") is None
    write(file, left)
    assert users.get("anna") is None


def test_a_name_without_folder_is_a_credential_of_systemds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    write_users(tmp_path / "page-users", [User("anna", "viewer", HASH)])
    os.chmod(tmp_path / "page-users", 0o400)
    assert Users(Path("page-users")).get("anna") is not None
