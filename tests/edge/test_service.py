"""The service as its process: a real broker, real signals, a real outbox."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_bundle
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from mosquitto import Broker, Subscriber, free_port, wait_until
from service_process import PATIENCE, Commander, Configure, Launch, write_settings

from edge_inspect.edge.bundle.signature import Signature, key_id, signed_message
from edge_inspect.edge.configuration.file import load_settings
from edge_inspect.edge.demo.line import write_stream
from edge_inspect.edge.engines import Engine
from edge_inspect.edge.engines.opening import open_checked_engine
from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.outbox.sqlite import SqliteOutbox
from edge_inspect.edge.service import Service
from edge_inspect.edge.station import loaded_bundle

FRAMES = 20


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stream")
    write_stream(folder, frames=FRAMES, defect_share=0.3, seed=5)
    return folder


@pytest.fixture(scope="module")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small one: what the service does with a bundle does not depend on what it has learned."""
    return tiny_bundle.write(tmp_path_factory.mktemp("bundles") / "tiny").path


@pytest.fixture
def configure(tmp_path: Path, stream: Path, bundle_path: Path) -> Configure:
    # Not as fast as the engine goes: a service that is done before it has a connection leaves its verdicts to the next.
    def write(port: int, options: str = "?fps=10", more: dict[str, Any] | None = None, **station: Any) -> Path:
        looks = {"camera": f"folder:{stream}{options}", "bundle": str(bundle_path), "policy": "every"}
        return write_settings(tmp_path, port, looks | station, **(more or {}))

    return write


def waiting(path: Path) -> list[dict[str, Any]]:
    with SqliteOutbox(path) as outbox:
        entries = outbox.pending("station1", 0, 10**6)
    return [json.loads(entry.payload) for entry in entries if entry.kind == "verdict"]


def test_every_frame_of_a_finite_source_becomes_a_verdict(
    broker: Broker, subscriber: Subscriber, configure: Configure, launch: Launch
) -> None:
    service = launch(configure(broker.port))
    assert service.wait(60) == 0
    wait_until(lambda: len(subscriber.payloads("verdict")) >= FRAMES, 30)
    verdicts = subscriber.payloads("verdict")
    assert [v["sequence"] for v in verdicts] == list(range(1, FRAMES + 1))
    assert [v["part_id"] for v in verdicts] == [f"{i:06d}" for i in range(FRAMES)]
    assert all(v["frame"] == {"width": 640, "height": 480} and v["latency_ms"] > 0 for v in verdicts)
    assert {d["id"] for d in subscriber.payloads("defect")} == {v["id"] for v in verdicts if not v["ok"]}
    wait_until(lambda: subscriber.states()[-1:] == ["offline"])
    states = subscriber.states()
    assert states[0] in ("starting", "online") and "online" in states and states[-1] == "offline"
    health = subscriber.payloads("health")[-1]
    assert health["frames"]["inspected"] == FRAMES and health["frames"]["dropped"] == 0


def test_the_box_decides_once_in_which_precision_it_inspects(
    broker: Broker, subscriber: Subscriber, configure: Configure, launch: Launch, tmp_path: Path
) -> None:
    slow = tiny_bundle.write(tmp_path / "slow", slow="int8")
    assert slow.manifest.preferred == "int8"
    said = []
    for started in (1, 2):
        service = launch(
            configure(
                broker.port, "?fps=40", {"engine": {"name": "openvino", "precision": "fastest"}}, bundle=str(slow.path)
            )
        )
        assert service.wait(60) == 0
        wait_until(lambda count=started * FRAMES: len(subscriber.payloads("verdict")) >= count, 30)
        said.append(service.said())
    assert {verdict["precision"] for verdict in subscriber.payloads("verdict")} == {"fp32"}
    assert "fp32 takes" in said[0] and "fp32 takes" not in said[1]
    reasons = {health["precision_reason"] for health in subscriber.payloads("health")}
    (reason,) = reasons
    assert reason.startswith("fp32 takes ") and "; int8 takes " in reason


def test_where_a_key_is_configured_a_signed_bundle_runs(
    broker: Broker, subscriber: Subscriber, configure: Configure, launch: Launch, bundle_path: Path, tmp_path: Path
) -> None:
    key = Ed25519PrivateKey.generate()
    public = tmp_path / "key.pub.pem"
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    bundle = shutil.copytree(bundle_path, tmp_path / "signed")
    value = key.sign(signed_message((bundle / "manifest.yaml").read_bytes()))
    (bundle / "manifest.sig").write_bytes(Signature(key_id(key.public_key()), value).line())
    config = configure(broker.port, bundle=str(bundle))
    config.write_text(config.read_text() + yaml.safe_dump({"bundles": {"public_keys": [str(public)]}}))
    service = launch(config)
    assert service.wait(60) == 0
    assert f"{bundle}: signed with key {key_id(key.public_key())}" in service.said()
    wait_until(lambda: len(subscriber.payloads("verdict")) >= FRAMES, 30)


