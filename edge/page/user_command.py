"""`edge-inspect page-user`: adds, changes, lists and removes the users of the page."""

from __future__ import annotations

import argparse
import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.page.passwords import LONGEST, SHORTEST, PasswordHash, check_new_password
from edge_inspect.edge.page.roles import ROLES, Role
from edge_inspect.edge.program import add_json_option, say, write_json

# What may not be installed is imported inside the functions, so that `--help` works on any box.
if TYPE_CHECKING:
    from edge_inspect.edge.page.users import User

DEFAULT_FILE = Path("/etc/edge-inspect/page-users.yaml")
"""Where users are kept unless the configuration says otherwise."""


_ROLE_HELP = (
    "what the user may do. viewer: look at the stations; operator: also label parts, pause, resume or "
    "trigger a station, and change its recipe; engineer: also change thresholds and "
    "bundles, teach, and read the audit log"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands and options of `page-user` to its parser."""
    parser.description = (
        "Changes the file with the users of the page. A running page reads the file again when it changes; a user who "
        "was changed or removed has to log in again. Passwords are asked for twice on the terminal, and the file holds "
        "only their scrypt hashes."
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    add = actions.add_parser("add", help="add a user")
    add.description = f"Adds a user. The password has {SHORTEST} to {LONGEST} characters."
    _add_common(add)
    add.add_argument("--role", choices=ROLES, required=True, help=_ROLE_HELP)
    _add_password_file(add)
    add.set_defaults(handler=_add)
    password = actions.add_parser("password", help="change the password of a user")
    password.description = "Changes the password of a user, who then has to log in again."
    _add_common(password)
    _add_password_file(password)
    password.set_defaults(handler=_password)
    role = actions.add_parser("role", help="change the role of a user")
    role.description = "Changes the role of a user, who then has to log in again."
    _add_common(role)
    role.add_argument("role", choices=ROLES, metavar="ROLE", help=_ROLE_HELP)
    role.set_defaults(handler=_role)
    remove = actions.add_parser("remove", help="remove a user")
    remove.description = "Removes a user. Open sessions of the user end."
    _add_common(remove)
    remove.set_defaults(handler=_remove)
    listed = actions.add_parser("list", help="list the users and their roles")
    listed.description = "Prints one line per user to standard output: the name and the role."
    _add_file(listed)
    add_json_option(listed)
    listed.set_defaults(handler=_list)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="name of the user")
    _add_file(parser)


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--users",
        type=Path,
        default=DEFAULT_FILE,
        metavar="FILE",
        help=f"file of the users, the setting `users` of the page (default {DEFAULT_FILE})",
    )


def _add_password_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="file with the password, instead of asking on the terminal; if $CREDENTIALS_DIRECTORY is set, a relative "
        "file name is looked up in that folder",
    )


def _add(arguments: argparse.Namespace) -> None:
    from edge_inspect.edge.page.users import User, check_name

    users = _read(arguments.users)
    try:
        name = check_name(arguments.name)
    except ValueError as error:
        raise UsageError(str(error)) from error
    same = [user.name for user in users if user.name.casefold() == name.casefold()]
    if same:
        raise UsageError(
            f"{arguments.users} has the user {same[0]} already; `page-user password` and `page-user role` change a user"
        )
    role = cast(Role, arguments.role)
    users.append(User(name, role, _ask_password(name, arguments.password_file)))
    _write(arguments.users, users)
    say(f"{name} may log in with the role {role}")


def _password(arguments: argparse.Namespace) -> None:
    users = _read(arguments.users)
    place = _find(arguments.users, users, arguments.name)
    users[place] = users[place]._replace(password=_ask_password(arguments.name, arguments.password_file))
    _write(arguments.users, users)
    say(f"{arguments.name} has a new password")


def _role(arguments: argparse.Namespace) -> None:
    users = _read(arguments.users)
    place = _find(arguments.users, users, arguments.name)
    users[place] = users[place]._replace(role=arguments.role)
    _write(arguments.users, users)
    say(f"{arguments.name} has the role {arguments.role}")


def _remove(arguments: argparse.Namespace) -> None:
    users = _read(arguments.users)
    del users[_find(arguments.users, users, arguments.name)]
    _write(arguments.users, users)
    say(f"{arguments.name} is removed")


def _list(arguments: argparse.Namespace) -> None:
    users = _read(arguments.users)
    if str(arguments.json) != "-":
        for user in users:
            print(f"{user.name}  {user.role}")
    write_json({"users": [{"name": user.name, "role": user.role} for user in users]}, arguments.json)


def _read(file: Path) -> list[User]:
    from edge_inspect.edge.page.users import read_users

    return read_users(file)


def _find(file: Path, users: list[User], name: str) -> int:
    names = [user.name for user in users]
    if name not in names:
        raise UsageError(f"{file} has no user {name!r}; its users are {', '.join(names) or 'none'}")
    return names.index(name)


def _ask_password(name: str, file: Path | None) -> PasswordHash:
    from edge_inspect.edge.mqtt.credentials import read_password

    password = read_password(file, "--password-file") if file else _type_password(f"Password of {name}: ")
    try:
        check_new_password(password, name)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if file is None and _type_password("The same again: ") != password:
        raise UsageError("the two passwords differ; nothing was changed")
    return PasswordHash.of(password)


def _type_password(prompt: str) -> str:
    try:
        # Without a terminal, getpass would read standard input and show what is typed.
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        raise UsageError("there is no terminal to ask for the password; use --password-file FILE") from None
    try:
        return getpass.getpass(prompt)
    except EOFError:
        raise UsageError("no password was typed; nothing was changed") from None


def _write(file: Path, users: list[User]) -> None:
    from edge_inspect.edge.mqtt.credentials import credential_path
    from edge_inspect.edge.page.users import write_users

    try:
        write_users(credential_path(file), users)
    except OSError as error:
        raise UsageError(
            f"{file}: cannot be written: {error.strerror}; run this command as the user who owns it, or with sudo"
        ) from error
