from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from bridge_parts import defect, verdict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from station_parts import health, status

from edge_inspect.edge.contract.health import Health
from edge_inspect.edge.contract.messages import Defect, Verdict
from edge_inspect.edge.contract.received_messages import KINDS, LARGEST_BYTES, UnreadableMessage, read_message

MESSAGES = {"verdict": verdict(3), "defect": defect(verdict(3, ok=False), 5), "status": status(), "health": health()}
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def changed(kind: str, **fields: Any) -> bytes:
    return json.dumps({**json.loads(MESSAGES[kind].to_json()), **fields}).encode()


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_station_sends_is_read(kind: str) -> None:
    assert read_message(kind, MESSAGES[kind].to_json()) == MESSAGES[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_fields_of_a_later_release_are_left_out(kind: str) -> None:
    assert read_message(kind, changed(kind, later={"a": 1}, other=[1, 2])) == MESSAGES[kind]


def test_what_a_later_release_adds_deeper_is_left_out() -> None:
    region = {**json.loads(MESSAGES["defect"].to_json())["regions"][0], "later": 1}
    read = read_message("defect", changed("defect", regions=[region]))
    assert isinstance(read, Defect) and len(read.regions) == 1
    read = read_message("health", changed("health", warnings=["dark", "a_new_one", "disk", "another"]))
    assert isinstance(read, Health) and read.warnings == ("dark", "disk")
    read = read_message("verdict", changed("verdict", ok=False, not_found="in_a_new_way"))
    assert isinstance(read, Verdict) and not read.ok and read.not_found is None


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"nonsense",
        b"[" * 100_000,
        b'{"sequence": 1}',
        b" " * (LARGEST_BYTES + 1),
        changed("verdict", sequence=0),
        changed("verdict", sequence=2**60),
        changed("verdict", id="../../etc/passwd"),
        changed("verdict", score=None),
        changed("verdict", decided_at="0001-01-01T00:00:00+23:00"),
        changed("verdict", captured_at="9999-12-31T23:59:59-23:00"),
        changed("verdict", decided_at="yesterday"),
        changed("verdict", frame={"width": -1, "height": 0}),
        changed("verdict", bundle="flange"),
        changed("verdict", captured_at="9999-12-31T23:59:59.5-23:59"),
        changed("verdict", decided_at="0001-01-01T00:00:00+00:01"),
        changed("verdict", decided_at="0001-01-01T12:00:00+23:00"),
        json.dumps({k: v for k, v in json.loads(MESSAGES["verdict"].to_json()).items() if k != "id"}).encode(),
        MESSAGES["verdict"].to_json().replace(b"0.25", b"NaN"),
        MESSAGES["verdict"].to_json().replace(b"0.25", b"1e999"),
    ],
)
def test_what_is_no_verdict_is_refused_in_one_line(payload: bytes) -> None:
    with pytest.raises(UnreadableMessage) as refused:
        read_message("verdict", payload)
    assert str(refused.value).isprintable() and len(str(refused.value)) <= 300


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first text loads the tables of Unicode
@given(st.sampled_from(sorted(KINDS)), st.dictionaries(st.sampled_from(sorted(Health.model_fields)), ANYTHING))
def test_nothing_but_unreadable_is_raised(kind: str, fields: dict[str, Any]) -> None:
    with contextlib.suppress(UnreadableMessage):
        read_message(kind, changed(kind, **fields))


@given(st.sampled_from(sorted(KINDS)), st.binary(max_size=200))
def test_bytes_are_no_message(kind: str, payload: bytes) -> None:
    with pytest.raises(UnreadableMessage):
        read_message(kind, payload)
