"""A server that lets in trusted programs only: certificates of programs and of users, and reading without a user."""

from __future__ import annotations

import shutil

import pytest
from asyncua import Client, ua
from asyncua.ua.uaerrors import BadUserAccessDenied
from opcua_parts import PREFIX, Served, ask, make_keys
from replier import Replier

STATE = f"{PREFIX}.Inspection.State"


async def read_state(client: Client) -> str:
    return str(await client.get_node(STATE).read_value())


async def pause(client: Client) -> object:
    method = client.get_node(f"{PREFIX}.Inspection.Pause").nodeid
    return await client.get_node(f"{PREFIX}.Inspection").call_method(method)


def test_a_program_that_is_not_trusted_is_refused_until_its_certificate_is_there(guarded: Served) -> None:
    stranger = make_keys(guarded.folder, "stranger")
    with pytest.raises(ua.UaError):
        ask(guarded.settings, stranger, read_state)
    assert "refused because of its certificate" in guarded.process.said()
    assert guarded.settings.trusted is not None
    shutil.copy(stranger.certificate, guarded.settings.trusted)
    assert ask(guarded.settings, stranger, read_state) == "online"


def test_node_opcua_is_refused_without_a_trusted_certificate(guarded: Served) -> None:
    [refused] = guarded.node({"do": "read", "nodes": [STATE]})
    assert "error" in refused
    # The certificate that it has made for itself.
    found = guarded.folder / "pki" / "own" / "certs" / "client_certificate.pem"
    assert guarded.settings.trusted is not None
    shutil.copy(found, guarded.settings.trusted / "node-opcua.pem")
    [read] = guarded.node({"do": "read", "nodes": [STATE]})
    assert read[0]["value"] == "online"


def test_nobody_in_particular_may_read_and_call_nothing(guarded: Served) -> None:
    async def work(client: Client) -> None:
        assert await read_state(client) == "online"
        with pytest.raises(BadUserAccessDenied):
            await pause(client)
        with pytest.raises(BadUserAccessDenied):
            await client.get_node(STATE).write_value("offline")

    ask(guarded.settings, guarded.keys, work, user=None)


def test_a_user_may_show_a_certificate(guarded: Served) -> None:
    mes = make_keys(guarded.folder, "mes")
    with Replier(guarded.broker, guarded.station) as replier:
        assert ask(guarded.settings, guarded.keys, pause, own=mes) == [0, ""]
    assert [(each["command"], each["by"]) for each in replier.heard] == [("pause", "mes")]


def test_a_certificate_that_is_no_users_is_refused(guarded: Served) -> None:
    with pytest.raises(ua.UaError):
        ask(guarded.settings, guarded.keys, read_state, own=make_keys(guarded.folder, "other"))
