"""Home Assistant discovery: field by field against its documented schema, its templates by jinja2, a real broker."""

from __future__ import annotations

import datetime
import json
import re
import time
from collections.abc import Collection
from typing import Any

import jinja2
import jinja2.sandbox
import pytest
from mosquitto import Broker, wait_until
from sparkplug_parts import defect, reply, verdict
from station_parts import TOPICS, Subscribe, health, mqtt, put, status

from edge_inspect.edge.configuration.mqtt_settings import HomeAssistantSettings
from edge_inspect.edge.contract.commands import Verb, parse_command
from edge_inspect.edge.contract.health import LatencyPercentiles
from edge_inspect.edge.contract.messages import Message
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.mqtt.home_assistant import Discovery
from edge_inspect.edge.mqtt.publisher import Publisher
from edge_inspect.edge.outbox.memory import MemoryOutbox
from edge_inspect.edge.station.command_admission import CommandAdmission

PATIENCE = 60.0
# https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload, and the page of each platform.
DEVICE = {"identifiers", "name", "manufacturer", "model", "sw_version", "suggested_area"}
SHARED = {"platform", "name", "unique_id", "enabled_by_default", "entity_category"}
COMMAND = {"command_topic", "command_template", "qos", "icon"}
STATE = {"state_topic", "value_template", "device_class", "json_attributes_topic", "json_attributes_template"}
PLATFORMS = {
    "sensor": SHARED | STATE | {"state_class", "unit_of_measurement", "options", "suggested_display_precision"},
    "button": SHARED | COMMAND,
    "binary_sensor": SHARED | STATE,
    "image": SHARED | {"image_topic", "content_type"},
}
NEEDED = {"button": "command_topic", "sensor": "state_topic", "binary_sensor": "state_topic", "image": "image_topic"}
DEVICE_CLASSES = {"sensor": {"enum", "duration", "temperature"}, "binary_sensor": {"problem"}}
UNITS = {"duration": {"d", "h", "min", "s", "ms", "µs"}, "temperature": {"°C", "°F", "K"}}


ALLOWED: tuple[Verb, ...] = ("pause", "resume", "snapshot", "trigger", "resend", "threshold", "bundle")


def discovery(topics: Topics = TOPICS, allowed: Collection[Verb] = ALLOWED, **settings: Any) -> Discovery:
    return Discovery(topics, HomeAssistantSettings(**settings), allowed)


def announced(allowed: Collection[Verb] = ALLOWED) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(discovery(allowed=allowed).payload)
    return payload


