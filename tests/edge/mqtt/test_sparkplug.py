"""A station as a Sparkplug edge node, against a real broker: delivery, commands, the primary host, the will."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from mosquitto import Between, Broker, wait_until
from paho.mqtt.enums import MQTTProtocolVersion
from pydantic import ValidationError
from sparkplug_parts import NODE, Host, put_parts, reply
from station_parts import TOPICS, mqtt, status

from edge_inspect.edge.configuration.settings import Settings
from edge_inspect.edge.contract.commands import Pause
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.mqtt.publisher import Publisher
from edge_inspect.edge.mqtt.sparkplug.node import EdgeNode
from edge_inspect.edge.mqtt.sparkplug.payload import Payload
from edge_inspect.edge.outbox import Outbox
from edge_inspect.edge.outbox.memory import MemoryOutbox

PATIENCE = 60.0


@pytest.fixture
def host(broker: Broker) -> Iterator[Host]:
    made = Host(broker.port)
    yield made
    made.close()


@pytest.fixture
def door(broker: Broker) -> Iterator[Between]:
    made = Between(broker.port)
    yield made
    made.close()


def publisher(port: int, outbox: Outbox, on_command: Any = None, **more: Any) -> Publisher:
    return Publisher(TOPICS, outbox, mqtt(port, encoding="sparkplug_b", **more), status(), on_command)


def test_parts_stay_in_the_outbox_until_the_broker_has_them(host: Host, door: Between, outbox: MemoryOutbox) -> None:
    with publisher(door.port, outbox, acknowledge_timeout_s=0.5) as one:
        wait_until(lambda: one.connected, PATIENCE)
        put_parts(outbox, 5)
        wait_until(lambda: not outbox.depth().entries, PATIENCE)
        door.silent = True
        put_parts(outbox, 40)
        wait_until(lambda: one.reconnects or not one.connected, PATIENCE)
        assert outbox.depth().entries == 40
        door.silent = False
        wait_until(lambda: not outbox.depth().entries, PATIENCE)
        wait_until(lambda: len(host.parts()) == 45, PATIENCE)
    assert host.parts() == list(range(1, 46))
    # Those that had come already came again, as historical data.
    assert host.last("verdict/sequence") == 45


def test_connections_cut_in_the_middle_of_packets_lose_nothing(host: Host, door: Between, outbox: MemoryOutbox) -> None:
    with publisher(door.port, outbox) as one:
        wait_until(lambda: one.connected, PATIENCE)
        for number in range(3):
            door.cut_after = 200 + 777 * number
            before = one.reconnects
            put_parts(outbox, 30)
            wait_until(lambda before=before: one.reconnects > before, PATIENCE)
        wait_until(lambda: not outbox.depth().entries and len(host.parts()) == 90, PATIENCE)
    assert set(host.parts()) == set(range(1, 91))


def test_a_part_that_is_asked_for_again_is_historical(host: Host, broker: Broker, outbox: MemoryOutbox) -> None:
    with publisher(broker.port, outbox) as one:
        wait_until(lambda: one.connected, PATIENCE)
        put_parts(outbox, 4, rejected=2)
        wait_until(lambda: not outbox.depth().entries and len(host.heard("NDATA")) >= 6, PATIENCE)
        before = len(host.heard("NDATA"))
        assert one.resend(2, 3)
        wait_until(lambda: len(host.heard("NDATA")) == before + 3, PATIENCE)
    again = host.heard("NDATA")[before : before + 3]
    assert all(metric.is_historical for heard in again for metric in heard.metrics.values())
    assert [heard.metrics["verdict/sequence"].long_value for heard in again if "verdict/ok" in heard.metrics] == [2, 3]
    assert host.last("verdict/sequence") == 4


def test_a_command_comes_in_and_its_reply_goes_out(host: Host, broker: Broker, outbox: MemoryOutbox) -> None:
    heard: list[bytes] = []
    command = Pause(command="pause", id=uuid7()).model_dump_json()
    with publisher(broker.port, outbox, lambda payload, *_: heard.append(payload)) as one:
        wait_until(lambda: one.connected, PATIENCE)
        host.write("Node Control/Command", command)
        wait_until(lambda: heard, PATIENCE)
        one.reply(reply(command_id=json.loads(command)["id"]))
        wait_until(lambda: host.last("reply/command_id"), PATIENCE)
    assert heard == [command.encode()]
    assert host.last("reply/command_id") == json.loads(command)["id"] and host.last("reply/done") is True


def test_what_is_no_command_is_said_and_ignored(
    host: Host, broker: Broker, outbox: MemoryOutbox, caplog: pytest.LogCaptureFixture
) -> None:
    with publisher(broker.port, outbox) as one:
        wait_until(lambda: one.connected, PATIENCE)
        host.publish(f"spBv1.0/plant/NCMD/{NODE}", b"\xff")
        host.write("verdict/ok", True)
        host.write("Node Control/Rebirth", False)
        wait_until(lambda: "ignoring False written to 'Node Control/Rebirth'" in caplog.text, PATIENCE)
        assert "that are not a Sparkplug B payload" in caplog.text
        assert "ignoring True written to 'verdict/ok'" in caplog.text
        assert len(host.heard("NBIRTH")) == 1 and one.connected


def test_a_picture_is_a_metric_that_no_birth_repeats(host: Host, broker: Broker, outbox: MemoryOutbox) -> None:
    with publisher(broker.port, outbox) as one:
        wait_until(lambda: one.connected, PATIENCE)
        assert one.publish_image("7", b"\xff\xd8jpeg") == TOPICS.image("7")
        wait_until(lambda: host.last("image/jpeg") == b"\xff\xd8jpeg", PATIENCE)
        assert host.heard("NDATA")[-1].metrics["image/jpeg"].is_transient
        host.write("Node Control/Rebirth", True)
        wait_until(lambda: len(host.heard("NBIRTH")) == 2, PATIENCE)
    birth = host.heard("NBIRTH")[1].metrics
    assert birth["image/jpeg"].is_null and birth["image/id"].string_value == "7"


def test_a_killed_process_leaves_its_death(host: Host, broker: Broker) -> None:
    code = f"""
