"""The check of a host in a configuration: it must be a name or an address, without scheme, port or brackets."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_LONGEST_NAME = 253
_WITH_TLS = ("mqtts", "ssl", "tls")


def check_host(host: str) -> str:
    """Return the host unchanged if it is a plain name or address: `broker.lan`, `192.168.0.7`, `fe80::1%eth0`.

    Raises:
        ValueError: The host is neither a name nor an address. The message says what to write instead, and never shows
            the password of a URL.
    """
    if "://" in host:
        raise ValueError(_instead_of_a_url(host))
    if host != host.strip() or not host:
        raise ValueError(f"{host!r} begins or ends with a blank; write {host.strip() or 'a name or an address'}")
    if "@" in host:
        raise ValueError("holds '@'; write only the name or address after it, and the user name in mqtt.username")
    if match := re.fullmatch(r"\[([^]]*)\](?::(\d+))?", host):
        port = f" and port: {match[2]}" if match[2] else ""
        raise ValueError(f"{host!r} has brackets; write host: {_quoted(match[1])}{port}")
    if match := re.fullmatch(r"([^:]*):(\d*)", host):
        port = f"port: {match[2]}" if match[2] else "the port as port:"
        raise ValueError(f"{host!r} holds a port; write host: {_quoted(match[1])} and {port}")
    if host.count(":") == 1:
        raise ValueError(f"{host!r} holds ':'; write only the broker's name or address here, and the port as port:")
    if ":" in host:
        return _check_ipv6(host)
    if "/" in host:
        raise ValueError(f"{host!r} holds '/'; write host: {_quoted(host.strip('/').split('/')[0])}")
    if "," in host or any(character.isspace() for character in host):
        raise ValueError(f"{host!r} holds a comma or a blank; write one name or address")
    if re.fullmatch(r"[\d.]+", host):
        return _check_ipv4(host)
    return _check_name(host)


def _instead_of_a_url(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError:
        return "is a URL; write only the broker's name or address"
    if scheme in ("ws", "wss", "http", "https"):
        return (
            f"is a URL of WebSockets ({scheme}://), which this program does not support; write the broker's name or "
            "address, and as port: the port of plain MQTT"
        )
    also = [f"port: {port}"] if port else []
    if scheme in _WITH_TLS:
        also.append("tls: {} (with ca_file: below it for a CA of your own)")
    written = " and ".join([f"host: {_quoted(host)}" if host else "the broker's name or address", *also])
    return f"is a URL ({scheme}://...); write {written}"


def _quoted(host: str) -> str:
    """Return the host as it is written in YAML: an IPv6 address needs quotes."""
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
        raise ValueError(
            f"{host!r} is no IPv4 address; write four numbers from 0 to 255, without leading zeros"
        ) from None
    return host


def _check_name(host: str) -> str:
    if wrong := re.search(r"[^\w.-]", host):
        raise ValueError(f"{host!r} holds {wrong[0]!r}, which a host name cannot have; leave it out")
    try:
        # The resolver encodes the name in the same way, and raises no OSError where a name is too long.
        encoded = host.encode("idna")
    except UnicodeError:
        encoded = b""
    if not 0 < len(encoded) <= _LONGEST_NAME:
        shown = host if len(host) <= 80 else f"{host[:80]}..."
        raise ValueError(f"{shown!r} is no host name: a name has at most 253 characters, and 1 to 63 between two dots")
    return host
