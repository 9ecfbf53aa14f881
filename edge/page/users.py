"""The users of the page: a YAML file with a name, a role and the hash of a password for each."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import pwd
import stat
import threading
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field, ValidationError, field_validator

from edge_inspect.edge.configuration.section import Section
from edge_inspect.edge.configuration.yaml_file import read_yaml, show_place
from edge_inspect.edge.errors import ConfigurationError, YamlError
from edge_inspect.edge.files import write_atomically
from edge_inspect.edge.mqtt.credentials import credential_path
from edge_inspect.edge.page.passwords import PasswordHash
from edge_inspect.edge.page.roles import Role

DISPLAY = "display"
"""Name of the wall display, which has no user of its own."""

_RESERVED = {DISPLAY, "page", "nobody", "unknown", "null"}
_LONGEST_NAME = 64
_SERVICE = "edge-inspect"
_LOGGER = logging.getLogger(__name__)


class User(NamedTuple):
    """A person who may log in to the page."""

    name: str
    role: Role
    password: PasswordHash

    def fingerprint(self) -> str:
        """Return a text that changes whenever the role or the password changes."""
        return hashlib.sha256(f"{self.name}\n{self.role}\n{self.password}".encode()).hexdigest()


def check_name(name: str) -> str:
    """Return the name of a user if it can be one.

    Raises:
        ValueError: The name is refused; the message says why.
    """
    if not 1 <= len(name) <= _LONGEST_NAME:
        raise ValueError(f"a user's name has 1 to {_LONGEST_NAME} characters, and this one has {len(name)}")
    if unicodedata.normalize("NFKC", name) != name:
        raise ValueError(f"{name!r} holds characters that look like others; write it with ordinary letters")
    if wrong := next((each for each in name if not (each.isalnum() or each in "._-@")), None):
        raise ValueError(f"{name!r} holds {wrong!r}; a user's name has letters, digits and . _ - @ only")
    if not name[0].isalnum():
        raise ValueError(f"{name!r} must begin with a letter or a digit")
    if name.casefold() in _RESERVED:
        raise ValueError(f"{name!r} is reserved; choose another name")
    return name


def _check_hash(text: str) -> str:
    PasswordHash.parse(text)
    return text


class _UserEntry(Section):
    """A user in the file."""

    name: Annotated[str, AfterValidator(check_name)] = Field(description="name to log in with")
    role: Role = Field(description="viewer, operator or engineer")
    password: Annotated[str, AfterValidator(_check_hash)] = Field(
        description="hash of the password, which `edge-inspect page-user add` writes", repr=False
    )


class _UserFile(Section):
    """The whole file of users."""

    users: list[_UserEntry] = Field(default_factory=list, max_length=1000, description="the users of the page")

    @field_validator("users")
    @classmethod
    def _names_differ(cls, users: list[_UserEntry]) -> list[_UserEntry]:
        seen: set[str] = set()
        for user in users:
            if user.name.casefold() in seen:
                raise ValueError(f"{user.name!r} is named twice (capital letters do not count); keep one of them")
            seen.add(user.name.casefold())
        return users


def read_users(path: Path, *, may_be_empty: bool = True) -> list[User]:
    """Return the users in a file; none if the file does not exist.

    Args:
        path: The file. A relative name is looked up in $CREDENTIALS_DIRECTORY if systemd sets it.
        may_be_empty: Whether a file with nothing in it means that there are no users; otherwise it is a mistake.

    Raises:
        ConfigurationError: The file cannot be read, has mistakes, or others may read or write it. The message names the
            file and the remedy, and shows no hash.
    """
    path = credential_path(path)
    try:
        _check_permissions(path)
        document = read_yaml(path)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}{_readers(error)}") from error
    except YamlError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    if document.value is None and not may_be_empty:
        raise ConfigurationError(f"{path}: is empty, as after a write that was cut off; write `users: []` for no users")
    try:
        entries = _UserFile.model_validate(document.value if document.value is not None else {}).users
    except ValidationError as error:
        # The message must not show the value, which may hold a hash or a password in plain text.
        mistakes = [
            f"{show_place(each['loc']) or '(the file)'}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors(include_input=False, include_url=False)
        ]
        raise ConfigurationError(f"{path}: " + "; ".join(mistakes)) from None
    return [User(entry.name, entry.role, PasswordHash.parse(entry.password)) for entry in entries]


def no_users(path: Path) -> str:
    """Return what to do where the file has no users."""
    path = credential_path(path)
    return (
        f"nobody can log in to the page, because {path} has no users; add the first one: "
        f"edge-inspect page-user add NAME --role engineer --users {path}"
    )


def write_users(path: Path, users: Iterable[User]) -> None:
    """Write a file of users. It is there whole or not at all.

    An existing file keeps its owner and its permissions. A new one has mode 0600. If root makes it and this box has the
    service's user `edge-inspect`, it belongs to root, and that user's group may read it (mode 0640).

    Raises:
        OSError: The file cannot be written.
    """
    lines = [
        "# Users of the page. `edge-inspect page-user` changes this file; the page reads it again when it changes.",
        "users:",
        *(f"- {{name: '{user.name}', role: {user.role}, password: '{user.password}'}}" for user in users),
    ]
    if len(lines) == 2:
        lines[1] = "users: []"
    path = Path(os.path.realpath(path))
    owner, group, mode = _owner_and_mode(path)
    foreign = (owner, group) != (os.geteuid(), os.getegid())
    write_atomically(path, ("\n".join(lines) + "\n").encode(), mode=mode, owner=(owner, group) if foreign else None)


def _owner_and_mode(path: Path) -> tuple[int, int, int]:
    with contextlib.suppress(FileNotFoundError):
        there = path.stat()
        return there.st_uid, there.st_gid, stat.S_IMODE(there.st_mode) & 0o640
    if os.geteuid() == 0:
        with contextlib.suppress(KeyError):
            return 0, pwd.getpwnam(_SERVICE).pw_gid, 0o640
    return os.geteuid(), os.getegid(), 0o600


def _check_permissions(path: Path) -> None:
    """Refuse a file that others may read or write, or replace."""
    mode = path.stat().st_mode
    if mode & 0o026:
        may = "read" if not mode & 0o022 else "write"
        raise ConfigurationError(f"{path}: other users of this box may {may} it; chmod u=rw,g=r,o= {path}")
    folder = path.absolute().parent
    if folder.stat().st_mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH:
        raise ConfigurationError(f"{path}: everybody may replace it; chmod o-w {folder}")


def _readers(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return f"; let the user that runs the page read it, for example with chgrp {_SERVICE} and chmod 640"
    return ""


class Users:
    """The users in a file, which is read again when it changes. May be used from any thread.

    A file that cannot be used any more is reported to the log, and the users that were read before stay in force. A
    file that was deleted means that there are no users.

    Args:
        path: The file; see `read_users`.

    Raises:
        ConfigurationError: The file exists and cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._seen = self._state()
        self._users = {user.name: user for user in read_users(path)}

    def get(self, name: str) -> User | None:
        """Return the user with a name."""
        return self._current().get(name)

    def __len__(self) -> int:
        return len(self._current())

    def remedy(self) -> str:
        """Return what to do where there are no users."""
        return no_users(self.path)

    def _state(self) -> tuple[int, ...] | None:
        try:
            there = credential_path(self.path).stat()
        except OSError as error:
            return None if isinstance(error, FileNotFoundError) else (error.errno or 0,)
        return there.st_mtime_ns, there.st_ctime_ns, there.st_size, there.st_ino

    def _current(self) -> dict[str, User]:
        with self._lock:
            state = self._state()
            if state != self._seen:
                self._seen = state
                try:
                    found = read_users(self.path, may_be_empty=not self._users)
                    self._users = {user.name: user for user in found}
                    _LOGGER.info("%s: read again; %d users", credential_path(self.path), len(self._users))
                except ConfigurationError as error:
                    _LOGGER.error("%s; the users that were read before stay in force", error)
            return self._users
