"""The review in the page's process, between a real broker and a station that publishes pictures."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from label_parts import picture
from mosquitto import Broker, Subscriber, wait_until
from page_client import Browser
from page_parts import PATIENCE, Station, listening

from edge_inspect.edge.contract.messages import FrameSize, LabelMessage, Verdict

KEY = "plant/line1/a"
SIZE = FrameSize(width=64, height=48)


@pytest.fixture
def subscriber(broker: Broker) -> Iterator[Subscriber]:
    made = Subscriber(broker.port)
    yield made
    made.close()


def show(station: Station, count: int) -> list[Verdict]:
    """Let a station reject parts and publish their pictures."""
    shown = [station.inspect(ok=False, frame=SIZE) for _ in range(count)]
    for each in shown:
        station.show(each.id, picture(each.sequence, ".jpg"))
    return shown


def queue(browser: Browser, query: str = "word=unlabelled") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = browser.get(f"/api/review?{query}").json()["parts"]
    return found


def test_received_parts_are_reviewed_and_nothing_said_is_lost(
    start_page: Any, station: Station, broker: Broker, subscriber: Subscriber, tmp_path: Path
) -> None:
    page = start_page()
    otto = page.browser("otto")
    parts = show(station, 3)
    wait_until(lambda: len(queue(otto)) == 3, PATIENCE)
    first = queue(otto)[0]
    assert (first["station"], first["id"], first["picture"], first["map"]) == (KEY, parts[-1].id, True, True)
    assert first["regions"]
    said = {"station": KEY, "id": parts[0].id, "word": "good"}
    with listening(page.port) as other:
        assert otto.post("/api/labels", said).status == 200
        wait_until(lambda: any(name == "label" for name, _ in other.events), PATIENCE)
    wait_until(lambda: len(subscriber.payloads("label")) == 1, PATIENCE)

    broker.stop()
    for each, word in ((parts[1], "defect"), (parts[2], "unsure")):
        kind = {"class": "dent"} if word == "defect" else {}
        assert otto.post("/api/labels", {"station": KEY, "id": each.id, "word": word, **kind}).status == 200
    assert otto.post("/api/labels/undo").json()["label"] is None
    page.process.send_signal(signal.SIGKILL)
    page.process.wait(PATIENCE)
    broker.start()
    again = start_page(page.config, page.port)

    wait_until(lambda: len(subscriber.payloads("label")) >= 4, PATIENCE)
    messages = [LabelMessage.model_validate(each) for each in subscriber.payloads("label")]
    assert [each.word for each in messages] == ["good", "defect", "unsure", None]
    assert [each.verdict.id for each in messages] == [parts[0].id, parts[1].id, parts[2].id, parts[2].id]
    assert {(each.by, each.site, each.line, each.station) for each in messages} == {("otto", "plant", "line1", "a")}
    assert messages[1].defect_class == "dent"
    emma = again.browser("emma")
    assert [part["label"]["word"] for part in queue(emma, "word=labelled")] == ["defect", "good"]
    assert [part["id"] for part in queue(emma)] == [parts[2].id]
    address = f"/api/pictures/{KEY}/{parts[0].id}"
    assert emma.get(address).body == picture(parts[0].sequence, ".jpg")
