"""The proxies in front of the page, and what they say of the browser."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Scope

LOOPBACK = ("127.0.0.0/8", "::1")
"""Addresses of a proxy on this box."""

_MOST_HOPS = 32
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Proxies:
    """The addresses of proxies whose forwarded headers are believed.

    Args:
        addresses: Addresses or networks, such as "192.0.2.7" or "192.0.2.0/24"; empty without a proxy.

    Raises:
        ValueError: A text is neither.
    """

    def __init__(self, addresses: Sequence[str] = ()) -> None:
        try:
            self._networks = [ipaddress.ip_network(address) for address in addresses]
        except ValueError as error:
            raise ValueError(f"{error}; write addresses such as 192.0.2.7, or networks such as 192.0.2.0/24") from error

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: str) -> bool:
        return (found := parse_address(address)) is not None and self._trusts(found)

    def apply(self, scope: Scope) -> None:
        """Replace the address and the scheme in the scope of a request by those that its proxy forwards.

        `X-Forwarded-For` is read from its end, because each proxy appends the address that it has seen; whatever the
        browser itself wrote stands before that.
        """
        texts = {"for": [], "proto": []}  # type: dict[str, list[str]]
        for name, value in scope["headers"]:
            if name in (b"x-forwarded-for", b"x-forwarded-proto"):
                texts[name.decode().rpartition("-")[2]] += value.decode("latin-1").split(",")
        for text in list(reversed(texts["for"]))[:_MOST_HOPS]:
            if (address := parse_address(text)) is None:
                break
            scope["client"] = (str(address), 0)
            if not self._trusts(address):
                break
        if texts["proto"] and (scheme := texts["proto"][-1].strip().lower()) in ("http", "https"):
            scope["scheme"] = scheme

    def _trusts(self, address: _Address) -> bool:
        return any(address in network for network in self._networks)


def parse_address(text: str) -> _Address | None:
    """Return the address in a text, which may have a port; `None` if there is none.

    An IPv4 address that is written as one of IPv6 is returned as IPv4.
    """
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
