from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
import small_bundle
from mosquitto import NO_MOSQUITTO, free_port, mosquitto_program, wait_until

from edge_inspect.edge.cli import main
from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.messages import Status
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.demo import broker as demo_broker
from edge_inspect.edge.demo import chain, stream
from edge_inspect.edge.demo.broker import running_broker
from edge_inspect.edge.demo.line import StreamPart, write_stream
from edge_inspect.edge.demo.progress import tracked
from edge_inspect.edge.demo.stream import BUNDLE, inspect_stream
from edge_inspect.edge.demo.subscriber import Subscriber
from edge_inspect.edge.demo.summary import accuracy, speed
from edge_inspect.edge.errors import CheckFailed, UsageError
from edge_inspect.edge.mqtt.publisher import Publisher
from edge_inspect.edge.outbox import Outgoing
from edge_inspect.edge.outbox.memory import MemoryOutbox
from edge_inspect.edge.outbox.sqlite import SqliteOutbox


def test_the_whole_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Shorter than `make demo`, with every step of it; what the model learns in so little time is not judged."""
    for name, value in {"TRAIN_GOOD": 20, "TEST_GOOD": 3, "TEST_DEFECTS": 1}.items():
        monkeypatch.setattr(chain, name, value)
    # So little training leaves INT8 beyond its budget, and a search for layers to leave in float would take a minute.
    monkeypatch.setattr(chain, "BUNDLE_OPTIONS", ("--search-seconds", "0"))
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--frames", "12", "--steps", "5"]) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["frames"] == summary["verdicts_published"] == summary["verdicts_received"] == 12
    assert 0 <= summary["image_auroc"] <= 1
    good, flaws = summary["threshold"]["sentences"]
    assert good.startswith("Of good parts at most ") and flaws.startswith("Of synthetic flaws of 10 % ")
    assert 0 < summary["latency_ms_p50"] <= summary["latency_ms_p99"] and summary["fps"] > 0
    assert len((out / "verdicts.jsonl").read_text().splitlines()) == 12
    assert (out / "evaluation" / "index.html").stat().st_size
    assert json.loads(capfd.readouterr().out) == summary


def test_a_folder_that_is_not_a_demos_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    assert main(["demo", "--out", str(tmp_path)]) == 2
    assert "holds files that are not from a demo" in capsys.readouterr().err
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
def test_messages_go_through_either_broker(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "amqtt":
        monkeypatch.setattr(demo_broker.shutil, "which", lambda *_, **__: None)
    elif mosquitto_program() is None:
        pytest.skip(NO_MOSQUITTO)
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


def parts(folder: Path) -> dict[str, StreamPart]:
    return {part.file: part for part in write_stream(folder, frames=10, defect_share=0.3, seed=1)}


def no_service(_: Path) -> None:
    """A service that ends before it has judged anything."""


def test_where_no_verdict_arrives_the_broker_and_its_log_are_named(tmp_path: Path) -> None:
    delivery = inspect_stream(tmp_path, parts(tmp_path / "stream"), no_service)
    assert delivery.verdicts == [] and delivery.published == 0
    (tmp_path / "evaluation.json").write_text('{"image_auroc": 1.0, "pixel_auroc": 1.0, "aupro_0.3": 1.0}')
    small_bundle.write(tmp_path / BUNDLE, flaws=[{"width": 0.1, "drawn": 10, "found": 3}])
    with pytest.raises(CheckFailed, match=r"of 10 verdicts 0 reached the broker \((mosquitto|amqtt) on 127.0.0.1"):
        chain.write_results(tmp_path, parts(tmp_path / "stream"), delivery, {}, 0.0)
        chain.check_arrived(tmp_path, 10, delivery)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["verdicts_received"] == 0 and summary["image_auroc"] is None
    warning = "Warning: most flaws pass: of 10 synthetic ones of 10 % of the part's width 3 are found."
    assert summary["threshold"]["warning"].startswith(warning)
    assert (tmp_path / "broker.log").stat().st_size


@pytest.mark.parametrize("judged", [1, 4, 10])
def test_what_the_service_leaves_in_its_outbox_is_sent(tmp_path: Path, judged: int) -> None:
    truth = parts(tmp_path / "stream")
    topics = Topics("demo", "line1", "station1")

    def offline_service(config: Path) -> None:
        with SqliteOutbox(tmp_path / "outbox.db") as outbox:
            for n in range(judged):
                told = {"id": str(n), "sequence": n + 1, "part_id": f"{n:06d}", "ok": True, "score": 0.1}
                payload = json.dumps({**told, "latency_ms": 1.0}).encode()
                outbox.put("station1", lambda _, p=payload: [Outgoing(topics.verdict, p, "verdict")])

    delivery = inspect_stream(tmp_path, truth, offline_service)
    assert delivery.published == judged
    assert [verdict["sequence"] for verdict in delivery.verdicts] == list(range(1, judged + 1))


def test_verdicts_that_cannot_be_sent_end_the_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "DRAIN_S", 1.0)
    with SqliteOutbox(tmp_path / "outbox.db") as outbox:
        outbox.put("station1", lambda _: [Outgoing("edge-inspect/v1/a/b/c/verdict", b"{}", "verdict")])
    assert stream.drain_outbox(tmp_path, free_port()) == 0


def test_a_broker_that_does_not_start_is_named_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "mosquitto"
    broken.write_text("#!/bin/sh\necho 'cannot open the config file' >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(demo_broker.shutil, "which", lambda *_, **__: str(broken))
    log = tmp_path / "broker.log"
    with running_broker(log) as (name, _):
        assert name == "amqtt"
    assert "cannot open the config file" in log.read_text()
    monkeypatch.setattr(demo_broker.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(CheckFailed, match="mosquitto, did not start on port .*broker.log"), running_broker(log):
        pass
    monkeypatch.setattr(demo_broker.shutil, "which", lambda *_, **__: None)
    with pytest.raises(UsageError, match="apt-get install mosquitto"), running_broker(log):
        pass


@pytest.mark.parametrize("kinds", [[True, True], [False], []])
def test_few_verdicts_or_of_one_kind_have_a_summary(tmp_path: Path, kinds: list[bool]) -> None:
    (tmp_path / "evaluation.json").write_text('{"image_auroc": 1.0, "pixel_auroc": 1.0, "aupro_0.3": 1.0}')
    truth = {f"{n}.png": StreamPart(f"{n}.png", ok, None if ok else "dent") for n, ok in enumerate(kinds)}
    at = "2026-01-31T06:07:08.000009Z"
    told = {"ok": True, "score": 0.1, "latency_ms": 1.0, "precision": "int8", "engine": "openvino", "decided_at": at}
    verdicts = [{"part_id": str(n), **told} for n in range(len(kinds))]
    found = {**accuracy(tmp_path, truth, verdicts), **speed(verdicts)}
    assert found["image_auroc"] is None and found["escapes"] == kinds.count(False)
    assert found.get("fps", 0.0) == 0.0


@pytest.mark.parametrize(("terminal", "shown"), [(True, "\r  [" + "#" * 30 + "]"), (False, "  3/3 parts\n")])
def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool, shown: str
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    assert list(tracked(iter("abc"), 3, "parts")) == ["a", "b", "c"]
    said = capsys.readouterr().err
    assert shown in said and said.endswith("3/3 parts\n")
