"""What proxies forward, whatever it is."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.edge.page.proxies import LOOPBACK, Proxies, parse_address

BYTES = st.binary(max_size=80) | st.text(alphabet="0123456789abcdef.:[]%, ", max_size=60).map(str.encode)


def scope(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"headers": list(headers), "client": ("127.0.0.1", 1), "scheme": "http"}


@given(
    st.lists(st.tuples(st.sampled_from([b"x-forwarded-for", b"x-forwarded-proto", b"forwarded"]), BYTES), max_size=4)
)
def test_whatever_is_forwarded_the_address_is_one_and_the_scheme_is_http(headers: list[tuple[bytes, bytes]]) -> None:
    found = scope(*headers)
    Proxies(LOOPBACK).apply(found)
    ipaddress.ip_address(found["client"][0])
    assert found["scheme"] in ("http", "https")


@given(st.ip_addresses(), st.lists(BYTES, max_size=3))
def test_what_a_browser_wrote_before_its_proxy_counts_for_nothing(address: Any, written: list[bytes]) -> None:
    seen = parse_address(str(address))
    found = scope(*((b"x-forwarded-for", each) for each in written), (b"x-forwarded-for", str(address).encode()))
    Proxies(["192.0.2.1"]).apply(found)
    if str(seen) != "192.0.2.1":
        assert found["client"][0] == str(seen)


@given(st.text(max_size=80))
def test_a_text_is_an_address_or_none(text: str) -> None:
    found = parse_address(text)
    assert found is None or parse_address(str(found)) == found


def test_a_chain_of_trusted_proxies_is_followed_to_its_end() -> None:
    chain = b"203.0.113.9, 10.0.0.1, 192.0.2.5"
    found = scope((b"x-forwarded-for", chain), (b"x-forwarded-proto", b"http, https"))
    Proxies(["192.0.2.0/24", "10.0.0.1"]).apply(found)
    assert (found["client"][0], found["scheme"]) == ("203.0.113.9", "https")
    many = scope((b"x-forwarded-for", b", ".join([b"127.0.0.1"] * 5000)))
    Proxies(LOOPBACK).apply(many)
    assert many["client"][0] == "127.0.0.1"


@pytest.mark.parametrize(("address", "trusted"), [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True)])
def test_loopback_is_every_way_to_say_this_box(address: str, trusted: bool) -> None:
    assert (address in Proxies(LOOPBACK)) is trusted
    assert "192.0.2.1" not in Proxies(LOOPBACK) and "unknown" not in Proxies(LOOPBACK) and "" not in Proxies(LOOPBACK)


@pytest.mark.parametrize("wrong", ["proxy.plant", "192.0.2.1/8", "192.0.2.300", "", "*"])
def test_what_is_no_address_is_a_mistake_in_the_configuration(wrong: str) -> None:
    with pytest.raises(ValueError, match="write addresses such as"):
        Proxies([wrong])
