from __future__ import annotations

import contextlib
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.edge.configuration.host import check_host


@pytest.mark.parametrize(
    "host", ["localhost", "broker.lan", "mqtt_broker", "bröker.lan", "192.168.0.7", "::1", "fe80::1%eth0", "a.b.", "1a"]
)
def test_names_and_addresses_are_taken(host: str) -> None:
    assert check_host(host) == host


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("mqtt://broker", "is a URL (mqtt://...); write host: broker"),
        ("tcp://[fe80::1]:1884/", "write host: 'fe80::1' and port: 1884"),
        ("MQTTS://broker", "write host: broker and tls: {}"),
        ("mqtts://box:secret@broker", "write host: broker and tls: {}"),
        ("wss://broker/mqtt", "WebSockets"),
        ("mqtt://", "write the broker's name or address"),
        ("broker:1883", "write host: broker and port: 1883"),
        ("192.168.0.7:8883", "write host: 192.168.0.7 and port: 8883"),
        ("[::1]", "write host: '::1'"),
        ("[fe80::1]:1883", "write host: 'fe80::1' and port: 1883"),
        ("broker/mqtt", "write host: broker"),
        (" broker", "write broker"),
        ("broker\n", "write broker"),
        ("broker a", "holds a comma or a blank"),
        ("a,b", "holds a comma or a blank"),
        ("box:secret@broker", "mqtt.username"),
        ("tcp:broker", "holds ':'; write only the broker's name"),
        ("1::2::3", "no IPv6 address"),
        ("192.168.0.300", "no IPv4 address"),
        ("192.168.1", "no IPv4 address"),
        ("a..b", "1 to 63 between two dots"),
        ("x" * 64, "1 to 63 between two dots"),
        (".".join(["x" * 60] * 5), "at most 253"),
        ("broker;", "holds ';'"),
        ("", "a name or an address"),
    ],
)
def test_what_is_neither_is_refused_with_what_to_write(host: str, said: str) -> None:
    with pytest.raises(ValueError, match="write|one|holds|is") as caught:
        check_host(host)
    assert said in str(caught.value) and "secret" not in str(caught.value)


@given(st.text(max_size=70) | st.text(alphabet="a1.:[]/@%-_ ", max_size=12))
def test_what_is_taken_can_be_looked_up(host: str) -> None:
    with contextlib.suppress(ValueError):
        taken = check_host(host)
        with contextlib.suppress(socket.gaierror):
            socket.getaddrinfo(taken, 1883, flags=socket.AI_NUMERICHOST)
