from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from certificates import Authority
from file_server import FileServer
from mosquitto import Broker, free_port
from signed_bundle import SigningKey
from small_bundle import write

from edge_inspect.edge.cli import main
from edge_inspect.edge.frame.images import write_image

Check = Callable[..., tuple[int, str]]


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Runs `edge-inspect check`; returns its status and what it says."""
    write(tmp_path / "flange")
    write_image(tmp_path / "parts" / "a.png", np.zeros((8, 8, 3), np.uint8))

    def run(*options: str, **changes: Any) -> tuple[int, str]:
        station = {"name": "a", "camera": f"folder:{tmp_path / 'parts'}", "bundle": str(tmp_path / "flange")}
        service = {"site": "p", "line": "l", "stations": [station], "outbox": {"path": str(tmp_path / "outbox.db")}}
        bridge = {"stations": [{"site": "p", "line": "l", "station": "a"}], "state": str(tmp_path / "state.json")}
        path = tmp_path / "config.yaml"
        page = {"data": str(tmp_path / "page"), "users": str(tmp_path / "users.yaml")}
        kind = bridge if "--bridge" in options else page if "--page" in options else service
        path.write_text(yaml.safe_dump(kind | changes))
        status = main(["check", "--config", str(path), *options])
        return status, capsys.readouterr().err

    return run


def at(port: int, **more: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": port, **more}


def test_the_broker_is_tried_for_every_topic(check: Check, broker: Broker) -> None:
    for more in ({}, {"home_assistant": {}}, {"encoding": "sparkplug_b", "primary_host": "scada"}):
        status, said = check("--connect", mqtt=at(broker.port, **more))
        assert status == 0 and f"broker 127.0.0.1:{broker.port}: answers with MQTT 5" in said


def test_what_the_broker_does_not_allow_is_status_1(
    check: Check, make_broker: Callable[..., Broker], tmp_path: Path
) -> None:
    (tmp_path / "acl").write_text("topic write edge-inspect/v1/p/l/a/+\n")
    broker = make_broker(settings=f"allow_anonymous true\nacl_file {tmp_path / 'acl'}")
    broker.start()
    status, said = check("--connect", mqtt=at(broker.port))
    assert status == 1 and "may not publish to edge-inspect/v1/p/l/a/image/" in said and "Traceback" not in said
    assert said.count("may not") == 1
    (tmp_path / "acl").write_text("topic write edge-inspect/v1/p/l/a/+\ntopic write edge-inspect/v1/p/l/a/image/+\n")
    broker.stop()
    broker.start()
    assert check("--connect", mqtt=at(broker.port))[0] == 0
    pictures = {
        "name": "a",
        "camera": f"folder:{tmp_path / 'parts'}",
        "bundle": str(tmp_path / "flange"),
        "pictures": {},
    }
    status, said = check("--connect", mqtt=at(broker.port), stations=[pictures])
    assert status == 1 and said.count("may not") == 1 and "may not publish to edge-inspect/v1/p/l/a/map/" in said
    (tmp_path / "acl").write_text("topic read edge-inspect/#\n")
    broker.stop()
    broker.start()
    status, said = check("--bridge", "--connect", mqtt=at(broker.port))
    assert status == 1 and "may not publish to edge-inspect/v1/p/l/a/command: Not authorized" in said


def test_a_broker_that_is_away_is_status_1_with_the_reason(check: Check) -> None:
    status, said = check("--connect", mqtt=at(free_port()))
    assert status == 1 and "nothing listens at port" in said


def test_the_servers_of_bundles_are_tried(check: Check, tmp_path: Path, broker: Broker) -> None:
    key = SigningKey(tmp_path)
    key.sign(tmp_path / "flange")
    certificate = Authority(tmp_path).make("server", "127.0.0.1")
    server = FileServer(certificate)
    try:

        def said(*options: str, **pull: Any) -> tuple[int, str]:
            bundles = {"folder": str(tmp_path), "public_keys": [str(key.public)]}
            pull = {"prefixes": [f"{server.url}/bundles/"], "ca_file": str(tmp_path / "ca.pem"), **pull}
            return check(*options, mqtt=at(broker.port), bundles={**bundles, "pull": pull})

        status, words = said("--connect")
        assert status == 0 and f"{server.url}/bundles/: the server answers" in words
        assert "bundles of at most 500 MB are fetched from" in words and not server.asked
        Authority(tmp_path, "other", "another CA")
        status, words = said("--connect", ca_file=str(tmp_path / "other.pem"))
        assert status == 1 and "certificate is not accepted" in words and "set bundles.pull.ca_file" in words
        status, words = said("--connect", prefixes=[f"https://127.0.0.1:{free_port()}/"])
        assert status == 1 and "bundles.pull.prefixes: https://127.0.0.1" in words and "Connection refused" in words
        status, words = said(ca_file=str(tmp_path / "none.pem"))
        assert status == 2 and "\n  bundles.pull.ca_file: " in words and "No such file" in words
    finally:
        server.close()


def test_without_connect_nothing_is_asked_of_the_broker(check: Check) -> None:
    status, said = check(mqtt=at(free_port()))
    assert status == 0 and ": good; 1 station(s)" in said


def test_the_bridges_configuration_is_checked(check: Check, tmp_path: Path, broker: Broker) -> None:
    status, said = check("--bridge", "--connect", mqtt=at(broker.port))
    assert status == 0 and "Modbus on 127.0.0.1:5020" in said
    status, said = check(
        "--bridge",
        state=str(tmp_path / "nowhere" / "state.json"),
        modbus={"host": "192.0.2.1"},
        mqtt={"tls": {"ca_file": str(tmp_path / "ca.pem")}},
    )
    assert status == 2 and "3 mistakes" in said
    for key in ("state: ", "modbus.host: 192.0.2.1 is no address of this box", "mqtt.tls.ca_file: "):
        assert f"\n  {key}" in said


def test_what_is_in_the_place_of_a_file_is_said(check: Check, tmp_path: Path) -> None:
    status, said = check(outbox={"path": str(tmp_path / "parts")})
    assert status == 2 and f"outbox.path: {tmp_path / 'parts'} is no file" in said
    (tmp_path / "link.db").symlink_to("/nowhere/outbox.db")
    status, said = check(outbox={"path": str(tmp_path / "link.db")})
    assert status == 2 and "outbox.path: the folder /nowhere is missing" in said


def test_a_key_that_is_there_twice_is_said(check: Check, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check()
    path = tmp_path / "config.yaml"
    path.write_text(path.read_text() + "line: again\n")
    assert main(["check", "--config", str(path)]) == 2
    assert "line: is given twice, lines 1 and " in capsys.readouterr().err


def test_root_is_told_that_it_sees_more_than_the_service(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("edge_inspect.edge.check.SERVICE_USER", "root")
    assert "sudo -u root edge-inspect check --config " in check()[1]
    monkeypatch.setattr("edge_inspect.edge.check.SERVICE_USER", "nobody-of-this-name")
    assert "sudo -u" not in check()[1]


def test_the_pages_configuration_is_checked(check: Check, tmp_path: Path, broker: Broker) -> None:
    status, said = check("--page", "--connect", mqtt=at(broker.port))
    assert status == 0 and "good; http://127.0.0.1:8460, broker 127.0.0.1" in said
    assert not (tmp_path / "page").exists(), "nothing is started"
    (tmp_path / "file").touch()
    status, said = check(
        "--page",
        data=str(tmp_path / "file" / "data"),
        listen={"host": "192.0.2.1", "certificate": str(tmp_path / "page.pem"), "key": str(tmp_path / "page.key")},
        evidence=[str(tmp_path), str(tmp_path / "nowhere")],
        bundles=str(tmp_path / "nothing"),
        signing_key=str(tmp_path / "signing.pem"),
        texts=str(tmp_path / "texts.json"),
        mqtt={"username": "a", "password_file": str(tmp_path / "password")},
    )
    assert status == 2 and "Traceback" not in said
    for key in (
        "mqtt.password_file",
        "listen.host",
        "data",
        "bundles",
        "evidence.1",
        "listen.certificate",
    ):
        assert f"  {key}: " in said, (key, said)
    assert "  signing_key: " in said and "  texts: " in said and "evidence.0" not in said


def test_topics_that_the_page_may_not_write_are_named(
    check: Check, make_broker: Callable[..., Broker], tmp_path: Path
) -> None:
    (tmp_path / "acl").write_text("topic read edge-inspect/#\ntopic write edge-inspect/v1/p/l/a/command\n")
    broker = make_broker(settings=f"allow_anonymous true\nacl_file {tmp_path / 'acl'}")
    broker.start()
    status, said = check("--page", "--connect", mqtt=at(broker.port), stations=["p/l/a", "q/+/+"])
    assert status == 1 and "may not publish to edge-inspect/v1/p/l/a/label: Not authorized" in said
    assert said.count("may not") == 1


def test_every_failed_connection_is_listed_and_nothing_is_called_good(check: Check, tmp_path: Path) -> None:
    key = SigningKey(tmp_path)
    key.sign(tmp_path / "flange")
    prefixes = [f"https://127.0.0.1:{free_port()}/" for _ in range(2)]
    bundles = {"folder": str(tmp_path), "pull": {"prefixes": prefixes}, "public_keys": [str(key.public)]}
    status, said = check("--connect", mqtt=at(free_port()), bundles=bundles)
    assert status == 1 and ": good" not in said and "nothing listens at port" in said
    for prefix in prefixes:
        assert f"bundles.pull.prefixes: {prefix}: " in said


def test_recipes_and_their_bundles_are_listed(check: Check, tmp_path: Path) -> None:
    write(tmp_path / "jar")
    station = {"name": "a", "camera": f"folder:{tmp_path / 'parts'}"}
    recipes = [{"name": name, "bundle": str(tmp_path / name)} for name in ("flange", "jar")]
    status, said = check(stations=[{**station, "recipes": recipes}])
    assert status == 0 and f"station a: recipes flange ({tmp_path}/flange), jar ({tmp_path}/jar)" in said
    status, said = check(stations=[{**station, "recipes": []}])
    assert status == 2 and "stations.0.recipes: recipes is empty; list a recipe" in said


def test_what_is_wrong_with_recipes_hides_no_other_mistake(check: Check) -> None:
    recipes = [{"name": "a", "bundle": "/x"}, {"name": "a", "bundle": "/z"}]
    for more, wrong in (({}, "several 'recipes' are named a"), ({"bundle": "/y"}, "leave 'bundle' out")):
        status, said = check(
            stations=[{"name": "a", "camera": "folder:/x", "recipes": recipes, "triggers": "x", **more}]
        )
        assert status == 2 and wrong in said and "stations.0.triggers: unknown key" in said


def test_a_missing_extra_is_a_mistake(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    status, said = check("--page")
    assert status == 2 and "needs the extra [page]" in said and "good" not in said
