"""Commands: what is taken for one, and which are let in."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspect.edge.contract.commands import LARGEST_COMMAND, VERBS, Refused, parse_command, read_sender
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.replies import Reply
from edge_inspect.edge.station.command_admission import CommandAdmission, CommandMemory, Receipt

NOW = 1_800_000_000.0
numbers = itertools.count()


def made(seconds: float = NOW) -> str:
    """A command's id with a time of its own."""
    text = f"{round(seconds * 1000):012x}70008{next(numbers):015x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def payload(verb: str = "pause", **fields: Any) -> bytes:
    return json.dumps({"command": verb, "id": made(), **fields}).encode()


@pytest.mark.parametrize(
    ("verb", "fields"),
    [
        ("trigger", {}),
        ("trigger", {"part_id": "Teil-7ü"}),
        ("pause", {"by": "hmi", "contract": 1}),
        ("resume", {}),
        ("threshold", {"value": 1}),
        ("threshold", {"value": None}),
        ("snapshot", {}),
        ("resend", {"from_sequence": 7}),
        ("resend", {"from_sequence": 7, "to_sequence": 7}),
        ("bundle", {"name": None}),
        ("bundle", {"name": "a", "digest": "0f" * 32}),
        ("bundle", {"name": "a", "digest": "0f" * 32, "url": "https://central.example/a.zip"}),
        ("bundle", {"name": None, "digest": None, "url": None}),
    ],
    ids=str,
)
def test_a_command_is_read(verb: str, fields: dict[str, Any]) -> None:
    command = parse_command(payload(verb, **fields))
    assert command.command == verb
    assert {name: getattr(command, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"[" * LARGEST_COMMAND, "recursion"),
        (b"[]", "object"),
        (b"{}", "command"),
        (payload("fly"), "there is no command 'fly'; send one of trigger, pause"),
        (payload().replace(b'"pause"', b"7"), "there is no command '7'; send one of trigger"),
        (payload(id="7"), "pause.id: is not a UUID like .*; send a new UUIDv7"),
        (payload(id=made().replace("-7", "-4", 1)), "pause.id: is a UUID of version 4; send a new UUIDv7"),
        (payload(id=made().replace("-8", "-c", 1)), "pause.id: is not a UUID like"),
        (payload(id="urn:uuid:" + made()), "pause.id: is not a UUID like"),
        (payload(id=7), "pause.id: input should be a valid string"),
        (b'{"command":"pause"}', r"pause.id: is missing; add it \(a new UUIDv7"),
        (payload(more=1), "pause.more: unknown field; leave it out. pause has the fields contract, command, id, by"),
        (payload(contract=2), "pause.contract: this station uses contract 1; send 1, or leave it out"),
        (payload("threshold"), "threshold.value: is missing; add it .*null restores the bundle's threshold"),
        (payload("threshold", value="1"), "valid number"),
        (payload("threshold", value=True), "valid number"),
        (payload("threshold", value=float("nan")), "finite"),
        (payload("resend", from_sequence=0), "greater than or equal to 1"),
        (payload("resend", from_sequence=2.5), "valid integer"),
        (payload("resend", from_sequence="7300"), "valid integer"),
        (payload("resend", from_sequence=True), "valid integer"),
        (payload("resend", from_sequence=1e300), "less than or equal to"),
        (payload("resend", from_sequence=5, to_sequence=4), "below from_sequence"),
        (payload("trigger", part_id="x" * 257), "at most 256"),
        (payload("trigger", part_id=7), "valid string"),
        (b'{"command":"trigger","part_id":"\\ud800"}', "JSON"),
        (payload("bundle", name="a", digest="0f"), "bundle.digest: has 2 characters; send the 64 digits"),
        (payload("bundle", name="a", digest="0F" * 32), "bundle.digest: has capital letters; send the 64 digits"),
        (payload("bundle", name="a", digest="0f" * 32 + "\n"), "bundle.digest: has 65 characters"),
        (payload("bundle", name="a", digest=7), "bundle.digest: input should be a valid string"),
        (payload("bundle", name="a", url="https://a/b.zip"), "url needs the bundle's digest beside it"),
        (payload("bundle", name="a", digest="0f" * 32, url="x" * 1025), "bundle.url: .*at most 1024"),
        (payload("bundle", name="a", digest="0f" * 32, url=""), "bundle.url: .*at least 1"),
        (payload("bundle", name=None, digest="0f" * 32), "name is null, which rolls back; leave digest and url out"),
        (payload("bundle", digest="0f" * 32), "bundle.name: is missing"),
    ],
)
def test_what_is_malformed_is_refused_with_a_reason(text: bytes, reason: str) -> None:
    with pytest.raises(Refused, match=reason) as caught:
        parse_command(text)
    assert caught.value.refusal == "malformed"
    assert len(str(caught.value)) <= 1000
    assert not set(str(caught.value)) & set("^$"), "a regular expression is no remedy"


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (payload("resend", from_sequence=7300.0), {"from_sequence": 7300, "to_sequence": None}),
        (payload("resend", from_sequence=1, to_sequence=9.0), {"to_sequence": 9}),
        (payload("resend", from_sequence=1).replace(b"1}", b"7.3e3}"), {"from_sequence": 7300}),
        (payload("pause", contract=1.0), {"contract": 1}),
        (payload(id="019F2B1C-7E40-7000-8000-0123456789AB"), {"id": "019F2B1C-7E40-7000-8000-0123456789AB"}),
        (payload(id="019f2B1c-7e40-7000-B000-0123456789ab"), {"id": "019f2B1c-7e40-7000-B000-0123456789ab"}),
    ],
)
def test_what_json_schema_takes_is_read(text: bytes, fields: dict[str, Any]) -> None:
    command = parse_command(text)
    read = {name: getattr(command, name) for name in fields}
    assert read == fields and [type(value) for value in read.values()] == [type(value) for value in fields.values()]
    assert read_sender(text).id == command.id


