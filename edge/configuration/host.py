"""Hosts as a configuration names them: a name or an address, and nothing around it."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_LONGEST_NAME = 253
_WITH_TLS = ("mqtts", "ssl", "tls")


def check_host(host: str) -> str:
    """Return a host that is written as it should be: `broker.lan`, `192.168.0.7`, `fe80::1%eth0`.

    Raises:
        ValueError: It is no name and no address; the message says what to write instead. Of a URL with a password, it
            shows only the host.
    """
    if "://" in host:
        raise ValueError(_instead_of_a_url(host))
    if host != host.strip() or not host:
        raise ValueError(f"{host!r} has blanks around it; write {host.strip() or 'a name or an address'}")
    if "@" in host:
        raise ValueError("holds '@'; write the name or address behind it here, and the user's name in mqtt.username")
    if match := re.fullmatch(r"\[([^]]*)\](?::(\d+))?", host):
        port = f" and port: {match[2]}" if match[2] else ""
        raise ValueError(f"{host!r} has brackets; write host: {_quoted(match[1])}{port}")
    if match := re.fullmatch(r"([^:]*):(\d*)", host):
        port = f"port: {match[2]}" if match[2] else "the port as port:"
        raise ValueError(f"{host!r} holds a port; write host: {_quoted(match[1])} and {port}")
    if host.count(":") == 1:
        raise ValueError(f"{host!r} holds ':'; write the broker's name or address alone, and a port as port:")
    if ":" in host:
        return _check_ipv6(host)
    if "/" in host:
        raise ValueError(f"{host!r} holds '/'; write host: {_quoted(host.strip('/').split('/')[0])}")
    if "," in host or any(character.isspace() for character in host):
        raise ValueError(f"{host!r} is more than one word; write one name or address")
    if re.fullmatch(r"[\d.]+", host):
        return _check_ipv4(host)
    return _check_name(host)


def _instead_of_a_url(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError:
        return "is a URL; write the broker's name or address alone"
    if scheme in ("ws", "wss", "http", "https"):
        why = (
            f"is a URL of WebSockets ({scheme}://), which are not spoken here; write the broker's name or address, and "
        )
        return why + "the port at which it speaks MQTT"
    also = [f"port: {port}"] if port else []
    if scheme in _WITH_TLS:
        also.append("tls: {}, or what your broker's CA needs below tls")
    written = " and ".join([f"host: {_quoted(host)}" if host else "the broker's name or address", *also])
    return f"is a URL ({scheme}://...); write {written}"


def _quoted(host: str) -> str:
    """Return the host as YAML takes it."""
    return f"'{host}'" if ":" in host else host


def _check_ipv6(host: str) -> str:
    try:
        ipaddress.IPv6Address(host)
    except ValueError as error:
        raise ValueError(f"{host!r} is no IPv6 address: {error}") from error
    return host


def _check_ipv4(host: str) -> str:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        raise ValueError(f"{host!r} is no IPv4 address; it has four numbers of 0 to 255 without zeros before") from None
    return host


def _check_name(host: str) -> str:
    if wrong := re.search(r"[^\w.-]", host):
        raise ValueError(f"{host!r} holds {wrong[0]!r}, which no name of a host does; leave it out")
    try:
        # What the resolver is given; of too long a name it raises what is no OSError.
        encoded = host.encode("idna")
    except UnicodeError:
        encoded = b""
    if not 0 < len(encoded) <= _LONGEST_NAME:
        shown = host if len(host) <= 80 else f"{host[:80]}..."
        raise ValueError(f"{shown!r} is no name of a host: its parts have 1 to 63 characters, and all of it up to 253")
    return host
