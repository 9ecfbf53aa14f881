"""Only one spelling of a URL passes, and only under the prefix."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.edge.bundle.web_address import WebAddress

PREFIX = WebAddress.parse_prefix("https://central.example/bundles/")


@pytest.mark.parametrize(
    "url",
    [
        "https://central.example/bundles/a.zip",
        "https://central.example:443/bundles/a.zip",
        "https://central.example/bundles/line/a%20b@1.zip",
        "https://central.example/bundles/Bottle.ZIP?X-Signature=a/b%2f..",
        "https://central.example/bundles/..a/a..zip",
    ],
)
def test_files_under_the_prefix_pass(url: str) -> None:
    address = WebAddress.parse(url)
    assert address.is_under(PREFIX) and WebAddress.parse(str(address)) == address
    assert str(address) == url.replace(":443", "")


def passes(url: str) -> bool:
    try:
        return WebAddress.parse(url).is_under(PREFIX)
    except ValueError:
        return False


@pytest.mark.parametrize(
    "url",
    [
        "https://central.example.evil/bundles/a.zip",
        "https://evil/central.example/bundles/a.zip",
        "https://evil/?https://central.example/bundles/a.zip",
        "https://central.example@evil/bundles/a.zip",
        "https://central.example:443@evil/bundles/a.zip",
        "https://user:password@central.example/bundles/a.zip",
        "https://CENTRAL.example/bundles/a.zip",
        "HTTPS://central.example/bundles/a.zip",
        "https://central.example/BUNDLES/a.zip",
        "https://central.example/bundles/../a.zip",
        "https://central.example/bundles/./../a.zip",
        "https://central.example/bundles/%2e%2e/a.zip",
        "https://central.example/bundles/.%2E/a.zip",
        "https://central.example/bundles/%2e%2e%2fa.zip",
        "https://central.example/bundles/..%2fa.zip",
        "https://central.example/bundles/%252e%252e/a.zip",
        "https://central.example/bundles/..;x=1/a.zip",
        "https://central.example/bundles/%c0%ae%c0%ae/a.zip",
        "https://central.example/bundles/..\\a.zip",
        "https://central.example/bundles/..%5ca.zip",
        "https://central.example\\@evil/bundles/a.zip",
        "https://central.example/bundles-evil/a.zip",
        "https://central.example/bundles",
        "https://central.example/bundles/",
        "https://central.example/bundles//a.zip",
        "https://central.example//bundles/a.zip",
        "https://central.example/%62undles/a.zip",
        "https://central.example/bundles/a.zip#b",
        "https://central.example/bundles/a\x00.zip",
        "https://central.example/bundles/a%00.zip",
        "https://central.example/bundles/a.zip\r\nX: y",
        "https://central.example/bundles/a b.zip",
        "https://central.example/bundles/ａ.zip",
        "https://central.exａmple/bundles/a.zip",
        "https://central.example./bundles/a.zip",
        "https://central.example:8443/bundles/a.zip",
        "https://central.example:0443/bundles/a.zip",
        "https://central.example:/bundles/a.zip",
        "https://central.example:99999/bundles/a.zip",
        "http://central.example/bundles/a.zip",
        "http://central.example:443/bundles/a.zip",
        "ftp://central.example/bundles/a.zip",
        "file:///bundles/a.zip",
        "//central.example/bundles/a.zip",
        "/bundles/a.zip",
        "https:///bundles/a.zip",
        "https:central.example/bundles/a.zip",
        "https://[::1]/bundles/a.zip",
        "https://[central.example]/bundles/a.zip",
        "https://central.example/bundles/[a].zip",
        "https://central.example/bundles/a%2.zip",
        " https://central.example/bundles/a.zip",
        "https://central.example/bundles/" + "a" * 1024,
        "",
    ],
)
def test_no_other_spelling_passes(url: str) -> None:
    assert not passes(url)


def test_parts_are_compared_and_not_strings() -> None:
    local = WebAddress.parse_prefix("http://[::1]:8080")
    assert WebAddress.parse("http://[0:0::1]:8080/a.zip").is_under(local)
    assert not WebAddress.parse("http://[::1]:80/a.zip").is_under(local)
    assert WebAddress.parse("https://central.example/bundles/a.zip").is_under(
        WebAddress.parse_prefix("https://central.example:443/bundles")
    )
    assert not WebAddress.parse("http://127.1/a.zip").is_under(WebAddress.parse_prefix("http://127.0.0.1/"))


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ("central.example/bundles", "does not begin with http"),
        ("https://central.example/bundles/?a", "without a query"),
        ("https://me@central.example/", "without a user name"),
        ("https://central.example/a/../b/", "without . and"),
    ],
)
def test_a_wrong_prefix_is_refused_with_the_remedy(prefix: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        WebAddress.parse_prefix(prefix)


pieces = st.sampled_from(
    ["https://", "http://", "central.example", "evil", "/bundles", "/", "..", ".", "%2e", "%2F", "\\", "@", ":", "443",
     "?", "#", "a.zip", ";", "[", "]", "%", "//"]
)  # fmt: skip


@given(st.lists(pieces, max_size=9).map("".join) | st.text(max_size=60))
def test_whatever_passes_is_a_plain_file_below_the_folder(text: str) -> None:
    try:
        address = WebAddress.parse(text)
    except ValueError as error:
        assert str(error)
        return
    assert WebAddress.parse(str(address)) == address
    if address.is_under(PREFIX):
        assert str(address).startswith("https://central.example/bundles/")
        path = address.target.split("?")[0]
        assert not {"..", ".", ""} & set(path[1:].split("/")) and "@" not in str(address).split("/")[2]
