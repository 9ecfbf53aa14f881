"""What an error of a database says to a person, and what to do about it."""

from __future__ import annotations

import re

from sqlalchemy.exc import DBAPIError

from edge_inspect.edge.text import clean

_LONGEST = 500
# libpq asks in the midst of an error whether the server is running; the remedy says the same.
_QUESTION = re.compile(r" Is the server running [^?]*\?")
_REMEDIES = (
    (
        r'password authentication failed for user "([^"]*)"',
        r"write the password of \1 into the file that 'password_file' names, or correct the user in 'database'",
    ),
    (r"no password supplied", r"name the file with the user's password in 'password_file'"),
    (
        r'database "([^"]*)" does not exist',
        r"create it with CREATE DATABASE \1 OWNER and the user's name, or correct its name in 'database'",
    ),
    (
        r'role "([^"]*)" does not exist',
        r"create it with CREATE USER \1 PASSWORD and a password, or correct the user in 'database'",
    ),
    (
        r"no pg_hba.conf entry",
        r"add a line for this computer to pg_hba.conf of the server, or choose another sslmode in 'database'",
    ),
    (
        r"does not support SSL",
        r"switch ssl on in postgresql.conf of the server, or choose another sslmode in 'database'",
    ),
    (
        r"certificate",
        r"name the file with the CA's certificate as sslrootcert in 'database', and the host by its name in the "
        r"server's certificate",
    ),
    (
        r"Connection refused|No such file or directory|timeout expired|resolve host|No route to host|unreachable",
        r"check that the server is running, and host and port in 'database'",
    ),
    (
        r"permission denied",
        r"make the user in 'database' the owner of the database and of its tables, with ALTER DATABASE and ALTER TABLE",
    ),
    (r"unable to open database file|readonly database", r"let this user write the file in 'database' and its folder"),
    (r"file is not a database", r"name another file in 'database'"),
    (r"database is locked", r"end the other program that writes the file in 'database'"),
    (r"^connection |^invalid connection option", r"check 'database' and 'password_file'"),
)


def said(error: Exception) -> str:
    """Return what a database said, in one line without the statement and without a full stop at its end."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    words = _QUESTION.sub("", clean(" ".join(str(cause).split())))
    return words[:_LONGEST].rstrip(" .") or type(cause).__name__


def explained(error: Exception) -> str:
    """Return what a database said, and after a semicolon the remedy if one is known. It names the settings' keys."""
    words = said(error)
    for pattern, remedy in _REMEDIES:
        if found := re.search(pattern, words):
            return f"{words}; {found.expand(remedy)}"
    return words