def test_what_is_too_large_is_refused_unread() -> None:
    largest = payload(by="x").ljust(LARGEST_COMMAND)
    assert parse_command(largest).command == "pause"
    with pytest.raises(Refused, match="has 4097 bytes; send at most 4096") as caught:
        parse_command(largest + b" ")
    assert caught.value.refusal == "oversized"


def test_who_sent_a_malformed_command_is_read_as_far_as_it_goes() -> None:
    identity = made()
    assert read_sender(payload("fly", id=identity)).id == identity
    assert read_sender(payload("pause", id=5)).command == "pause"
    assert read_sender(b"{") == read_sender(b"[1]") == read_sender(b'{"id": {}, "command": []}')


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)
near_commands = st.fixed_dictionaries(
    {},
    optional={
        "command": st.sampled_from(VERBS) | json_values,
        "id": st.sampled_from([made(), made().upper()]) | json_values,
        "contract": st.just(1) | json_values,
        "by": json_values,
        "value": json_values,
        "part_id": json_values,
        "name": st.none() | st.text(max_size=5) | json_values,
        "digest": st.none() | st.just("0f" * 32) | json_values,
        "url": st.none() | st.just("https://a/b.zip") | json_values,
        "from_sequence": st.integers(1, 10_000).map(float) | json_values,
        "to_sequence": json_values,
    },
)


@given(st.binary(max_size=200) | near_commands.map(lambda fields: json.dumps(fields).encode()))
@settings(max_examples=400, deadline=None)
def test_no_payload_makes_the_parser_fail_otherwise(text: bytes) -> None:
    sender = read_sender(text)
    try:
        command = parse_command(text)
    except Refused as refused:
        assert str(refused)
        reply = Reply(
            boot_id="b", sequence=0, command_id=sender.id, command=sender.command, at=utc_now(), done=False,
            refusal=refused.refusal, reason=str(refused),
        )  # fmt: skip
        assert Reply.model_validate_json(reply.to_json()) == reply
    else:
        assert (command.id, command.command) == (sender.id, sender.command)
        assert parse_command(command.model_dump_json().encode()) == command


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def desk(clock: Clock, *allowed: Any) -> CommandAdmission:
    return CommandAdmission(allowed or VERBS, 30.0, clock)