import time
from edge_inspect.edge.contract.messages import Status
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.outbox.memory import MemoryOutbox
from edge_inspect.edge.mqtt.publisher import Publisher
from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
Publisher(Topics("plant", "line1", "a"), MemoryOutbox(),
          MqttSettings(host="127.0.0.1", port={broker.port}, encoding="sparkplug_b"),
          Status(boot_id="b", sequence=0, state="online", at=utc_now(), version="0"))
time.sleep(100)
"""
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        try:
            wait_until(lambda: host.last("status/state") == "online", PATIENCE)
        finally:
            process.send_signal(signal.SIGKILL)
    wait_until(lambda: host.heard("NDEATH"), PATIENCE)
    assert host.heard("NDEATH")[0].metrics["bdSeq"].long_value == host.last("bdSeq")


def test_an_old_broker_is_spoken_to_in_3_1_1(host: Host, broker: Broker, outbox: MemoryOutbox) -> None:
    """Statement tck-id-payloads-ndeath-will-message-publisher-disconnect-mqtt311."""
    door = Between(broker.port, refuse_5=True)
    try:
        put_parts(outbox, 20)
        with publisher(door.port, outbox):
            wait_until(lambda: not outbox.depth().entries, PATIENCE)
        wait_until(lambda: host.heard("NDEATH"), PATIENCE)
    finally:
        door.close()
    assert door.versions == [MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311]
    assert host.parts() == list(range(1, 21))
    # It is the node's own: the will was made before the birth.
    assert host.heard("NDEATH")[0].payload.timestamp > host.heard("NBIRTH")[0].payload.timestamp


def test_a_birth_above_the_brokers_limit_is_said(
    make_broker: Callable[..., Broker], outbox: MemoryOutbox, caplog: pytest.LogCaptureFixture
) -> None:
    small = make_broker(settings="allow_anonymous true\nmax_packet_size 2000")
    small.start()
    put_parts(outbox, 1)
    with publisher(small.port, outbox) as one:
        wait_until(lambda: "the broker's packet limit is 2000 bytes; raise its limit" in caplog.text, PATIENCE)
        assert not one.connected and outbox.depth().entries == 1


def state(host: Host, online: bool, at: int, name: str = "scada") -> None:
    payload = json.dumps({"online": online, "timestamp": at}).encode()
    host.publish(f"spBv1.0/STATE/{name}", payload, retain=True)


def test_nothing_is_sent_before_the_primary_host_is_online(
    host: Host, broker: Broker, outbox: MemoryOutbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Statements tck-id-message-flow-edge-node-birth-publish-phid-wait, -id, -online, -timestamp and -offline.

    And tck-id-operational-behavior-edge-node-birth-sequence-wait, tck-id-operational-behavior-
    edge-node-termination-host-offline and -timestamp.
    """
    caplog.set_level(logging.INFO)

    def has_heard(times: int) -> bool:
        """What is retained comes with the subscription, so before this message of an older Sparkplug."""
        host.publish("spBv1.0/STATE/scada", b'{"online": true, "timestamp": Infinity}')
        host.publish("spBv1.0/STATE/scada", b"ONLINE")
        return caplog.text.count("is not a STATE message of Sparkplug 3") >= times

    put_parts(outbox, 3)
    with publisher(broker.port, outbox, primary_host="scada") as one:
        state(host, True, 500, "another")
        state(host, False, 100)
        wait_until(lambda: has_heard(1), PATIENCE)
        assert "the birth waits until the primary host scada is online" in caplog.text
        assert not one.connected and not host.heard() and outbox.depth().entries == 3
        state(host, True, 200)
        wait_until(lambda: host.parts() == [1, 2, 3] and not outbox.depth().entries, PATIENCE)
        state(host, False, 150)  # older than what it has said since
        put_parts(outbox, 1)
        wait_until(lambda: host.parts() == [1, 2, 3, 4], PATIENCE)
        assert not host.heard("NDEATH")
        state(host, False, 300)
        wait_until(lambda: "the primary host scada is offline" in caplog.text and host.heard("NDEATH"), PATIENCE)
        put_parts(outbox, 2)
        state(host, True, 250)  # an old one
        said = caplog.text.count("is not a STATE message of Sparkplug 3")
        wait_until(lambda: caplog.text.count("the birth waits until the primary host") == 2, PATIENCE)
        wait_until(lambda: has_heard(said + 1), PATIENCE)
        assert not one.connected and outbox.depth().entries == 2
        state(host, True, 400)
        wait_until(lambda: host.parts() == [1, 2, 3, 4, 5, 6], PATIENCE)
    assert [birth.metrics["bdSeq"].long_value for birth in host.heard("NBIRTH")] == [0, 1]


