"""The webhook between a real broker and a real web server that fails, hangs, drops connections and restarts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mosquitto import Broker, free_port, wait_until
from service_process import Process
from views_parts import ViewStation
from webhook_server import WebhookServer

from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.outbox.memory import MemoryOutbox
from edge_inspect.edge.webhook.service import run
from edge_inspect.edge.webhook.settings import WebhookSettings

Start = Callable[..., Process]
PATIENCE = 60.0
SECRET = "a secret of at least 24 bytes"


@pytest.fixture
def station(broker: Broker) -> Iterator[ViewStation]:
    made = ViewStation(broker.port, MemoryOutbox(), Topics("plant", "line1", "s0"))
    yield made
    made.publisher.close()


def at(server: WebhookServer, **more: Any) -> dict[str, Any]:
    return {"name": "mes", "url": f"http://127.0.0.1:{server.port}/parts", **more}


def sequences(requests: list[dict[str, Any]]) -> list[int]:
    """In the order in which they were first taken."""
    return list(dict.fromkeys(json.loads(each["body"])["sequence"] for each in requests))


def troubles(health_port: int) -> dict[str, Any]:
    """The trouble of each target, as `/healthz` tells it."""
    status, answer = get(health_port)
    assert (status == 200) == all(target["reason"] is None for target in answer["stations"].values())
    return {name: target["reason"] for name, target in answer["stations"].items()}


def get(health_port: int) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{health_port}/healthz", timeout=PATIENCE) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_verdicts_arrive_signed_as_they_are(
    broker: Broker, station: ViewStation, server: WebhookServer, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    start(broker.port, at(server, secret_file=str(tmp_path / "secret"), headers={"X-Plant": "one"}))
    for number in range(5):
        station.see(ok=number != 3, part_id=f"Teil {number} ü")
    requests = server.wait_for(5)
    assert sequences(requests) == [1, 2, 3, 4, 5]
    wait_until(lambda: station.outbox.depth().entries == 0, PATIENCE, "the broker has acknowledged all")
    stored = {
        json.loads(each.payload)["id"]: each.payload
        for each in station.outbox.history("s0", 1, 5, 0, 9)
        if each.kind == "verdict"
    }
    for each in requests:
        body, headers = each["body"].encode(), each["headers"]
        identity, moment = headers["webhook-id"], headers["webhook-timestamp"]
        digest = hmac.new(SECRET.encode(), f"{identity}.{moment}.".encode() + body, hashlib.sha256).digest()
        assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
        assert abs(int(moment) - time.time()) < PATIENCE and headers["idempotency-key"] == identity
        assert (each["path"], headers["content-type"], headers["x-plant"]) == ("/parts", "application/json", "one")
        assert identity == json.loads(body)["id"] + "-verdict" and stored[json.loads(body)["id"]] == body


def test_only_what_is_wanted_goes_to_each_target(
    broker: Broker, station: ViewStation, make_server: Callable[..., WebhookServer], start: Start
) -> None:
    rejected, defects, texts = make_server(), make_server(), make_server()
    start(
        broker.port,
        at(rejected, name="rejected", only_rejected=True),
        at(defects, name="defects", send="defects", template='{"who": $station, "id": $part_id, "n": $region_count}'),
        at(texts, name="texts", content_type="text/plain", template="$part_id is ${ok}: $$5"),
    )
    for number in range(6):
        station.see(ok=bool(number % 2), part_id=f'"{number}')
    assert [json.loads(each["body"])["ok"] for each in rejected.wait_for(3)] == [False] * 3
    assert [json.loads(each["body"]) for each in defects.wait_for(3)] == [
        {"who": "s0", "id": f'"{number}', "n": 1} for number in (0, 2, 4)
    ]
    assert [each["body"] for each in texts.wait_for(6)] == [
        f'"{number} is {"true" if number % 2 else "false"}: $5' for number in range(6)
    ]
    assert len(rejected.requests("tried.jsonl")) == len(defects.requests("tried.jsonl")) == 3


def test_a_station_that_is_no_longer_named_is_left_out_though_the_broker_keeps_its_subscription(
    broker: Broker, station: ViewStation, server: WebhookServer, start: Start
) -> None:
    other = ViewStation(broker.port, MemoryOutbox(), Topics("plant", "line2", "s0"))
    try:
        first = start(broker.port, at(server), stations=["plant/+/+"])
        other.see(ok=True, part_id="of line 2, named")
        server.wait_for(1)
        assert first.end() == 0
        start(broker.port, at(server))
        for number in range(3):
            other.see(ok=True, part_id="of line 2, no longer named")
            station.see(ok=True, part_id=f"of line 1: {number}")
        taken = [json.loads(each["body"])["part_id"] for each in server.wait_for(4)]
    finally:
        other.publisher.close()
    assert taken == ["of line 2, named", *(f"of line 1: {number}" for number in range(3))]


@pytest.mark.parametrize("mode", ["500", "404", "429", "hang", "drop", "trickle", "garbage", "redirect"])
def test_what_a_server_does_not_take_comes_again_in_order(
    broker: Broker, station: ViewStation, server: WebhookServer, start: Start, health_port: int, mode: str
) -> None:
    start(broker.port, at(server, timeout_s=1.0))
    station.see(ok=True)
    server.wait_for(1)
    server.set_mode(mode)
    for _ in range(3):
        station.see(ok=True)
    server.wait_tried(mode)
    wait_until(lambda: troubles(health_port)["mes"], PATIENCE, "its health says so")
    if mode == "redirect":
        assert "which is not followed: correct the target's url" in troubles(health_port)["mes"]
    server.set_mode("200")
    requests = server.wait_for(4)
    assert sequences(requests) == [1, 2, 3, 4]
    assert {each["path"] for each in server.requests("tried.jsonl")} == {"/parts"}
    wait_until(lambda: troubles(health_port) == {"mes": None}, PATIENCE, "all is well again")


def test_a_refused_message_is_kept_and_told_and_does_not_block(
    broker: Broker, station: ViewStation, server: WebhookServer, start: Start, health_port: int, tmp_path: Path
) -> None:
    process = start(broker.port, at(server))
    server.set_mode("422")
    station.see(ok=False)
    kept = tmp_path / "webhook.refused.jsonl"
    wait_until(lambda: kept.exists() and kept.read_text().endswith("\n"), PATIENCE, "it is kept")
    server.set_mode("200")
    station.see(ok=True)
    assert sequences(server.wait_for(1)) == [2]
    (letter,) = [json.loads(line) for line in kept.read_text().splitlines()]
    assert (letter["target"], json.loads(letter["message"])["sequence"]) == ("mes", 1)
    assert "it answers 422" in letter["why"] and "because" in letter["why"] and "\x1b" not in letter["why"]
    assert troubles(health_port) == {"mes": f"1 message(s) refused, see {kept}"}
    assert "message 1 is given up: it answers 422" in process.said()


def test_a_server_that_was_away_and_refuses_is_no_longer_said_to_be_away(
    broker: Broker, station: ViewStation, server: WebhookServer, start: Start, health_port: int, tmp_path: Path
) -> None:
    server.stop()
    start(broker.port, at(server))
    station.see(ok=True)
    wait_until(lambda: "cannot be reached" in (troubles(health_port)["mes"] or ""), PATIENCE, "it is away")
    server.set_mode("400")
    server.start()
    refusal = f"1 message(s) refused, see {tmp_path}/webhook.refused.jsonl"
    wait_until(lambda: troubles(health_port) == {"mes": refusal}, PATIENCE, "it is back, and refuses")


def test_a_missing_secret_is_told_at_the_start_and_holds_only_its_own_messages(
    broker: Broker,
    station: ViewStation,
    make_server: Callable[..., WebhookServer],
    start: Start,
    health_port: int,
    tmp_path: Path,
) -> None:
    signed, other = make_server(), make_server()
    secret = tmp_path / "secret"
    process = start(broker.port, at(signed, name="signed", secret_file=str(secret)), at(other, name="other"))
    wait_until(
        lambda: f"target signed: targets.signed.secret_file: {secret}: No such" in process.said(), PATIENCE, "said"
    )
    found = troubles(health_port)
    assert "secret_file" in found["signed"] and found["other"] is None
    secret.write_text(SECRET)
    wait_until(
        lambda: troubles(health_port) == {"signed": None, "other": None}, PATIENCE, "it is there, without a part"
    )
    assert process.end() == 0
    secret.unlink()
    start(broker.port, at(signed, name="signed", secret_file=str(secret)), at(other, name="other"))
    station.see(ok=True)
    other.wait_for(1)
    assert signed.requests("tried.jsonl") == []
    secret.write_text(SECRET)
    (request,) = signed.wait_for(1)
    assert "webhook-signature" in request["headers"]


@pytest.mark.parametrize("mode", ["hang", "500", "400"])
def test_a_stop_waits_for_no_server_and_for_no_pause(
    broker: Broker, station: ViewStation, server: WebhookServer, start: Start, mode: str
) -> None:
    server.set_mode(mode)
    process = start(broker.port, at(server, timeout_s=300, backoff_cap_s=3600))
    for _ in range(20):
        station.see(ok=True)
    server.wait_tried(mode)
    assert process.end(signal.SIGINT) == 0
    assert process.said().count("SIGINT: stopping") == 1 and "is left behind" not in process.said()


def test_its_health_says_that_it_hears_nothing(
    broker: Broker, station: ViewStation, server: WebhookServer, start: Start, health_port: int
) -> None:
    start(broker.port, at(server))
    wait_until(lambda: troubles(health_port) == {"mes": None}, PATIENCE, "all is well")
    broker.stop()
    wait_until(lambda: troubles(health_port) == {"mes": "no connection to the broker"}, PATIENCE, "it says so")
    broker.start()
    wait_until(lambda: troubles(health_port) == {"mes": None}, PATIENCE, "all is well again")


@pytest.mark.parametrize("ended", ["TargetSender", "WebhookSubscriber"])
def test_a_thread_that_has_ended_ends_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, ended: str
) -> None:
    monkeypatch.setattr(f"edge_inspect.edge.webhook.service.{ended}.alive", False)
    fields = {
        "stations": ["plant/line1/+"],
        "targets": [{"name": "mes", "url": "http://127.0.0.1:1/"}],
        "mqtt": {"host": "127.0.0.1", "port": free_port()},
        "outbox": {"path": str(tmp_path / "webhook.db")},
    }
    run(WebhookSettings.model_validate(fields))  # returns without a signal
    assert "a thread has ended because of an error here" in caplog.text


def test_kills_and_restarts_lose_nothing(
    broker: Broker, station: ViewStation, server: WebhookServer, start: Start
) -> None:
    process = start(broker.port, at(server))
    for number in range(60):
        station.see(ok=True)
        if number in (10, 40):
            process.end(signal.SIGKILL)
        elif number in (20, 50):
            process = start(broker.port, at(server))
        elif number == 30:
            server.stop()
        elif number == 35:
            server.start()
    requests = server.wait_for(60)
    # What was on its way at a kill may come twice, with the same id and the same body.
    bodies: dict[str, str] = {}
    for each in requests:
        assert bodies.setdefault(each["headers"]["webhook-id"], each["body"]) == each["body"]
    assert sequences(requests) == list(range(1, 61))
    assert process.end() == 0


def test_tls_is_verified(
    broker: Broker,
    station: ViewStation,
    make_server: Callable[..., WebhookServer],
    start: Start,
    health_port: int,
    authority: Path,
) -> None:
    server = make_server(authority / "broker.pem", authority / "broker.key")
    target = {**at(server), "url": f"https://127.0.0.1:{server.port}/parts"}
    process = start(broker.port, target)
    station.see(ok=True)
    wait_until(lambda: "certificate is not accepted" in (troubles(health_port)["mes"] or ""), PATIENCE, "refused")
    assert server.requests("tried.jsonl") == [] and process.end() == 0
    start(broker.port, {**target, "ca_file": str(authority / "ca.pem")})
    assert sequences(server.wait_for(1)) == [1]
