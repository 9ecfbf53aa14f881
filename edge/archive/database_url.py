"""The URL of the archive's database, as the configuration gives it; no database package is needed to check it."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

POSTGRESQL = ("postgresql", "postgres", "postgresql+psycopg")
SQLITE = "sqlite"


def check_url(url: str) -> str:
    """Return the URL unchanged if the archive can use it.

    Raises:
        ValueError: It names another kind of database, no file or database, or contains a password.
    """
    parts = urlsplit(url)
    if parts.scheme == SQLITE:
        if not url.startswith("sqlite:///") or len(parts.path) < 2:
            raise ValueError("name the SQLite file with its whole path: sqlite:////var/lib/edge-inspect-archive/a.db")
        return url
    if parts.scheme not in POSTGRESQL:
        # The URL is not shown: it may contain a password.
        raise ValueError("must begin with postgresql:// or sqlite:///")
    if parts.password is not None or any(name == "password" for name, _ in parse_qsl(parts.query)):
        raise ValueError(
            "contains a password, which others could read here; write it into a file and name the file in "
            "'password_file'"
        )
    if len(parts.path) < 2:
        raise ValueError("names no database; write postgresql://USER@HOST/DATABASE")
    return url
