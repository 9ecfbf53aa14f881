"""The numbered statements of Sparkplug 3.0.0 that an edge node without devices must hold, over one recorded life.

A test's name is the statement's; the life: parts wait, birth, 300 parts, rebirth, a cut connection, a second birth, an
orderly end. What concerns the primary host is in test_sparkplug.py, the fields' numbers in test_sparkplug_payload.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from mosquitto import Between, Broker, wait_until
from sparkplug_parts import NODE, Heard, Host, put_parts, reply, value
from station_parts import TOPICS, health, mqtt, status

from edge_inspect.edge.mqtt.publisher import Publisher
from edge_inspect.edge.mqtt.sparkplug.metrics import MODELS, definitions
from edge_inspect.edge.outbox.memory import MemoryOutbox

PATIENCE = 60.0
FIRST_WAITING = 3
KINDS = {name: kind for schema in MODELS for name, kind in definitions(schema).items()}


class Life(NamedTuple):
    """What a host heard, and what a host that came after the end found retained."""

    heard: list[Heard]
    retained: int
    subscriptions: str

    def of(self, verb: str) -> list[Heard]:
        return [one for one in self.heard if one.verb == verb]

    def sessions(self) -> list[list[Heard]]:
        """The messages of each connection: a death that says another bdSeq than the last ends none."""
        parted: list[list[Heard]] = []
        for one in self.heard:
            begins = one.verb == "NBIRTH" and (not parted or bd_seq(parted[-1][0]) != bd_seq(one))
            if begins:
                parted.append([])
            parted[-1].append(one)
        return parted


def bd_seq(one: Heard) -> int:
    return int(one.metrics["bdSeq"].long_value)


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    folder: Path = tmp_path_factory.mktemp("broker")
    broker = Broker(folder, settings="allow_anonymous true\nlog_type all")
    broker.start()
    host, door = Host(broker.port), Between(broker.port)
    settings = mqtt(door.port, encoding="sparkplug_b")
    try:
        with MemoryOutbox() as outbox:
            put_parts(outbox, FIRST_WAITING)
            with Publisher(TOPICS, outbox, settings, status("starting")) as publisher:
                wait_until(lambda: publisher.connected and not outbox.depth().entries, PATIENCE)
                publisher.set_status(status("online"))
                publisher.publish_health(health())
                publisher.reply(reply())
                put_parts(outbox, 300, rejected=10)
                wait_until(lambda: FIRST_WAITING + 300 in host.parts() and not outbox.depth().entries, PATIENCE)
                host.write("Node Control/Rebirth", True)
                wait_until(lambda: len(host.heard("NBIRTH")) == 2, PATIENCE)
                door.cut_after = 0
                put_parts(outbox, 2)
                wait_until(lambda: publisher.reconnects == 1 and not outbox.depth().entries, PATIENCE)
            # The will of the connection that was cut; at the end the node's own, and the will once more.
            wait_until(lambda: len(host.heard("NDEATH")) >= 3, PATIENCE)
        late = Host(broker.port)
        # The broker answers a subscription with what it has retained before anything that comes later.
        late.publish("spBv1.0/plant/NCMD/last", b"")
        wait_until(lambda: any(message.topic.endswith("/last") for message in late.messages), PATIENCE)
        retained = sum(message.retain for message in late.messages)
        yield Life(host.heard(), retained, (folder / "mosquitto.log").read_text())
        late.close()
    finally:
        host.close()
        door.close()
        broker.stop()


def topics(life: Life) -> None:
    for one in life.heard:
        assert one.topic == f"spBv1.0/plant/{one.verb}/{NODE}"


def qos_0_not_retained(life: Life) -> None:
    assert all(one.qos == 0 for one in life.of("NBIRTH") + life.of("NDATA"))
    assert life.retained == 0


def a_birth_has_seq_0(life: Life) -> None:
    assert all(one.payload.HasField("seq") and one.payload.seq == 0 for one in life.of("NBIRTH"))


def seq_counts_and_wraps(life: Life) -> None:
    before = None
    for one in life.heard:
        if one.verb == "NDEATH":
            continue
        assert one.payload.HasField("seq")
        if one.verb == "NDATA":
            assert before is not None and one.payload.seq == (before + 1) % 256
        before = one.payload.seq
    assert {one.payload.seq for one in life.heard} == set(range(256))


def payloads_have_a_time(life: Life) -> None:
    times = [one.payload.timestamp for one in life.heard if one.verb != "NDEATH"]
    assert times == sorted(times) and 1_700_000_000_000 < times[0] < 4_000_000_000_000


def metrics_have_a_time(life: Life) -> None:
    for one in life.of("NBIRTH") + life.of("NDATA"):
        assert all(1_700_000_000_000 < metric.timestamp <= one.payload.timestamp for metric in one.payload.metrics)


def births_have_every_metric(life: Life) -> None:
    said = {name for one in life.heard for name in one.metrics}
    for birth in life.of("NBIRTH"):
        assert said | set(KINDS) <= set(birth.metrics)
        for metric in birth.payload.metrics:
            assert metric.name and metric.HasField("datatype")
            assert metric.is_null != (metric.WhichOneof("value") is not None)


def births_have_current_values(life: Life) -> None:
    current: dict[str, object] = {}
    for one in life.sessions()[0]:
        if one.verb == "NBIRTH":
            said = {name: value(metric) for name, metric in one.metrics.items()}
            assert {name: said[name] for name in current} == current
        elif one.verb == "NDATA":
            current |= {name: value(m) for name, m in one.metrics.items() if not m.is_historical}
    assert len(current) > 20
    second = life.of("NBIRTH")[1]
    assert second.metrics["verdict/sequence"].long_value == FIRST_WAITING + 300
    assert second.metrics["status/state"].string_value == "online"
    assert second.metrics["health/frames/rejected"].long_value == 1


def types_are_known(life: Life) -> None:
    kinds = {metric.name: metric.datatype for one in life.of("NBIRTH") for metric in one.payload.metrics}
    assert {name: kinds[name] for name in KINDS} == KINDS
    assert kinds["bdSeq"] == 4 and kinds["Node Control/Rebirth"] == 11


def data_have_names_and_no_types(life: Life) -> None:
    for one in life.of("NDATA"):
        assert one.payload.metrics
        assert all(m.name and not m.HasField("datatype") and not m.HasField("alias") for m in one.payload.metrics)


def data_are_what_has_changed(life: Life) -> None:
    current: dict[str, object] = {}
    for one in life.heard:
        live = {name: value(metric) for name, metric in one.metrics.items() if not metric.is_historical}
        if one.verb == "NDATA":
            assert all(name not in current or current[name] != said for name, said in live.items())
        current |= live


def times_rise_in_a_payload(life: Life) -> None:
    for one in life.of("NBIRTH") + life.of("NDATA"):
        times = [metric.timestamp for metric in one.payload.metrics if not metric.is_historical]
        assert times == sorted(times)


def the_rebirth_metric(life: Life) -> None:
    for birth in life.of("NBIRTH"):
        metric = birth.metrics["Node Control/Rebirth"]
        assert metric.datatype == 11 and metric.WhichOneof("value") == "boolean_value" and not metric.boolean_value
        assert not metric.HasField("alias")


def a_rebirth_is_whole_and_has_the_same_bd_seq(life: Life) -> None:
    first, second = life.of("NBIRTH")[:2]
    assert bd_seq(first) == bd_seq(second) and set(first.metrics) == set(second.metrics)
    assert second.payload.seq == 0


def bd_seq_counts_from_0(life: Life) -> None:
    assert [bd_seq(session[0]) for session in life.sessions()] == [0, 1]


def bd_seq_is_in_birth_and_will(life: Life) -> None:
    for session in life.sessions():
        deaths = [one for one in session if one.verb == "NDEATH"]
        assert deaths and all(bd_seq(one) == bd_seq(session[0]) for one in deaths)
        assert all(one.metrics["bdSeq"].HasField("long_value") for one in [session[0], *deaths])


def a_death_is_bd_seq_alone(life: Life) -> None:
    for death in life.of("NDEATH"):
        assert set(death.metrics) == {"bdSeq"} and not death.payload.HasField("seq")


def a_death_has_qos_1_and_is_not_retained(life: Life) -> None:
    assert all(one.qos == 1 for one in life.of("NDEATH")) and life.retained == 0


def a_birth_is_first(life: Life) -> None:
    assert all(session[0].verb == "NBIRTH" for session in life.sessions())


def a_death_is_last(life: Life) -> None:
    """The node's own, and the will that a DISCONNECT of MQTT 5 with reason 4 asks for."""
    *data, own, will = life.sessions()[-1]
    assert own.verb == will.verb == "NDEATH" and "NDEATH" not in {one.verb for one in data}
    assert will.payload.timestamp <= data[0].payload.timestamp < data[-1].payload.timestamp <= own.payload.timestamp
    assert [one.verb for one in life.sessions()[0]].count("NDEATH") == 1