def test_killed_with_the_broker_away_nothing_is_lost(
    broker: Broker, subscriber: Subscriber, configure: Configure, launch: Launch, tmp_path: Path
) -> None:
    config = configure(broker.port, "?fps=40&loop=true")
    service = launch(config)
    wait_until(lambda: len(subscriber.payloads("verdict")) >= 5, 30)
    broker.stop()
    time.sleep(1.0)  # the stream goes on into the outbox
    service.end(signal.SIGKILL)
    kept = waiting(tmp_path / "outbox.db")
    assert len(kept) >= 5
    broker.start()
    again = launch(config)
    last = kept[-1]["sequence"]
    wait_until(lambda: any(v["sequence"] > last for v in subscriber.payloads("verdict")), 30)
    assert again.end(timeout=20) == 0
    # The subscriber's session may be younger than the broker's restart: it sees all that was kept, once or more.
    seen = subscriber.payloads("verdict")
    by_id = {v["id"]: v["sequence"] for v in seen}
    assert all(by_id[v["id"]] == v["sequence"] for v in kept)
    first_seen = list(dict.fromkeys(v["sequence"] for v in seen))
    assert first_seen == sorted(first_seen)
    assert set(range(1, max(first_seen) + 1)) == set(first_seen)


def test_it_starts_without_a_broker_says_so_once_and_delivers_later(
    make_broker: Callable[..., Broker],
    subscribe: Callable[..., Subscriber],
    configure: Configure,
    launch: Launch,
    tmp_path: Path,
) -> None:
    late = make_broker()
    service = launch(configure(late.port, "?fps=40&loop=true"))
    wait_until((tmp_path / "outbox.db").exists, 60)
    time.sleep(1.0)
    assert service.poll() is None
    late.start()
    subscriber = subscribe(late.port)
    wait_until(lambda: len(subscriber.payloads("verdict")) >= 10, 30)
    assert service.end(timeout=20) == 0
    assert service.said().count("Verdicts wait in the outbox") == 1, service.said()
    # Those sent before the subscription was there are the broker's to forget; from the first one seen there is no gap.
    sequences = subscriber.sequences()
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))


def test_sigterm_finishes_flushes_and_says_offline(
    broker: Broker, subscriber: Subscriber, configure: Configure, launch: Launch, tmp_path: Path
) -> None:
    service = launch(configure(broker.port, "?fps=40&loop=true"))
    wait_until(lambda: len(subscriber.payloads("verdict")) >= 5, 30)
    assert service.end(timeout=10) == 0
    assert service.said().count("SIGTERM: stopping") == 1
    assert waiting(tmp_path / "outbox.db") == []
    wait_until(lambda: subscriber.payloads("status")[-1]["state"] == "offline", 30)
    sequences = subscriber.sequences()
    assert sequences == list(range(1, len(sequences) + 1))


