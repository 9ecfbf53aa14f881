"""`edge-inspect command`: a command and its reply, against a real service and a real broker."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_bundle
import yaml
from mosquitto import Between, Broker, Subscriber, free_port, wait_until
from service_process import PATIENCE, Launch, write_settings
from station_parts import TOPICS, Subscribe, mqtt, status

from edge_inspect.edge.cli import main
from edge_inspect.edge.contract.replies import Reply
from edge_inspect.edge.demo.line import write_stream
from edge_inspect.edge.mqtt.publisher import Publisher
from edge_inspect.edge.outbox.memory import MemoryOutbox

STATION = ["--site", "plant", "--line", "line1", "--station", "a"]


class Said:
    """What the command line has said, and with which exit status."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> None:
        try:
            self.status = main(["command", *map(str, arguments)])
        except SystemExit as ended:  # argparse's own
            self.status = int(ended.code or 0)
        self.out, self.error = capsys.readouterr()

    @property
    def reply(self) -> Reply:
        assert self.out, self.error
        return Reply.model_validate_json(self.out)


@pytest.fixture
def config(tmp_path: Path, broker: Broker, launch: Launch, subscriber: Subscriber) -> Path:
    """The configuration of a service that runs."""
    tiny_bundle.write(tmp_path / "bundle")
    write_stream(tmp_path / "frames", frames=4, defect_share=0, seed=5)
    station = {"camera": f"folder:{tmp_path}/frames?fps=10&loop=true", "bundle": str(tmp_path / "bundle")}
    allowed = {"allow": ["pause", "resume", "threshold", "snapshot", "resend"]}
    path = write_settings(tmp_path, broker.port, station, commands=allowed)
    launch(path)
    wait_until(lambda: subscriber.payloads("verdict"), PATIENCE)
    return path


def test_every_command_of_a_service(config: Path, subscriber: Subscriber, capsys: pytest.CaptureFixture[str]) -> None:
    paused = Said(capsys, "pause", "--config", config)
    assert (paused.status, paused.reply.done, paused.reply.command) == (0, True, "pause")
    wait_until(lambda: subscriber.payloads("status")[-1]["state"] == "paused", PATIENCE)
    wait_until(lambda: subscriber.payloads("command")[-1]["by"] == "edge-inspect command", PATIENCE)
    # Options may stand before the command.
    assert Said(capsys, "--config", config, "--by", "me", "resume").status == 0
    wait_until(lambda: subscriber.payloads("command")[-1]["by"] == "me", PATIENCE)
    changed = Said(capsys, "threshold", "0.55", "--config", config)
    assert changed.status == 0 and changed.reply.threshold is not None and changed.reply.threshold.after == 0.55
    assert Said(capsys, "threshold", "bundle", "--config", config).reply.threshold.after != 0.55
    assert Said(capsys, "snapshot", "--config", config).reply.image is not None
    again = Said(capsys, "resend", "1", "--config", config)
    assert again.status == 0 and again.reply.resend is not None and again.reply.resend.first == 1
    refused = Said(capsys, "trigger", "--part-id", "7", "--config", config)
    assert (refused.status, refused.reply.done, refused.reply.refusal) == (1, False, "unauthorised")
    assert "refused: unauthorised: this station does not allow trigger" in refused.error
    assert "Traceback" not in refused.error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pause"], "give --site, --line, --station, or --config"),
        (["pause", "--site", "a/b", "--line", "l", "--station", "s"], "--site: 'a/b' contains '/'"),
        (["pause", *STATION, "--timeout", "0"], "--timeout 0"),
        (["pause", *STATION, "--timeout", "nan"], "--timeout nan"),
        (["pause", *STATION, "--port", "99999"], "--port: input should be less than"),
        (["pause", *STATION, "--certificate", "c.pem"], "both 'certificate' and 'key'"),
        (["pause", *STATION, "--password-file", "p"], "without 'username'"),
        (["pause", *STATION, "--by", "x" * 65], "pause.by: string should have at most 64"),
        (["threshold", "high", *STATION], "threshold 'high': give a number"),
        (["threshold", "inf", *STATION], "finite"),
        (["resend", "0", *STATION], "greater than or equal to 1"),
        (["resend", "5", "4", *STATION], "below from_sequence"),
        (["resend", "many", *STATION], "invalid int"),
        (["bundle", *STATION], "required"),
        (["bundle", "a", *STATION, "--digest", "0f"], "bundle.digest: has 2 characters"),
        (["bundle", "a", *STATION, "--url", "https://a/b.zip"], "url needs the bundle's digest"),
        (["bundle", "--back", *STATION, "--digest", "0f" * 32], "name is null, which rolls back"),
        (["fly", *STATION], "invalid choice"),
        (["pause", *STATION, "--host", "broker:1884"], "--host: 'broker:1884' holds a port; write host: broker"),
        (["pause", *STATION, "--key", "box.key"], "edge-inspect: --tls: "),
        (["pause", "--config", "none.yaml"], "none.yaml: cannot be read"),
    ],
)
def test_wrong_use_is_said_in_a_line(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    wrong = Said(capsys, *arguments)
    assert wrong.status == 2 and said in wrong.error and not wrong.out


def write_config(folder: Path, *names: str, **mqtt_settings: Any) -> Path:
    stations = [{"name": name, "camera": f"folder:{folder}", "bundle": str(folder)} for name in names]
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({"site": "plant", "line": "line1", "stations": stations, "mqtt": mqtt_settings}))
    return path


