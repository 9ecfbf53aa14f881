"""The routes of the live view, as browsers use them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import small_bundle
from mosquitto import Broker, wait_until
from page_parts import PATIENCE, Answering, Publisher, StartPage, Station, jpeg, listening, png
from station_parts import health

from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.messages import BundleReference


@pytest.fixture
def answering(broker: Broker, publisher: Publisher, station: Station) -> Iterator[Answering]:
    made = Answering(broker, publisher, station)
    yield made
    made.close()


def test_commands_are_sent_by_role_with_their_replies(
    start_page: StartPage, answering: Answering, tmp_path: Path
) -> None:
    page = start_page()
    path = "/api/stations/plant/line1/a/command"
    nobody, vera, otto, emma = (page.browser(name) for name in (None, "vera", "otto", "emma"))
    assert nobody.post(path, {"command": "pause"}).status == 401
    assert vera.post(path, {"command": "pause"}).status == 403
    for refused in ("threshold", "shadow", "bundle", "resend"):
        answer = otto.post(path, {"command": refused})
        assert answer.status == 403 and "this needs the role engineer" in answer.error
    assert answering.commands == []
    assert otto.post(path, {"command": "recipe", "name": "jar"}).json()["reply"]["done"]
    assert answering.commands.pop().name == "jar"

    reply = otto.post(path, {"command": "pause"}).json()["reply"]
    assert reply["done"] and reply["command"] == "pause" and answering.commands[-1].by == "otto"
    reply = emma.post(path, {"command": "threshold", "value": 9}).json()["reply"]
    assert (reply["done"], reply["refusal"], reply["reason"]) == (False, "impossible", "9 is above the limit")
    assert emma.post(path, {"command": "bundle", "name": None}).json()["reply"]["done"]
    # Nobody can choose another's name, or an id that was used before.
    emma.post(path, {"command": "snapshot", "by": "otto", "id": answering.commands[0].id})
    assert answering.commands[-1].by == "emma" and answering.commands[-1].id != answering.commands[0].id

    for wrong, said in [
        ({"command": "explode"}, "command: send one of trigger, pause"),
        ({}, "command: send one of"),
        ({"command": ["pause"]}, "command: send one of"),
        ({"command": "threshold"}, "threshold.value: is missing"),
        ({"command": "threshold", "value": "9"}, "threshold.value: "),
        ({"command": "shadow", "parts": -1}, "shadow.parts: "),
        ({"command": "pause", "now": True}, "unknown field"),
        ([], "send a JSON object"),
        (b"{", "send a JSON object"),
    ]:
        answer = emma.post(path, wrong)
        assert answer.status == 400 and said in answer.error, answer.body
    assert emma.post("/api/stations/plant/line1/other/command", {"command": "pause"}).status == 404
    assert len(answering.commands) == 4

    entries = [json.loads(line) for line in (tmp_path / "data" / "audit.jsonl").read_text().splitlines()]
    done = [(entry["person"], entry["command"], entry.get("result")) for entry in entries if "command" in entry]
    assert done[2:6] == [
        ("otto", "pause", None),
        ("otto", "pause", "done"),
        ("emma", "threshold", None),
        ("emma", "threshold", "impossible: 9 is above the limit"),
    ]


def test_a_command_that_cannot_be_sent_is_a_sentence(start_page: StartPage, station: Station, broker: Broker) -> None:
    page = start_page(stations=["plant/line1/a"])
    person = page.browser("otto")
    broker.stop()
    answer = person.post("/api/stations/plant/line1/a/command", {"command": "resume"})
    assert answer.status == 504 and "; the command was not sent" in answer.error


def test_pictures_and_maps(start_page: StartPage, publisher: Publisher) -> None:
    station = Station(publisher, "plant 1/line/ü & ö")
    station.begin()
    page = start_page()
    browser, where = page.browser(), "plant%201/line/%C3%BC%20%26%20%C3%B6"
    bad = station.inspect(ok=False)
    station.show(bad.id, jpeg(640, 480, 50), png(320, 240, 255))
    snapshot = uuid7()
    publisher.send(station.topics.image(snapshot), jpeg(640, 480, 60), qos=0)
    with listening(page.port) as listener:
        listener.wait(lambda: listener.parts(station.key) and listener.parts(station.key)[0]["map"])
    for query, width in (("", 640), ("?width=100", 160), ("?width=5000", 640)):
        answer = browser.get(f"/api/pictures/{where}/{bad.id}{query}")
        picture = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR)
        assert answer.status == 200 and answer.headers["Content-Type"] == "image/jpeg"
        assert picture is not None and picture.shape == (width * 3 // 4, width, 3)
        assert "immutable" in answer.headers["Cache-Control"]
    answer = browser.get(f"/api/maps/{where}/{bad.id}")
    drawn = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_UNCHANGED)
    assert answer.headers["Content-Type"] == "image/png" and drawn is not None and drawn.shape == (240, 320, 4)
    # The picture of a snapshot has the id of the command.
    wait_until(lambda: browser.get(f"/api/pictures/{where}/{snapshot}").status == 200, PATIENCE)
    for path in (
        f"/api/maps/{where}/{snapshot}",
        f"/api/pictures/{where}/{uuid7()}",
        f"/api/pictures/plant/line1/a/{bad.id}",
        f"/api/pictures/{where}/counters.json",
        f"/api/pictures/{where}/..%2f..%2fcounters.json",
    ):
        answer = browser.get(path)
        assert answer.status in (400, 404) and answer.error
    assert browser.get(f"/api/pictures/{where}/{bad.id}?width=wide").status == 400


def test_bundles_that_can_be_loaded(start_page: StartPage, station: Station, tmp_path: Path) -> None:
    folder = tmp_path / "bundles"
    first, second = (
        small_bundle.write(folder / "flange"),
        small_bundle.write(folder / "flange-2", false_reject_rate=0.02),
    )
    (folder / "notes").mkdir()
    (folder / "broken").mkdir()
    (folder / "broken" / "manifest.yaml").write_text("format: 99\n")
    page = start_page(bundles=str(folder))
    browser = page.browser()
    station.say(
        health().model_copy(update={"bundle": BundleReference(name="flange", digest=first.digest)}),
        "health",
        retain=True,
    )

    def bundles() -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = browser.get("/api/stations/plant/line1/a/bundles").json()["bundles"]
        return listed

    wait_until(lambda: any(each["in_use"] for each in bundles()), PATIENCE)
    assert {(each["name"], each["digest"], each["in_use"]) for each in bundles()} == {
        ("flange", first.digest, True),
        ("flange-2", second.digest, False),
    }
    assert all(each["parent"] is None and each["promise"] is not None and each["made_at"] for each in bundles())
    assert browser.get("/api/stations/plant/line1/none/bundles").status == 404


def test_files_of_the_page_and_nothing_else(start_page: StartPage, station: Station, tmp_path: Path) -> None:
    texts = tmp_path / "texts.json"
    texts.write_text('{"title": "Prüfung"}')
    page = start_page(texts=str(texts))
    browser = page.browser()
    assert "<!doctype html>" in browser.get("/").body.decode().lower()
    assert browser.get("/static/texts.json").json()["title"] == "Prüfung"
    assert browser.get("/static/index.html").headers["Cache-Control"] == "no-cache"
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/nothing", "/api/nothing"):
        assert browser.get(path).status in (400, 404), path
    assert browser.ask("DELETE", "/api/stations").status in (401, 405)