def rendered(template: str, message: Message) -> str:
    """As Home Assistant renders it; a field that is not there is a mistake."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    return environment.from_string(template).render(value_json=json.loads(message.to_json()))


def test_the_device_is_what_the_schema_takes() -> None:
    payload = announced()
    assert set(payload) == {"device", "origin", "availability_topic", "availability_template", "components"}
    assert set(payload["device"]) == DEVICE and payload["device"]["identifiers"]
    assert set(payload["origin"]) == {"name", "sw_version"}
    assert payload["device"]["name"] == "line1 a"


@pytest.mark.parametrize("key", sorted(announced()["components"]))
def test_a_component_is_what_the_schema_takes(key: str) -> None:
    component = announced()["components"][key]
    platform = component["platform"]
    assert set(component) <= PLATFORMS[platform] and NEEDED[platform] in component
    kind = component.get("device_class")
    assert kind is None or kind in DEVICE_CLASSES[platform]
    assert kind not in UNITS or component["unit_of_measurement"] in UNITS[kind]
    assert ("options" in component) == (kind == "enum")
    assert not (kind == "enum" and {"state_class", "unit_of_measurement"} & set(component))
    assert component.get("state_class") in (None, "measurement", "total_increasing")
    assert component.get("entity_category") in (None, "diagnostic")
    # A number is shown with so many digits, and only a number.
    is_number = platform == "sensor" and "state_class" in component
    assert is_number == isinstance(component.get("suggested_display_precision"), int)
    # A value that changes with every part must not fill the database of whoever did not ask for it.
    assert key != "score" or component["enabled_by_default"] is False


def test_the_ids_are_unique_and_stay() -> None:
    ids = [component["unique_id"] for component in announced()["components"].values()]
    assert len(set(ids)) == len(ids)
    assert announced()["components"]["state"]["unique_id"] == "plant_line1_a_" + ids[0].split("_")[3] + "_state"
    assert discovery().topic == discovery().topic


@pytest.mark.parametrize("station", ["a", "Prüfung 1", "a.b", "a:b", "日本"])
def test_the_topic_is_one_that_home_assistant_takes(station: str) -> None:
    # The pattern is that of homeassistant/components/mqtt/discovery.py.
    topic = discovery(Topics("plant", "line1", station)).topic
    assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", topic)


def test_names_that_look_alike_are_other_devices() -> None:
    assert discovery(Topics("p", "l", "a b")).topic != discovery(Topics("p", "l", "a_b")).topic


def test_the_templates_find_what_the_messages_say() -> None:
    components = announced()["components"]
    warm = health().model_copy(update={"temperature_c": 41.5, "latency_ms": LatencyPercentiles(p50=1, p95=2.5, p99=3)})
    done = reply(command="resume")
    messages = {TOPICS.status: status("paused"), TOPICS.health: warm, TOPICS.verdict: verdict(1), TOPICS.reply: done}
    values = {
        key: rendered(component["value_template"], messages[component["state_topic"]])
        for key, component in components.items()
        if "state_topic" in component
    }
    assert values == {
        "state": "paused",
        "rejected_part": "OFF",
        "score": "0.25",
        "parts_inspected": "3",
        "parts_accepted": "2",
        "parts_rejected": "1",
        "frames_dropped": "0",
        "rate": "2.5",
        "latency": "2.5",
        "waiting": "0",
        "temperature": "41.5",
        "bundle": "flange",
        "engine": "openvino",
        "precision": "fp32",
        "threshold": "0.5",
        "last_command": "resume: done",
    }
    refused = reply(done=False, refusal="expired", reason="a clock is wrong")
    assert rendered(components["last_command"]["value_template"], refused) == "pause: expired"
    assert rendered(components["rejected_part"]["value_template"], defect(1)) == "ON"
    assert "paused" in components["state"]["options"]
    reason = status("degraded").model_copy(update={"reason": 'the "camera" is lost'})
    attributes = rendered(components["state"]["json_attributes_template"], reason)
    assert json.loads(attributes) == {"reason": 'the "camera" is lost'}


def test_what_has_no_value_is_unknown() -> None:
    components = announced()["components"]
    for key in ("latency", "temperature"):
        assert rendered(components[key]["value_template"], health()) == "None"


@pytest.mark.parametrize(("state", "said"), [("online", "online"), ("degraded", "online"), ("offline", "offline")])
def test_a_station_is_available_unless_it_is_offline(state: str, said: str) -> None:
    assert announced()["availability_topic"] == TOPICS.status
    assert rendered(announced()["availability_template"], status(state)) == said


def pressed(template: str) -> str:
    """What Home Assistant sends: its templates run in a sandbox with the function now."""
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)
    environment.globals["now"] = lambda: datetime.datetime.now(datetime.timezone.utc)
    return environment.from_string(template).render(value="PRESS")


def test_a_button_sends_a_new_command_at_every_press() -> None:
    components = announced()["components"]
    buttons = {key: one for key, one in components.items() if one["platform"] == "button"}
    assert set(buttons) == {"pause", "resume", "snapshot", "trigger"}
    for verb, button in buttons.items():
        assert button["command_topic"] == TOPICS.command and not button.get("retain")
        desk = CommandAdmission(ALLOWED, 30.0)
        time.sleep(0.002)  # an id of the desk's own millisecond is not refused, one of the millisecond before is
        receipts = [desk.receive(pressed(button["command_template"]).encode(), retained=False) for _ in range(50)]
        assert [receipt.refused for receipt in receipts] == [None] * 50
        assert {receipt.command.command for receipt in receipts if receipt.command} == {verb}
        assert parse_command(pressed(button["command_template"]).encode()).by == "home-assistant"


@pytest.mark.parametrize("allowed", [(), ("pause",), ("resend", "bundle"), ("resume", "trigger")])
def test_a_button_that_is_not_allowed_is_removed(allowed: tuple[Verb, ...]) -> None:
    components = announced(allowed)["components"]
    for verb in ("pause", "resume", "snapshot", "trigger"):
        assert (components[verb] == {"platform": "button"}) == (verb not in allowed)
    no_buttons = not {"pause", "resume", "snapshot", "trigger"} & set(allowed)
    assert (components["last_command"] == {"platform": "sensor"}) == no_buttons


def test_snapshots_are_shown() -> None:
    assert announced()["components"]["picture"]["image_topic"] == f"{TOPICS.prefix}/image/+"


def test_the_station_is_announced_retained_and_again_when_home_assistant_starts(
    broker: Broker, subscribe: Subscribe, outbox: MemoryOutbox
) -> None:
    heard = subscribe(broker.port, "homeassistant/device/#")
    settings = mqtt(broker.port, home_assistant={})
    with Publisher(TOPICS, outbox, settings, status(), allowed=["pause"]) as publisher:
        wait_until(lambda: publisher.connected and len(heard.messages) == 1, PATIENCE)
        late = subscribe(broker.port, "homeassistant/#")
        wait_until(lambda: late.messages, PATIENCE)
        assert late.messages[0].retain and late.messages[0].topic == discovery().topic
        assert late.messages[0].payload == discovery(allowed=["pause"]).payload
        heard.publish("homeassistant/status", b"offline")
        heard.publish("homeassistant/status", b"online")
        wait_until(lambda: len(heard.messages) == 2, PATIENCE)
        put(outbox, 5)
        wait_until(lambda: not outbox.depth().entries, PATIENCE)
    assert len(heard.messages) == 2


def test_a_device_is_removed(broker: Broker, subscribe: Subscribe, outbox: MemoryOutbox) -> None:
    """An empty retained payload removes a device, and the broker forgets it."""
    heard = subscribe(broker.port, "ha/device/#")
    for count, announce in enumerate((True, False), start=1):
        settings = mqtt(broker.port, home_assistant={"announce": announce, "prefix": "ha"})
        with Publisher(TOPICS, outbox, settings, status()):
            wait_until(lambda count=count: len(heard.messages) == count, PATIENCE)
    assert [bool(message.payload) for message in heard.messages] == [True, False]
    late = subscribe(broker.port, "ha/#")
    late.publish("ha/last", b"x")
    wait_until(lambda: late.messages, PATIENCE)
    assert [message.topic for message in late.messages] == ["ha/last"]


def test_a_broker_that_forbids_announcing_takes_verdicts(
    make_broker: Any, subscribe: Subscribe, outbox: MemoryOutbox, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rights = tmp_path / "acl"
    rights.write_text("topic readwrite edge-inspect/#\n")
    broker = make_broker(settings=f"allow_anonymous true\nacl_file {rights}")
    broker.start()
    heard = subscribe(broker.port)
    put(outbox, 5)
    with Publisher(TOPICS, outbox, mqtt(broker.port, home_assistant={}), status()) as publisher:
        wait_until(lambda: heard.sequences() == [1, 2, 3, 4, 5] and not outbox.depth().entries, PATIENCE)
        assert publisher.reconnects == 0