def refusal(receipt: Receipt) -> str | None:
    return receipt.refused.refusal if receipt.refused else None


def test_only_what_is_allowed_is_let_in(clock: Clock) -> None:
    some = desk(clock, "pause", "resume")
    assert refusal(some.receive(payload("pause"), retained=False)) is None
    receipt = some.receive(payload("snapshot"), retained=False)
    assert refusal(receipt) == "unauthorised"
    assert "does not allow snapshot; commands.allow in its configuration lists pause, resume" in str(receipt.refused)
    none = CommandAdmission([], 30.0, clock)
    assert "lists none" in str(none.receive(payload("pause"), retained=False).refused)


def test_a_command_is_used_once(clock: Clock) -> None:
    one = desk(clock)
    text = payload()
    assert refusal(one.receive(text, retained=False)) is None
    assert refusal(one.receive(text, retained=False)) == "replayed"
    clock.now += 29
    assert refusal(one.receive(text, retained=False)) == "replayed"
    clock.now += 2
    assert refusal(one.receive(text, retained=False)) == "expired"
    for step in (-31, 86400, -86400):  # the clock is set forward, and back again
        clock.now += step
        assert refusal(one.receive(text, retained=False)) in ("replayed", "expired")
    clock.now = NOW
    assert refusal(one.receive(text, retained=False)) == "replayed"


@pytest.mark.parametrize(
    ("now", "made_at", "said"),
    [
        (NOW, NOW - 30.5, "made at 2027-01-15T07:59:29Z: 30.5 s earlier, 30 s are allowed. Send a new command"),
        (NOW, NOW - 86400, "if this one was new, a clock is wrong"),
        (NOW, NOW + 30.5, "30.5 s later, 30 s are allowed. One of the two clocks is wrong"),
        (200.0, NOW, "this box's clock says 1970-01-01T00:03:20Z.*. This box's clock is wrong; set it"),
        (NOW, 100.0, "was made at 1970-01-01T00:01:40Z.*The sender's clock is wrong"),
        (NOW, NOW / 1000, "The sender's clock is wrong, or its id holds no time in milliseconds"),
        (NOW, (2**48 - 1) / 1000, "281474976711 s after 1970.*The sender's clock is wrong"),
    ],
)
def test_a_command_of_another_time_is_refused_and_the_clocks_named(
    clock: Clock, now: float, made_at: float, said: str
) -> None:
    clock.now = now
    receipt = desk(clock).receive(payload(id=made(made_at)), retained=False)
    assert refusal(receipt) == "expired"
    assert re.search(said, str(receipt.refused)), str(receipt.refused)
    assert "this box's clock says" in str(receipt.refused)


def test_an_id_in_capitals_is_the_same_id(clock: Clock) -> None:
    one, identity = desk(clock), made()[:-1] + "f"
    assert refusal(one.receive(payload(id=identity), retained=False)) is None
    assert refusal(one.receive(payload(id=identity.upper()), retained=False)) == "replayed"


@pytest.mark.parametrize(
    ("now", "when"), [(0.0, "1970-01-01T00:00:00Z"), (9.9e8, "2001-05-16T08:00:00Z"), (5e9, "2128-06-11T08:53:20Z")]
)
def test_a_clock_that_is_wrong_is_named(clock: Clock, now: float, when: str) -> None:
    right = payload(id=made(NOW))
    clock.now = now
    said = str(desk(clock).receive(right, retained=False).refused)
    assert f"this box's clock says {when}" in said and "This box's clock is wrong; set it" in said
    wrong = payload(id=made(now + 3))
    clock.now = NOW
    said = str(desk(clock).receive(wrong, retained=False).refused)
    assert "The sender's clock is wrong" in said


