"""The address of a file on a web server, and whether it lies under a configured prefix.

Two programs may read one URL differently, and a comparison of strings can be passed by `https://central.example@evil/`,
by `%2e%2e`, by backslashes and by capital letters. So an address is accepted in one spelling only, and its parts are
compared.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from urllib.parse import unquote_to_bytes

LONGEST = 1024
"""Largest number of characters of a URL."""

_PORTS = {"http": 80, "https": 443}
_PARTS = re.compile(r"(https?)://([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?", re.DOTALL)
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9._-]*[a-z0-9])?)(?::([1-9][0-9]{0,4}))?")
# The characters of RFC 3986, without the brackets, which belong to the host alone.
_FOREIGN = re.compile(r"[^A-Za-z0-9._~:/?#@!$&'()*+,;=%\[\]-]")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True)
class WebAddress:
    """The parts of a URL.

    Attributes:
        scheme: `http` or `https`.
        host: Name or address; an IPv6 address is without brackets.
        port: TCP port.
        segments: The path, split at `/`; a slash at its end is left out.
        query: The query with its `?`; empty if there is none.
    """

    scheme: str
    host: str
    port: int
    segments: tuple[str, ...]
    query: str = ""

    @classmethod
    def parse(cls, text: str) -> WebAddress:
        """Parse the URL of a file.

        Raises:
            ValueError: The text is no URL, names no file, or has a spelling that programs read differently. The message
                says what to write instead.
        """
        scheme, authority, path, query = _split(text)
        host, port = _host_and_port(scheme, authority)
        if path.endswith("/") or not path:
            raise ValueError("names a folder; write the URL of a file")
        return cls(scheme, host, port, _segments(path), query)

    @classmethod
    def parse_prefix(cls, text: str) -> WebAddress:
        """Parse a prefix: the URL of a folder, or of a whole server.

        Raises:
            ValueError: As `parse`; or the prefix has a query.
        """
        scheme, authority, path, query = _split(text)
        if query:
            raise ValueError("holds '?'; write the URL of a folder, without a query")
        host, port = _host_and_port(scheme, authority)
        return cls(scheme, host, port, _segments(path.removesuffix("/")))

    @property
    def target(self) -> str:
        """The path and the query, as a request names them."""
        return "/" + "/".join(self.segments) + self.query

    def is_under(self, prefix: WebAddress) -> bool:
        """Return whether this file lies in the folder `prefix`, or below it, on the same server."""
        place, folder = (self.scheme, self.host, self.port), (prefix.scheme, prefix.host, prefix.port)
        inside = self.segments[: len(prefix.segments)] == prefix.segments
        return place == folder and inside and len(self.segments) > len(prefix.segments)

    @property
    def shown(self) -> str:
        """The URL without its query, which may hold a signature that nobody else should read."""
        return str(replace(self, query="")) + ("?..." if self.query else "")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.target}"


def _split(text: str) -> tuple[str, str, str, str]:
    """Return scheme, authority, path and query."""
    if len(text) > LONGEST:
        raise ValueError(f"has {len(text)} characters; write a URL of at most {LONGEST}")
    if wrong := _FOREIGN.search(text):
        raise ValueError(f"holds {wrong[0]!r}, which a URL cannot have; write it as % and two digits, or leave it out")
    found = _PARTS.fullmatch(text)
    if found is None:
        raise ValueError("does not begin with http:// or https://, in lower case; write the whole URL")
    if found[5]:
        raise ValueError("holds '#'; leave it and all behind it out")
    return found[1], found[2], found[3], found[4] or ""


def _host_and_port(scheme: str, authority: str) -> tuple[str, int]:
    if "@" in authority:
        raise ValueError("holds '@' before its path; write the server's name without a user name or a password")
    if authority != authority.lower():
        raise ValueError("has a server name with capital letters; write it in lower case")
    found = _AUTHORITY.fullmatch(authority)
    port = int(found[3]) if found and found[3] else _PORTS[scheme]
    if found is None or port > 65535:
        raise ValueError("names no server; write https://NAME/ or https://NAME:PORT/, the port from 1 to 65535")
    host = found[1]
    if not host.startswith("["):
        return host, port
    try:
        return ipaddress.IPv6Address(host[1:-1]).compressed, port
    except ValueError as error:
        raise ValueError(f"names no server: {error}") from error


def _segments(path: str) -> tuple[str, ...]:
    """Return the path, split at `/`, if every program reads it in the same way."""
    if not path:
        return ()
    segments = tuple(path[1:].split("/"))
    for segment in segments:
        if _ESCAPE.search(segment) or "[" in segment or "]" in segment:
            raise ValueError(f"has a path with {segment!r}, which is misspelt; write % with two digits after it")
        try:
            plain = unquote_to_bytes(segment).decode()
        except UnicodeDecodeError:
            raise ValueError(f"has a path with {segment!r}, which is not UTF-8; give the file another name") from None
        if not segment:
            raise ValueError("has a path with '//'; write one slash")
        if plain.split(";")[0] in (".", ".."):
            raise ValueError(f"has a path with {segment!r}; write the path without . and ..")
        if hidden := re.search(r"[/\\%\x00-\x1f\x7f]", plain):
            raise ValueError(f"has a path with {segment!r}, which hides {hidden[0]!r}; give the file another name")
        if re.search(r"%2e", segment, re.IGNORECASE):
            raise ValueError(f"has a path with {segment!r}, which hides a dot; write the dot as it is")
    return segments