def commands_are_heard_with_qos_1(life: Life) -> None:
    assert f"spBv1.0/plant/NCMD/{NODE} (QoS 1)" in life.subscriptions


STATEMENTS: dict[Callable[[Life], None], str] = {
    topics: """topic-structure topic-structure-namespace-a topics-nbirth-topic topics-ndata-topic topics-ndeath-topic
        topic-structure-namespace-valid-group-id topic-structure-namespace-valid-edge-node-id
        topic-structure-namespace-device-id-non-associated-message-types
        message-flow-edge-node-birth-publish-nbirth-topic
        message-flow-edge-node-birth-publish-will-message-topic""",
    qos_0_not_retained: """topics-nbirth-mqtt topics-ndata-mqtt payloads-nbirth-qos payloads-nbirth-retain
        payloads-ndata-qos payloads-ndata-retain message-flow-edge-node-birth-publish-nbirth-qos
        message-flow-edge-node-birth-publish-nbirth-retained""",
    a_birth_has_seq_0: """topics-nbirth-seq-num payloads-nbirth-seq payloads-sequence-num-zero-nbirth
        message-flow-edge-node-birth-publish-nbirth-payload-seq""",
    seq_counts_and_wraps: """topics-ndata-seq-num payloads-ndata-seq payloads-ndata-seq-inc
        payloads-sequence-num-always-included payloads-sequence-num-incrementing""",
    payloads_have_a_time: """topics-nbirth-timestamp topics-ndata-timestamp payloads-nbirth-timestamp
        payloads-ndata-timestamp payloads-timestamp-in-UTC""",
    metrics_have_a_time: "payloads-name-birth-data-requirement payloads-metric-timestamp-in-UTC",
    births_have_every_metric: """topics-nbirth-metric-reqs topics-nbirth-metrics payloads-metric-datatype-req
        operational-behavior-data-publish-nbirth message-flow-edge-node-birth-publish-nbirth-payload""",
    births_have_current_values: "operational-behavior-data-publish-nbirth-values",
    types_are_known: "payloads-metric-datatype-value payloads-metric-datatype-value-type",
    data_have_names_and_no_types: "payloads-name-requirement payloads-metric-datatype-not-req",
    data_are_what_has_changed: "topics-ndata-payload operational-behavior-data-publish-nbirth-change",
    times_rise_in_a_payload: "operational-behavior-data-publish-nbirth-order",
    the_rebirth_metric: """topics-nbirth-rebirth-metric payloads-nbirth-rebirth-req
        operational-behavior-data-commands-rebirth-name operational-behavior-data-commands-rebirth-name-aliases
        operational-behavior-data-commands-rebirth-datatype operational-behavior-data-commands-rebirth-value""",
    a_rebirth_is_whole_and_has_the_same_bd_seq: """operational-behavior-data-commands-rebirth-action-1
        operational-behavior-data-commands-rebirth-action-2 operational-behavior-data-commands-rebirth-action-3""",
    bd_seq_counts_from_0: """topics-nbirth-bdseq-increment
        message-flow-edge-node-birth-publish-will-message-payload-bdSeq""",
    bd_seq_is_in_birth_and_will: """topics-nbirth-bdseq-included topics-nbirth-bdseq-matching payloads-nbirth-bdseq
        payloads-nbirth-bdseq-repeat payloads-ndeath-bdseq
        message-flow-edge-node-birth-publish-nbirth-payload-bdSeq""",
    a_death_is_bd_seq_alone: """topics-ndeath-payload topics-ndeath-seq payloads-ndeath-seq
        message-flow-edge-node-birth-publish-will-message-payload""",
    a_death_has_qos_1_and_is_not_retained: """payloads-ndeath-will-message payloads-ndeath-will-message-qos
        payloads-ndeath-will-message-retain message-flow-edge-node-birth-publish-will-message
        message-flow-edge-node-birth-publish-will-message-qos
        message-flow-edge-node-birth-publish-will-message-will-retained""",
    a_birth_is_first: "message-flow-edge-node-birth-publish-connect payloads-ndata-order",
    a_death_is_last: """operational-behavior-edge-node-intentional-disconnect-ndeath
        operational-behavior-edge-node-intentional-disconnect-packet payloads-ndeath-will-message-publisher
        payloads-ndeath-will-message-publisher-disconnect-mqtt50""",
    commands_are_heard_with_qos_1: "message-flow-edge-node-ncmd-subscribe topics-ncmd-topic",
}


