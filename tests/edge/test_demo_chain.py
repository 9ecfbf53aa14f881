from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import pytest
from mosquitto import wait_until

from edge.cli import main
from edge.demo import broker as demo_broker
from edge.demo import chain
from edge.demo.broker import running_broker
from edge.demo.subscriber import Subscriber
from edge.messages import Status, Topics, utc_now
from edge.mqtt.publisher import Publisher
from edge.outbox import Outgoing
from edge.outbox.memory import MemoryOutbox
from edge.settings import MqttSettings


def test_the_whole_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Shorter than `make demo`, with every step of it; what the model learns in so little time is not judged."""
    for name, value in {"TRAIN_GOOD": 20, "TEST_GOOD": 3, "TEST_DEFECTS": 1, "EPOCHS": 1}.items():
        monkeypatch.setattr(chain, name, value)
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--frames", "12"]) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["frames"] == summary["verdicts_published"] == summary["verdicts_received"] == 12
    assert 0 <= summary["image_auroc"] <= 1
    assert 0 < summary["latency_ms_p50"] <= summary["latency_ms_p99"] and summary["fps"] > 0
    assert len((out / "verdicts.jsonl").read_text().splitlines()) == 12
    assert (out / "evaluation" / "index.html").stat().st_size
    assert json.loads(capfd.readouterr().out) == summary


def test_a_folder_that_is_not_a_demos_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    assert main(["demo", "--out", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
def test_messages_go_through_either_broker(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "amqtt":
        monkeypatch.setattr(demo_broker.shutil, "which", lambda *_, **__: None)
    else:
        assert shutil.which("mosquitto", path="/usr/sbin:/usr/bin"), "apt install mosquitto"
    topics = Topics("site", "line", "station")
    status = Status(boot_id="b", sequence=0, state="online", at=utc_now(), version="0")
    with contextlib.ExitStack() as stack:
        name, port = stack.enter_context(running_broker())
        assert name == kind
        seen: list[int] = []
        stack.enter_context(Subscriber(port, lambda verdict: seen.append(verdict["n"])))
        outbox = stack.enter_context(MemoryOutbox())
        settings = MqttSettings(host="127.0.0.1", port=port, backoff_cap_s=0.5)
        stack.enter_context(Publisher(topics, outbox, settings, status))
        for n in range(5):
            payload = json.dumps({"id": str(n), "n": n}).encode()
            outbox.put("station", lambda _, p=payload: [Outgoing(topics.verdict, p, "verdict")])
        wait_until(lambda: len(seen) == 5)
        assert seen == list(range(5))