def test_a_broken_frame_degrades_and_the_next_one_is_inspected(
    broker: Broker, subscriber: Subscriber, configure: Configure, launch: Launch, stream: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for i, image in enumerate(sorted(stream.glob("*.png"))[:5]):
        data = image.read_bytes()
        (folder / image.name).write_bytes(data[:3000] if i == 2 else data)
    service = launch(configure(broker.port, camera=f"folder:{folder}?fps=4"))
    assert service.wait(60) == 0
    assert "000002.png: is cut off" in service.said() and "Traceback" not in service.said()
    wait_until(lambda: len(subscriber.payloads("verdict")) >= 4, 30)
    assert [v["part_id"] for v in subscriber.payloads("verdict")] == ["000000", "000001", "000003", "000004"]
    assert any(s["state"] == "degraded" and "cut off" in s["reason"] for s in subscriber.payloads("status"))
    assert subscriber.payloads("health")[-1]["frames"]["dropped"] == 1


def test_systemd_is_told_when_it_is_ready(broker: Broker, configure: Configure, launch: Launch, tmp_path: Path) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        listener.settimeout(30)
        assert launch(configure(broker.port), NOTIFY_SOCKET=str(address)).wait(PATIENCE) == 0
        first, last = listener.recv(100), listener.recv(100)
        assert first == b"READY=1\nSTATUS=1 station(s) online" and last == b"STOPPING=1"


def test_commands_are_carried_out_and_answered(
    broker: Broker, subscriber: Subscriber, configure: Configure, launch: Launch
) -> None:
    command = Commander(subscriber)
    allowed = {"commands": {"allow": ["pause", "resume", "threshold", "snapshot", "resend"], "threshold_factor": 2}}
    config = configure(broker.port, "?fps=40&loop=true", allowed)
    service = launch(config)
    wait_until(lambda: len(subscriber.payloads("verdict")) >= 5, 30)
    assert command("trigger")["refusal"] == "unauthorised"

    assert command("pause", by="test")["done"]
    wait_until(lambda: subscriber.payloads("status")[-1]["state"] == "paused")
    time.sleep(0.3)
    stopped_at = subscriber.sequences()[-1]
    picture = command("snapshot")
    images = [message for message in subscriber.messages if message.topic == picture["image"]]
    assert images[0].payload[:3] == b"\xff\xd8\xff"
    assert subscriber.sequences()[-1] == stopped_at == picture["sequence"]

    bundle = subscriber.payloads("verdict")[0]["threshold"]
    changed = command("threshold", value=bundle * 1.5)
    assert changed["threshold"] == {"before": bundle, "after": bundle * 1.5, "bundle": bundle}
    assert command("threshold", value=bundle * 3)["refusal"] == "impossible"
    assert command("resume")["done"]
    wait_until(lambda: subscriber.payloads("verdict")[-1]["threshold"] == bundle * 1.5)

    seen = len(subscriber.sequences())
    again = command("resend", from_sequence=2, to_sequence=4)
    assert again["resend"] == {"first": 2, "last": 4}
    wait_until(lambda: [n for n in subscriber.sequences()[seen:] if n <= 4] == [2, 3, 4])
    repeats = [v for v in subscriber.payloads("verdict") if v["sequence"] == 3]
    assert repeats[0] == repeats[1]

    counts = {
        "done": 5,
        "malformed": 0,
        "oversized": 0,
        "unauthorised": 1,
        "expired": 0,
        "replayed": 0,
        "busy": 0,
        "impossible": 1,
    }
    expected = {"done": counts.pop("done"), "refused": counts}
    wait_until(lambda: subscriber.payloads("health")[-1]["commands"] == expected)
    assert service.end(timeout=10) == 0
    launch(config)
    later = len(subscriber.payloads("verdict"))
    wait_until(lambda: len(subscriber.payloads("verdict")) > later, 30)
    assert subscriber.payloads("verdict")[-1]["threshold"] == bundle * 1.5


def test_a_triggered_station_takes_a_frame_at_each_trigger(
    broker: Broker, subscriber: Subscriber, configure: Configure, launch: Launch
) -> None:
    command = Commander(subscriber)
    launch(configure(broker.port, more={"commands": {"allow": ["trigger"]}}, trigger="command"))
    wait_until(lambda: "online" in subscriber.states(), 30)
    for part in ("SN-1", "SN-2"):
        assert command("trigger", part_id=part)["done"]
    wait_until(lambda: len(subscriber.payloads("verdict")) == 2)
    time.sleep(0.3)
    assert [v["part_id"] for v in subscriber.payloads("verdict")] == ["SN-1", "SN-2"]


def test_a_damaged_outbox_is_told(
    broker: Broker, subscriber: Subscriber, configure: Configure, launch: Launch, tmp_path: Path
) -> None:
    (tmp_path / "outbox.db").write_bytes(b"\0" * 100 + b"damage" * 2000)
    service = launch(configure(broker.port))
    assert service.wait(60) == 0
    wait_until(lambda: subscriber.states()[-1:] == ["offline"])
    told = [s for s in subscriber.payloads("status") if s["state"] == "degraded"]
    assert "the outbox was damaged and set aside as" in told[0]["reason"]
    aside = subscriber.payloads("health")[-1]["outbox"]["set_aside"]
    assert Path(aside).read_bytes().endswith(b"damage")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bundle": "/nowhere/bundle"}, "station station1: bundle: /nowhere/bundle: no such bundle"),
        ({"precision": "fp8"}, "stations.0.precision"),
        ({"policy": "sometimes"}, "stations.0.policy"),
        ({"trigger": "command"}, "but the command trigger is not allowed"),
    ],
)
def test_what_is_wrong_ends_it_with_status_2(
    configure: Configure, launch: Launch, change: dict[str, str], said: str
) -> None:
    service = launch(configure(1, **change))
    assert service.wait(30) == 2
    assert said in service.said() and "Traceback" not in service.said()


def test_the_engines_of_a_configuration_are_closed_with_its_stations(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the service starts anew at SIGHUP, the memory of the engines before is free when the next are built."""
    opened: list[Engine] = []

    def remember(*arguments: Any, **options: Any) -> Engine:
        opened.append(open_checked_engine(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr(loaded_bundle, "open_checked_engine", remember)
    settings = load_settings(configure(free_port()))
    frame = np.zeros((48, 80, 3), np.uint8)
    for _ in range(2):
        with Service(settings):
            assert opened[-1].infer(frame).score >= 0
        with pytest.raises(EngineError, match="is closed"):
            opened[-1].infer(frame)
    assert len(opened) == 2
