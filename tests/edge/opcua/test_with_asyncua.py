"""What clients see of a station and may do, over a real connection, with asyncua's own client."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.ua.uaerrors import BadInvalidArgument, BadUserAccessDenied, UaStatusCodeError
from opcua_parts import KEY, PREFIX, Served, ask, connected, until
from page_server import PASSWORDS, write_everybody
from replier import Replier

from edge_inspect.edge.contract.health import StageHealth

INSPECTION = f"{PREFIX}.Inspection"
MODE = f"{PREFIX}.VisionStateMachine.AutomaticModeStateMachine"


async def value(client: Client, node: str) -> Any:
    return await client.get_node(node).read_value()


async def status(client: Client, node: str) -> str:
    found = await client.get_node(node).read_data_value(raise_on_bad_status=False)
    return str(found.StatusCode.name)


async def state(client: Client) -> tuple[str, str]:
    machine, mode = f"{PREFIX}.VisionStateMachine.CurrentState", f"{MODE}.CurrentState"
    return (await value(client, machine)).Text, (await value(client, mode)).Text


async def call(client: Client, node: str, *inputs: Any) -> Any:
    return await client.get_node(node.rpartition(".")[0]).call_method(client.get_node(node).nodeid, *inputs)


def test_the_newest_part_is_shown(served: Served) -> None:
    made = served.station.inspect(1, ok=False, part_id="SN-7")

    async def look(client: Client) -> None:
        await until(lambda: is_newest(client, made.sequence), "the part is shown")
        assert await value(client, f"{INSPECTION}.Accepted") is False
        assert await value(client, f"{INSPECTION}.PartId") == "SN-7"
        assert await value(client, f"{INSPECTION}.Regions") == 1
        await client.load_data_type_definitions()
        latest = await value(client, f"{PREFIX}.ResultManagement.Results.LatestResult")
        assert latest.ResultId.Id == made.id and latest.PartId.Id == "SN-7" and latest.ResultState == 1
        facts = {each.Value.Key.Name: each.Value.Value.Value for each in latest.ResultContent}
        assert facts["accepted"] is False and facts["score"] == 0.75 and facts["region"] == [1, 2, 3, 4, 100, 0.8]
        assert await status(client, f"{INSPECTION}.LatencyP50Ms") == "BadNoData"

    ask(served.settings, served.keys, look)


async def is_newest(client: Client, sequence: int) -> bool:
    return bool(await value(client, f"{INSPECTION}.Sequence") == sequence)


def test_the_state_follows_the_status(served: Served) -> None:
    async def look(client: Client) -> None:
        for said, shown in {
            "paused": ("Operational", "Ready"),
            "offline": ("Halted", ""),
            "starting": ("Preoperational", ""),
            "online": ("Operational", "ContinuousExecution"),
        }.items():
            served.station.begin(said)
            await until(lambda shown=shown: is_in(client, shown), f"{said} is {shown}")
        served.station.begin("online", stages={"camera": StageHealth(state="failed", seconds=1.0, progress=1)})
        await until(lambda: is_in(client, ("Error", "")), "a camera that failed is an error")
        served.station.begin("online")
        await until(lambda: is_in(client, ("Operational", "ContinuousExecution")))

    ask(served.settings, served.keys, look)


async def is_in(client: Client, wanted: tuple[str, str]) -> bool:
    return await state(client) == wanted


def test_methods_are_commands_and_their_result_is_the_reply(served: Served) -> None:
    def answer(command: dict[str, Any]) -> dict[str, Any]:
        if command["command"] == "trigger":
            return {"done": False, "refusal": "impossible", "reason": "the station is paused; send resume first"}
        return {}

    async def work(client: Client) -> None:
        assert await call(client, f"{INSPECTION}.Pause") == [0, ""]
        assert await call(client, f"{INSPECTION}.Resume") == [0, ""]
        refused = await call(client, f"{INSPECTION}.Trigger", "SN-1")
        assert refused == [-3, "the station is paused; send resume first"]
        assert await call(client, f"{MODE}.Stop", ua.Variant(1, ua.VariantType.Int32), "end of the shift") == 0

    with Replier(served.broker, served.station, answer) as replier:
        ask(served.settings, served.keys, work)
    heard = [(each["command"], each["by"], each.get("part_id")) for each in replier.heard]
    assert heard == [
        ("pause", "otto", None),
        ("resume", "otto", None),
        ("trigger", "otto", "SN-1"),
        ("pause", "otto", None),
    ]
    lines = (served.settings.data / "audit.jsonl").read_text().splitlines()
    assert any('"person": "otto", "action": "command"' in line and '"trigger"' in line for line in lines)
    assert any('"action": "reply"' in line and "send resume first" in line for line in lines)


def test_halt_is_a_pause_that_reset_ends(served: Served) -> None:
    cause = (ua.Variant(0, ua.VariantType.Int32), "")

    async def work(client: Client) -> None:
        assert await call(client, f"{PREFIX}.VisionStateMachine.Reset", *cause) == -8, "nothing is halted"
        assert await call(client, f"{PREFIX}.VisionStateMachine.Halt", *cause) == 0
        served.station.begin("paused")
        await until(lambda: is_in(client, ("Halted", "")), "halted")
        assert await call(client, f"{PREFIX}.VisionStateMachine.Reset", *cause) == 0
        assert await state(client) == ("Operational", "Ready")
        served.station.begin("online")
        await until(lambda: is_in(client, ("Operational", "ContinuousExecution")))

    with Replier(served.broker, served.station) as replier:
        ask(served.settings, served.keys, work)
    assert [each["command"] for each in replier.heard] == ["pause"]


def test_viewers_may_read_and_call_nothing(served: Served) -> None:
    async def work(client: Client) -> None:
        assert await value(client, f"{INSPECTION}.State") == "online"
        for method in ("Pause", "Resume"):
            with pytest.raises(BadUserAccessDenied):
                await call(client, f"{INSPECTION}.{method}")
        with pytest.raises(BadUserAccessDenied):
            await call(client, f"{INSPECTION}.SelectRecipe", "bottle")

    with Replier(served.broker, served.station) as replier:
        ask(served.settings, served.keys, work, user="vera")
    assert replier.heard == []


@pytest.mark.parametrize("most", [ua.Variant(-5, ua.VariantType.Int32), ua.Variant("all"), ua.Variant([1, 2])])
def test_an_input_of_another_type_is_refused(served: Served, most: ua.Variant) -> None:
    """Of the Int32 -5, the history would return all parts."""
    nothing = ua.Variant(None, ua.VariantType.ExtensionObject)
    zero = ua.Variant(0, ua.VariantType.Int32)
    first = ua.Variant(0, ua.VariantType.UInt32)

    async def work(client: Client) -> None:
        with pytest.raises(BadInvalidArgument):
            await call(
                client, f"{PREFIX}.ResultManagement.GetResultListFiltered", zero, *[nothing] * 8, most, first, zero
            )

    ask(served.settings, served.keys, work)


@pytest.mark.parametrize("user", ["otto", "emma"])
def test_nobody_may_write(served: Served, user: str) -> None:
    async def work(client: Client) -> None:
        with pytest.raises(BadUserAccessDenied):
            await client.get_node(f"{INSPECTION}.Score").write_value(0.0)
        with pytest.raises(UaStatusCodeError):
            await client.nodes.objects.add_object(2, "mine")

    ask(served.settings, served.keys, work, user=user)


@pytest.mark.parametrize(
    "login", [{"password": "wrong"}, {"user": "a password in the wrong field", "password": "x"}, {"user": None}]
)
def test_a_wrong_user_is_refused(served: Served, login: dict[str, Any]) -> None:
    async def work(client: Client) -> None:
        raise AssertionError("is logged in")

    with pytest.raises(UaStatusCodeError):
        ask(served.settings, served.keys, work, **login)


def test_an_unencrypted_connection_gets_no_session(served: Served) -> None:
    async def connect() -> None:
        client = Client(served.settings.listen.url, timeout=30)
        client.set_user("otto")
        client.set_password("an operator's password")
        async with client:
            raise AssertionError("is connected")

    with pytest.raises((ua.UaError, ConnectionError, asyncio.TimeoutError)):
        asyncio.run(connect())


def test_a_refused_login_cannot_use_the_session_of_another_connection(served: Served) -> None:
    """asyncua 2.1 would let it: edge/opcua/secure_server.py, `lookup_external_session`."""

    async def work(client: Client) -> None:
        stranger = Client(served.settings.listen.url, timeout=30)
        stranger.application_uri = client.application_uri
        keys = served.keys
        await stranger.set_security(SecurityPolicyBasic256Sha256, str(keys.certificate), str(keys.key))
        await stranger.connect_socket()
        await stranger.send_hello()
        await stranger.open_secure_channel()
        try:
            stranger.uaclient.protocol.authentication_token = client.uaclient.protocol.authentication_token
            params = ua.ActivateSessionParameters()
            params.ClientSignature.Signature = b""
            params.UserIdentityToken = ua.UserNameIdentityToken(PolicyId="username", UserName="otto", Password=b"wrong")
            with pytest.raises(ua.UaError):
                await stranger.uaclient.activate_session(params)
            with pytest.raises(ua.UaError):
                await stranger.get_node(f"{INSPECTION}.State").read_value()
        finally:
            stranger.disconnect_socket()

    ask(served.settings, served.keys, work)


def test_the_history_of_parts_is_read_in_pages(served: Served) -> None:
    made = served.station.inspect(5)

    async def work(client: Client) -> None:
        await until(lambda: is_newest(client, made.sequence))
        node = client.get_node(f"{INSPECTION}.Score")
        all_of_them = await node.read_raw_history(None, made.decided_at)
        assert len(all_of_them) >= 5 and all_of_them[0].SourceTimestamp == made.decided_at
        two = await node.read_raw_history(None, made.decided_at, numvalues=2)
        assert [each.SourceTimestamp for each in two] == [each.SourceTimestamp for each in all_of_them[:2]]
        forwards = await node.read_raw_history(all_of_them[2].SourceTimestamp, made.decided_at)
        assert forwards == list(reversed(all_of_them[:3]))

    ask(served.settings, served.keys, work)


def test_values_are_uncertain_when_the_station_is_gone(served: Served) -> None:
    async def work(client: Client) -> None:
        served.station.inspect(1)
        await until(lambda: has_status(client, "Good"))
        served.station.begin("offline")
        await until(lambda: has_status(client, "UncertainLastUsableValue"))
        served.station.begin("online")
        await until(lambda: has_status(client, "Good"))

    ask(served.settings, served.keys, work)


async def has_status(client: Client, wanted: str) -> bool:
    return await status(client, f"{INSPECTION}.Score") == wanted


def test_a_user_who_is_removed_can_call_nothing_more(served: Served) -> None:
    async def run() -> None:
        async with connected(served.settings, served.keys, "emma") as client:
            assert await call(client, f"{INSPECTION}.Pause") == [0, ""]
            write_everybody(served.settings.users, "vera", "otto")
            try:
                with pytest.raises(BadUserAccessDenied):
                    await call(client, f"{INSPECTION}.Pause")
            finally:
                write_everybody(served.settings.users, *PASSWORDS)

    with Replier(served.broker, served.station):
        asyncio.run(run())


def test_the_log_says_who_has_logged_in(served: Served) -> None:
    said = served.process.said()
    assert "127.0.0.1: otto is logged in" in said and "a login as otto is refused" in said
    assert "(BadUserAccessDenied)" not in said, "asyncua says once more, as an error, that a login is refused"
    assert "a login as an unknown user is refused" in said and "a password in the wrong field" not in said
    assert f"{KEY} is shown" in said and "operator's password" not in said
