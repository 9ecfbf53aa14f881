"""`edge-inspect check --opcua`: the files that the configuration of the OPC UA server names, and the broker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from mosquitto import Broker
from opcua_parts import make_keys, write_opcua

from edge_inspect.edge.cli import main

Check = Callable[..., tuple[int, str]]


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Runs the check with these settings; returns its status and what it says."""

    def run(*options: str, port: int = 1883, **settings: Any) -> tuple[int, str]:
        config, _ = write_opcua(tmp_path, port, **settings)
        status = main(["check", "--opcua", "--config", str(config), *options])
        return status, capsys.readouterr().err

    return run


def test_a_good_configuration_and_its_broker(check: Check, broker: Broker, tmp_path: Path) -> None:
    mes = make_keys(tmp_path, "mes")
    (tmp_path / "trusted").mkdir()
    users = [{"name": "mes", "role": "viewer", "certificate": str(mes.certificate)}]
    status, said = check(
        "--connect",
        port=broker.port,
        stations=["plant/line1/a", "plant/+/+"],
        certificate_users=users,
        trusted=str(tmp_path / "trusted"),
    )
    assert status == 0 and "good; opc.tcp://127.0.0.1:" in said and "answers with MQTT 5" in said
    assert not (tmp_path / "data").exists(), "nothing is started"


def test_what_the_broker_does_not_allow_is_named(check: Check, make_broker: Any, tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("topic read edge-inspect/#\n")
    broker = make_broker(settings=f"allow_anonymous true\nacl_file {tmp_path / 'acl'}")
    broker.start()
    status, said = check("--connect", port=broker.port, stations=["plant/line1/a"])
    assert status == 1 and "may not publish to edge-inspect/v1/plant/line1/a/command" in said


def test_all_mistakes_are_listed_with_their_keys(check: Check, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no certificate")
    late = Authority(tmp_path).make("late", "localhost", first=-3, last=-1)
    (tmp_path / "broken.yaml").write_text("users: 3\n")
    (tmp_path / "broken.yaml").chmod(0o600)
    status, said = check(
        listen={"host": "192.0.2.1", "certificate": str(tmp_path / "a.pem"), "key": str(tmp_path / "a.key")},
        trusted=str(tmp_path / "nowhere"),
        certificate_users=[
            {"name": "mes", "role": "viewer", "certificate": str(tmp_path / "text")},
            {"name": "late", "role": "viewer", "certificate": str(late)},
            {"name": "scada", "role": "viewer", "certificate": str(tmp_path / "missing")},
        ],
        users=str(tmp_path / "broken.yaml"),
    )
    assert status == 2 and "Traceback" not in said
    keys = ("listen.host", "listen.certificate", "trusted", "users", "certificate_users.0.certificate")
    assert f"certificate_users.1.certificate: {late} expired on " in said
    for key in (*keys, "certificate_users.2.certificate"):
        assert f"\n  {key}: " in said, key


def test_nobody_can_log_in_is_said(check: Check, tmp_path: Path) -> None:
    status, said = check(users=str(tmp_path / "none.yaml"))
    assert status == 0 and "users: nobody can connect, because " in said and "page-user add NAME" in said
    status, said = check(users=str(tmp_path / "none.yaml"), anonymous_read=True)
    assert status == 0 and "nobody can connect" not in said


def test_a_folder_that_cannot_be_made_is_named_with_its_key(check: Check) -> None:
    """In /proc not even root can, though its permissions allow it."""
    status, said = check(data="/proc/data2")
    assert status == 2 and "\n  data: this user cannot create or write /proc/data2: " in said