def test_bd_seq_wraps_after_255() -> None:
    node = EdgeNode(Topics("plant", "line1", "a"))
    numbers = []
    for _ in range(258):
        will = Payload.FromString(node.will())
        node.connect()
        birth = {metric.name: metric for metric in Payload.FromString(node.birth(0)).metrics}
        assert birth["bdSeq"].long_value == will.metrics[0].long_value
        numbers.append(will.metrics[0].long_value)
    assert numbers == [*range(256), 0, 1]


@pytest.mark.parametrize(
    ("mqtt_keys", "line", "said"),
    [
        ({"encoding": "sparkplug_b"}, "a:b", "holds ':', which separates line and station in Sparkplug"),
        ({"primary_host": "scada"}, "a", "'primary_host' belongs to Sparkplug"),
        ({"encoding": "sparkplug_b", "home_assistant": {}}, "a", "'home_assistant' needs JSON"),
    ],
)
def test_settings_that_do_not_go_together(mqtt_keys: dict[str, Any], line: str, said: str) -> None:
    station = {"name": "a", "camera": "folder:/x", "bundle": "/b"}
    with pytest.raises(ValidationError, match=said):
        Settings(site="s", line=line, stations=[station], mqtt=mqtt_keys)


def test_without_protobuf_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValidationError, match=r"pip install 'edge-inspect\[sparkplug\]'"):
        mqtt(1, encoding="sparkplug_b")