def test_what_an_earlier_process_may_have_carried_out_is_refused(clock: Clock) -> None:
    before = payload(id=made(NOW - 5))
    assert refusal(desk(clock).receive(before, retained=False)) == "expired"
    clock.now -= 3
    earlier = desk(clock)
    clock.now += 3
    assert refusal(earlier.receive(payload(id=made(NOW - 2)), retained=False)) is None


def test_a_clock_that_is_set_back_shuts_nobody_out(clock: Clock) -> None:
    one = desk(clock)
    clock.now -= 7200
    assert refusal(one.receive(payload(id=made(clock.now)), retained=False)) is None


def test_a_retained_command_is_refused(clock: Clock) -> None:
    assert refusal(desk(clock).receive(payload(), retained=True)) == "replayed"


def test_no_command_is_taken_that_would_have_another_one_forgotten(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_inspect.edge.station.command_admission.KEPT", 3)
    steady = Clock()
    one = CommandAdmission(VERBS, 30.0, clock, steady=steady)
    first = payload()
    assert refusal(one.receive(first, retained=False)) is None
    assert [refusal(one.receive(payload(), retained=False)) for _ in range(3)] == [None, None, "busy"]
    assert refusal(one.receive(first, retained=False)) == "replayed"
    clock.now += 61
    assert refusal(one.receive(payload(id=made(clock.now)), retained=False)) == "busy"
    steady.now += 61
    assert refusal(one.receive(payload(id=made(clock.now)), retained=False)) is None


@pytest.mark.parametrize("step", [-60, -3600, -21 * 86400, 0, 5])
def test_a_command_is_not_carried_out_again_after_a_restart(clock: Clock, tmp_path: Path, step: float) -> None:
    file = tmp_path / "ids"
    text = payload(id=made(NOW + 1))
    assert refusal(CommandAdmission(VERBS, 30.0, clock, CommandMemory(file)).receive(text, retained=False)) is None
    clock.now += 60
    again = CommandAdmission(VERBS, 30.0, clock, CommandMemory(file))
    # By -60 s the command is of now again, and was made after the service's start.
    clock.now += step
    assert refusal(again.receive(text, retained=False)) == ("replayed" if step == -60 else "expired")
    assert refusal(again.receive(payload(id=made(clock.now + 1)), retained=False)) is None


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\n\n", b"0190-cut", b"no id\n" * 5, b"\0" * 4096])
def test_a_damaged_memory_is_no_obstacle(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "ids"
    file.write_bytes(content)
    first, second = uuid7(), uuid7()
    CommandMemory(file).add(first)
    CommandMemory(file).add(second)
    memory = CommandMemory(file)
    assert first in memory and second in memory and uuid7() not in memory


def test_the_file_of_a_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_inspect.edge.station.command_admission.KEPT", 5)
    memory = CommandMemory(tmp_path / "ids")
    made_ids = [uuid7() for _ in range(40)]
    for identity in made_ids:
        memory.add(identity)
    assert len((tmp_path / "ids").read_text().splitlines()) <= 12
    again = CommandMemory(tmp_path / "ids")
    assert [identity for identity in made_ids if identity in again] == made_ids[-5:]


def test_a_memory_that_cannot_be_written_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    memory = CommandMemory(tmp_path / "missing" / "ids")
    identity = uuid7()
    memory.add(identity)
    memory.add(uuid7())
    assert identity in memory
    assert len(caplog.records) == 1 and "No such file" in caplog.text


def test_what_is_done_and_refused_is_counted(clock: Clock) -> None:
    one = desk(clock)
    one.count(None)
    for kind in ("malformed", "malformed", "oversized"):
        one.count(Refused(kind, "why"))
    counts = one.counts()
    assert counts.done == 1
    assert counts.refused.model_dump() == {
        "malformed": 2, "oversized": 1, "unauthorised": 0, "expired": 0, "replayed": 0, "busy": 0, "impossible": 0
    }  # fmt: skip


def test_our_own_ids_are_taken() -> None:
    assert refusal(CommandAdmission(VERBS, 30.0).receive(payload(id=uuid7()), retained=False)) is None