@pytest.mark.parametrize(
    "holds",
    [
        pytest.param(holds, id=f"tck-id-{statement}")
        for holds, statements in STATEMENTS.items()
        for statement in statements.split()
    ],
)
def test_statement(life: Life, holds: Callable[[Life], None]) -> None:
    holds(life)


def test_parts_that_waited_are_historical_and_whole_but_the_newest_is_current(life: Life) -> None:
    data = [one for one in life.sessions()[0] if "verdict/sequence" in one.metrics and one.verb == "NDATA"]
    for number, one in enumerate(data[:FIRST_WAITING], start=1):
        assert one.metrics["verdict/sequence"].long_value == number
        late = number < FIRST_WAITING
        assert all(metric.is_historical == late for metric in one.metrics.values())
        # The current values that a good part without an id does not have were null before.
        unset = ("part_id", "area_name", "reason", "not_found", "recipe", "views")
        empty = set() if late else {f"verdict/{name}" for name in unset}
        assert set(one.metrics) == set(definitions("verdict")) - empty
    assert "verdict/bundle/name" not in data[FIRST_WAITING].metrics


def test_every_part_came(life: Life) -> None:
    numbers = [
        one.metrics["verdict/sequence"].long_value
        for one in life.of("NBIRTH") + life.of("NDATA")
        if "verdict/sequence" in one.metrics and not one.metrics["verdict/sequence"].is_null
    ]
    assert set(numbers) == set(range(1, FIRST_WAITING + 303))
    defects = [
        one.metrics["defect/sequence"].long_value for one in life.of("NDATA") if "defect/sequence" in one.metrics
    ]
    assert defects == list(range(10, FIRST_WAITING + 301, 10))
