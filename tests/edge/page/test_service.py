"""The page as a process: what browsers see, and that nothing is lost when page or broker restart."""

from __future__ import annotations

import contextlib
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from mosquitto import Broker, free_port, wait_until
from page_parts import (
    PATIENCE,
    Listener,
    Publisher,
    RunningPage,
    StartPage,
    Station,
    listening,
    said_connected,
    write_page,
)
from service_process import Launch


def test_two_browsers_see_parts_pictures_and_labels(start_page: StartPage, station: Station) -> None:
    page = start_page()
    with listening(page.port) as one, listening(page.port) as other:
        bad = station.inspect(3, ok=False)
        station.show(bad.id)
        for browser in (one, other):
            browser.wait(lambda browser=browser: [part["map"] for part in browser.parts()] == [True, False, False])
            part = browser.parts()[0]
            assert part["sequence"] == 3 and part["picture"] and part["rejected"] and len(part["regions"]) == 1
            assert browser.shift()["inspected"] == browser.shift()["rejected"] == 3
            assert browser.stations[station.key]["status"]["state"] == "online" and browser.connected
        person = page.browser("otto")
        wait_until(lambda: part_is_stored(page, bad.id), PATIENCE, "the part is stored")
        answer = person.post(
            "/api/labels", {"station": station.key, "id": bad.id, "word": "defect", "class": "scratch"}
        )
        assert answer.status == 200, answer.body
        for browser in (one, other):
            browser.wait(lambda browser=browser: browser.parts()[0]["label"] == "defect", "the label is shown")


def part_is_stored(page: RunningPage, identity: str) -> bool:
    parts = page.browser().get("/api/review?word=all&only=all").json()["parts"]
    return identity in [part["id"] for part in parts]


def test_a_restart_of_the_page_loses_no_verdict(start_page: StartPage, station: Station) -> None:
    page = start_page()
    with listening(page.port) as browser:
        station.inspect(5)
        browser.wait(lambda: browser.shift().get("inspected") == 5)
        assert page.process.end() == 0
        assert browser.ended.wait(PATIENCE)
    station.inspect(20)
    start_page(page.config, page.port)
    station.inspect(5)
    with listening(page.port) as browser:
        browser.wait(lambda: browser.shift().get("inspected") == 30)
        assert browser.shift()["missed"] == 0


def test_a_kill_of_the_page_counts_nothing_twice(start_page: StartPage, station: Station) -> None:
    page = start_page()
    with listening(page.port) as browser:
        station.inspect(5)
        browser.wait(lambda: browser.shift().get("inspected") == 5)
        # The counters are written every second.
        counters = Path(page.config).parent / "data" / "counters.json"
        wait_until(lambda: '"inspected":5' in counters.read_text(), PATIENCE)
        page.process.end(signal.SIGKILL)
    station.inspect(10)
    start_page(page.config, page.port)
    with listening(page.port) as browser:
        browser.wait(lambda: browser.shift().get("inspected") == 15)
        assert browser.shift()["missed"] == 0


def test_browsers_see_that_the_broker_is_lost_and_back(start_page: StartPage, station: Station, broker: Broker) -> None:
    page = start_page()
    with listening(page.port) as browser:
        browser.wait(lambda: browser.connected and not browser.stations[station.key]["stale"])
        broker.stop()
        browser.wait(lambda: browser.connected is False and browser.stations[station.key]["stale"])
        broker.start()
        browser.wait(lambda: browser.connected)
        with contextlib.closing(Publisher(broker.port)) as again:
            Station(again).inspect(3)
        browser.wait(lambda: len(browser.parts()) == 3 and not browser.stations[station.key]["stale"])
    assert "Traceback" not in page.process.said()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_although_browsers_listen(start_page: StartPage, number: signal.Signals) -> None:
    page = start_page()
    browsers = [Listener(page.port) for _ in range(5)]
    for browser in browsers:
        browser.wait(lambda browser=browser: browser.events)
    with socket.create_connection(("127.0.0.1", page.port)) as half:
        half.sendall(b"GET /api/sta")
        assert page.process.end(number, PATIENCE) == 0
    for browser in browsers:
        assert browser.ended.wait(PATIENCE)
        browser.close()
    assert "Traceback" not in page.process.said() and "ERROR" not in page.process.said()


def test_it_starts_without_a_broker_and_finds_it_later(launch: Launch, make_broker: Any, tmp_path: Path) -> None:
    broker: Broker = make_broker()
    config, port = write_page(tmp_path, broker.port)
    process = launch(config, "page")
    wait_until(lambda: said_connected(port) is False, PATIENCE, "the page answers")
    broker.start()
    wait_until(lambda: said_connected(port), PATIENCE, "the page is connected")
    assert process.end() == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"data": "page.yaml/data"}, "data: page.yaml/data cannot be created or written: Not a directory; "),
        ({"users": "page.yaml"}, "page.yaml: "),
        ({"listen": {"host": "192.0.2.1", "certificate": "a.pem", "key": "b.pem"}}, "a.pem"),
        ({"listen": {"port": "taken"}}, "; choose another port"),
    ],
)
def test_a_mistake_is_a_sentence_and_status_2(
    launch: Launch, tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        if settings.get("listen") == {"port": "taken"}:
            settings = {"listen": {"port": taken.getsockname()[1]}}
        config, _ = write_page(tmp_path, free_port(), **settings)
        process = launch(config, "page")
        assert process.wait(PATIENCE) == 2
    assert said in process.said() and "Traceback" not in process.said()


def test_a_damaged_file_of_counters_is_set_aside(start_page: StartPage, station: Station, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "counters.json").write_text('{"version": 1, "stations": {"plant/line')
    page = start_page()
    assert "is damaged and was renamed to" in page.process.said()
    assert (tmp_path / "data" / "counters.json.damaged").exists()
    with listening(page.port) as browser:
        station.inspect(2)
        browser.wait(lambda: browser.shift().get("inspected") == 2)