def test_a_configuration_of_several_stations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_config(tmp_path, "a", "b")
    assert "give --station: " in Said(capsys, "pause", "--config", path).error
    wrong = Said(capsys, "pause", "--config", path, "--station", "c")
    assert wrong.status == 2 and "config.yaml does not have this station; it has a, b" in wrong.error


def test_a_sparkplug_station_is_told_by_its_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = Said(capsys, "pause", "--config", write_config(tmp_path, "a", encoding="sparkplug_b"))
    assert said.status == 2 and "Node Control/Command" in said.error


def test_no_broker_no_station_and_a_station_that_is_away(
    broker: Broker, outbox: MemoryOutbox, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = Said(capsys, "pause", *STATION, "--port", str(free_port()))
    assert nobody.status == 1 and "not reachable" in nobody.error and "was not sent" in nobody.error
    there = [*STATION, "--port", str(broker.port), "--timeout", "0.7"]
    unknown = Said(capsys, "pause", *there)
    assert unknown.status == 1 and "no message on edge-inspect/v1/plant/line1/a/status" in unknown.error
    with Publisher(TOPICS, outbox, mqtt(broker.port), status("paused")) as publisher:
        wait_until(lambda: publisher.connected)
        deaf = Said(capsys, "pause", *there)
        assert deaf.status == 1 and "the station is paused: check that the broker lets" in deaf.error
    away = Said(capsys, "pause", *there)
    assert away.status == 1 and "the station is offline" in away.error


def test_a_command_that_is_larger_than_the_brokers_packets(
    make_broker: Callable[..., Broker], capsys: pytest.CaptureFixture[str]
) -> None:
    broker = make_broker(settings="allow_anonymous true\nmax_packet_size 100")
    broker.start()
    said = Said(capsys, "pause", *STATION, "--port", str(broker.port))
    assert (
        said.status == 1 and "packet limit is too low for this command" in said.error and "was not sent" in said.error
    )


@pytest.fixture
def answering(outbox: MemoryOutbox) -> Iterator[list[Publisher]]:
    """Publishers of a station that answers every command with done."""
    made: list[Publisher] = []
    yield made
    for publisher in made:
        publisher.close()


def answer(answering: list[Publisher], outbox: MemoryOutbox, port: int, **settings: Any) -> None:
    def on_command(payload: bytes, *_: Any) -> None:
        command = json.loads(payload)
        for identity in ("019f2b1c-7e40-7000-8000-000000000001", command["id"]):  # another's comes first
            fields = {"boot_id": "b", "sequence": 0, "command_id": identity, "command": "pause", "done": True}
            answering[0].reply(Reply(**fields, at=status().at))

    answering.append(Publisher(TOPICS, outbox, mqtt(port, **settings), status(), on_command))
    wait_until(lambda: answering[0].connected, PATIENCE)


def test_a_broker_that_speaks_only_3_1_1(
    broker: Broker, outbox: MemoryOutbox, answering: list[Publisher], capsys: pytest.CaptureFixture[str]
) -> None:
    answer(answering, outbox, broker.port)
    between = Between(broker.port, refuse_5=True)
    try:
        said = Said(capsys, "pause", *STATION, "--port", str(between.port), "--host", "127.0.0.1")
    finally:
        between.close()
    assert said.status == 0 and said.reply.command_id != "019f2b1c-7e40-7000-8000-000000000001"


def test_tls_and_a_client_certificate(
    tls_broker: Broker,
    authority: Path,
    outbox: MemoryOutbox,
    answering: list[Publisher],
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = {"ca_file": authority / "ca.pem", "certificate": authority / "box.pem", "key": authority / "box.key"}
    answer(answering, outbox, tls_broker.port, tls=files)
    options = [text for name, file in files.items() for text in (f"--{name.replace('_', '-')}", str(file))]
    there = [*STATION, "--host", "127.0.0.1", "--port", str(tls_broker.port)]
    assert Said(capsys, "pause", *there, *options).status == 0
    stranger = Said(capsys, "pause", *there, *options[:2])
    assert stranger.status == 1 and "broker 127.0.0.1" in stranger.error and "Traceback" not in stranger.error


def test_a_wrong_password(
    make_broker: Any, subscribe: Subscribe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broker = make_broker(settings="allow_anonymous false")
    broker.start()
    (tmp_path / "password").write_text("wrong\n")
    path = write_config(tmp_path, "a", host="127.0.0.1", port=broker.port, username="box")
    said = Said(capsys, "pause", "--config", path, "--password-file", tmp_path / "password")
    assert said.status == 1 and "check mqtt.username and the password file" in said.error
