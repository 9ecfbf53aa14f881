from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from mosquitto import Broker, wait_until
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import ValidationError
from station_parts import TOPICS, Subscribe, mqtt, put, status

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings, TlsSettings
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.mqtt.encodings import client_id
from edge_inspect.edge.mqtt.problem import describe_reason
from edge_inspect.edge.mqtt.publisher import Publisher
from edge_inspect.edge.outbox.memory import MemoryOutbox


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (0x80, "Unspecified error (0x80); see the broker's log for the reason"),
        (0x97, "Quota exceeded (0x97); raise the broker's quota"),
        (0x00, "Success (0x00)"),
    ],
)
def test_a_reason_comes_with_what_to_do(code: int, said: str) -> None:
    assert describe_reason(ReasonCode(PacketTypes.PUBACK, identifier=code)) == said


def test_a_wrong_password_is_named_and_can_be_put_right(
    make_broker: Callable[..., Broker],
    subscribe: Subscribe,
    outbox: MemoryOutbox,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "box", "right"], check=True, capture_output=True)
    broker = make_broker(settings=f"allow_anonymous false\npassword_file {passwords}")
    broker.start()
    subscriber = subscribe(broker.port, username="box", password="right")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    caplog.set_level(logging.DEBUG)
    settings = mqtt(broker.port, username="box", password_file="mqtt-password")
    put(outbox, 3)
    with Publisher(TOPICS, outbox, settings, status()) as publisher:
        wait_until(lambda: "mqtt-password: No such file" in caplog.text)
        (tmp_path / "mqtt-password").write_text("wr0ng-secret\n")
        wait_until(lambda: "(0x87)" in caplog.text or "(0x86)" in caplog.text)
        assert "refused the connection" in caplog.text
        assert not publisher.connected
        (tmp_path / "mqtt-password").write_text("right\n")
        wait_until(lambda: subscriber.sequences() == [1, 2, 3])
    assert "wr0ng-secret" not in caplog.text


def test_mutual_tls(
    tls_broker: Broker,
    authority: Path,
    outbox: MemoryOutbox,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(outbox, 20)
    trusted = authority / "ca.pem"
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with Publisher(TOPICS, outbox, mqtt(tls_broker.port, tls=TlsSettings()), status()):
        wait_until(lambda: "is signed by the CA 'test CA', not by a CA that this box trusts" in caplog.text)
    with Publisher(TOPICS, outbox, mqtt(tls_broker.port, tls=TlsSettings(ca_file=trusted)), status()):
        wait_until(lambda: "requires a certificate of this box" in caplog.text)
    assert outbox.depth().entries == 20
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(authority))
    mutual = TlsSettings(ca_file=trusted, certificate=Path("box.pem"), key=Path("box.key"))
    with Publisher(TOPICS, outbox, mqtt(tls_broker.port, tls=mutual), status()):
        wait_until(lambda: outbox.depth() == (0, 0))


def test_a_client_id_is_its_stations_own() -> None:
    assert client_id(TOPICS) == client_id(TOPICS)
    assert client_id(TOPICS).startswith("edge-inspect-plant-line1-a-")
    assert os.path.basename(client_id(TOPICS)) != client_id(Topics("plant", "line1", "b"))


def test_settings() -> None:
    assert (MqttSettings().port, MqttSettings(tls=TlsSettings()).port, MqttSettings(tls={}, port=9).port) == (
        1883,
        8883,
        9,
    )
    with pytest.raises(ValidationError, match="both 'certificate' and 'key'"):
        TlsSettings(certificate=Path("c"))
    with pytest.raises(ValidationError, match="without 'username'"):
        MqttSettings(password_file=Path("p"))
