from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from bridge_parts import defect, verdict
from page_parts import jpeg, png
from station_parts import health, status

from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.health import RejectHealth
from edge_inspect.edge.contract.messages import Verdict
from edge_inspect.edge.page.line_view import MOST_STATIONS, LineView, Received
from edge_inspect.edge.page.pictures import PictureKind, PictureName
from edge_inspect.edge.page.settings import PageSettings
from edge_inspect.edge.page.station_view import MOST_PARTS

KEY = "plant/line1/a"


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now().astimezone()

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def line(clock: Clock) -> LineView:
    made = LineView(PageSettings(shifts=["00:00"]), now=clock)
    made.set_connected(True)
    made.changes()
    return made


def take(line: LineView, *messages: Any, key: str = KEY, retained: bool = False) -> None:
    line.take([Received(key, message, retained) for message in messages])


def show(line: LineView, kind: PictureKind, identity: str, data: bytes) -> None:
    line.take([Received(KEY, data, picture=PictureName(KEY, identity, kind))])


def changes(line: LineView) -> dict[str, Any]:
    """The changed stations by key."""
    return {view["key"]: view for view in json.loads(line.changes())["stations"]}


def view(line: LineView, key: str = KEY) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in json.loads(line.snapshot())["stations"] if each["key"] == key)
    return found


def test_stations_are_found_and_sorted(line: LineView) -> None:
    for key in ("b/l/2", "a/l/1", "b/l/1"):
        take(line, status(), key=key)
    assert [each["key"] for each in json.loads(line.snapshot())["stations"]] == ["a/l/1", "b/l/1", "b/l/2"]


def test_named_stations_are_shown_before_they_say_anything() -> None:
    line = LineView(PageSettings(stations=["plant/line1/a", "plant/line2/+"]))
    shown = json.loads(line.snapshot())["stations"]
    assert [each["key"] for each in shown] == [KEY]
    assert shown[0]["status"] is None and shown[0]["stale"] and shown[0]["parts"] == []


def test_a_change_has_only_what_has_changed(line: LineView) -> None:
    take(line, status(), health(), verdict(1))
    first = changes(line)[KEY]
    assert first["status"]["state"] == "online" and first["health"]["fps"] == 2.5 and len(first["parts"]) == 1
    take(line, verdict(2), verdict(3))
    second = changes(line)[KEY]
    assert "status" not in second and "health" not in second
    assert [part["sequence"] for part in second["parts"]] == [3, 2]
    assert changes(line) == {}
    # Everything is in the snapshot all the same, newest part first.
    assert [part["sequence"] for part in view(line)["parts"]] == [3, 2, 1] and view(line)["status"] is not None


def test_a_defect_brings_the_regions_of_its_part(line: LineView) -> None:
    bad = verdict(1, ok=False)
    take(line, bad)
    assert changes(line)[KEY]["parts"][0]["regions"] == []
    take(line, defect(bad, 100, 50))
    (part,) = changes(line)[KEY]["parts"]
    assert [region["area_px"] for region in part["regions"]] == [100, 50] and part["rejected"]
    take(line, bad)
    assert len(view(line)["parts"][0]["regions"]) == 2, "a repeated verdict does not take the regions away"
    assert view(line)["shift"]["inspected"] == 1 and view(line)["shift"]["rejected"] == 1


def test_in_shadow_a_part_is_accepted_and_would_be_rejected(line: LineView) -> None:
    take(line, verdict(1).model_copy(update={"shadow": True, "score": 0.9}))
    (part,) = view(line)["parts"]
    assert part["ok"] and part["shadow"] and part["rejected"] and view(line)["shift"]["rejected"] == 0


def test_the_newest_parts_are_kept_in_order(line: LineView) -> None:
    made = [verdict(number) for number in range(1, 41)]
    for number in (*range(20, 40), *range(10, 20), *range(10)):
        take(line, made[number])
    assert [part["sequence"] for part in view(line)["parts"]] == list(range(40, 40 - MOST_PARTS, -1))
    assert view(line)["shift"]["inspected"] == 20, "parts before the first one belong to no gap"


def test_a_picture_may_come_before_or_after_its_verdict(line: LineView) -> None:
    before, after = verdict(1), verdict(2)
    show(line, "picture", before.id, jpeg())
    assert json.loads(line.snapshot())["stations"] == [], "a picture alone makes no station"
    take(line, status())
    show(line, "picture", before.id, jpeg())
    take(line, before, after)
    changes(line)
    show(line, "picture", after.id, jpeg())
    show(line, "map", after.id, png())
    (part,) = changes(line)[KEY]["parts"]
    assert part["picture"] and part["map"]
    assert [(part["picture"], part["map"]) for part in view(line)["parts"]] == [(True, True), (True, False)]
    assert line.pictures.get(PictureName(KEY, after.id, "map")) == png()


def test_labels_are_shown_with_their_parts(line: LineView) -> None:
    said: dict[tuple[str, str], str] = {}
    line.label_of = lambda station, identity: said.get((station, identity))
    made = verdict(1)
    take(line, made)
    changes(line)
    said[KEY, made.id] = "defect"
    line.refresh_part(KEY, made.id)
    assert changes(line)[KEY]["parts"][0]["label"] == "defect"
    line.refresh_part(KEY, made.id)
    line.refresh_part(KEY, verdict(2).id)
    line.refresh_part("no/such/station", made.id)
    assert changes(line) == {}


def test_bundle_and_threshold_come_from_health_or_else_from_the_newest_part(line: LineView) -> None:
    take(line, verdict(1))
    assert (view(line)["bundle"]["name"], view(line)["threshold"], view(line)["precision"]) == ("flange", 0.5, "int8")
    take(line, health().model_copy(update={"threshold": 0.7}))
    take(line, verdict(2))
    assert (view(line)["threshold"], view(line)["precision"]) == (0.7, "fp32")


def test_control_limits_are_those_of_the_stations_usual_share(line: LineView) -> None:
    rejects = RejectHealth(share=0.1, usual=0.05, evidence=0, limit=13)
    take(line, *(verdict(number, ok=number % 10 != 0) for number in range(1, 101)))
    assert view(line)["shift"]["high"] is None
    take(line, health().model_copy(update={"rejects": rejects}))
    shift = view(line)["shift"]
    assert (shift["share"], shift["low"], shift["high"]) == (0.1, 0.0, 0.13)


def test_a_new_shift_begins_at_0_and_browsers_are_told(line: LineView, clock: Clock) -> None:
    take(line, verdict(1), verdict(2))
    changes(line)
    clock.now += timedelta(days=1)
    line.tick()
    assert changes(line)[KEY]["shift"]["inspected"] == 0
    line.tick()
    assert changes(line) == {}


@pytest.mark.parametrize(
    ("does", "stale"),
    [
        (lambda line: take(line, health()), False),
        (lambda line: take(line, health(), retained=True), True),
        (lambda line: take(line, status(), retained=True), False),
        (lambda line: take(line, status("offline"), retained=True), True),
        (lambda line: take(line, status("offline")), True),
        (lambda line: (take(line, health()), take(line, status("offline"))), True),
        (lambda line: (take(line, health()), line.set_connected(False)), True),
        (lambda line: (take(line, health()), line.set_connected(False), line.set_connected(True)), False),
    ],
)
def test_who_is_silent_is_stale(line: LineView, does: Callable[[LineView], Any], stale: bool) -> None:
    does(line)
    assert view(line)["stale"] is stale


def test_silence_makes_a_station_stale(line: LineView, monkeypatch: pytest.MonkeyPatch) -> None:
    take(line, health())
    changes(line)
    monkeypatch.setattr("edge_inspect.edge.page.line_view.time.monotonic", lambda: 1e9)
    line.tick()
    assert changes(line)[KEY]["stale"]


def test_a_lost_broker_is_a_change(line: LineView) -> None:
    told: list[bool] = []
    line.on_change = lambda: told.append(json.loads(line.changes())["connected"])
    line.set_connected(False)
    line.set_connected(True)
    assert told == [False, True]


def test_there_are_only_so_many_stations(line: LineView, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(MOST_STATIONS + 20):
        take(line, status(), key=f"plant/line1/{number}")
    assert len(json.loads(line.snapshot())["stations"]) == MOST_STATIONS
    assert "is not shown: 256 stations are the limit" in caplog.text


def test_counters_of_stations_that_are_silent_are_kept(clock: Clock) -> None:
    first = LineView(PageSettings(shifts=["00:00"]), now=clock)
    take(first, verdict(1), verdict(2, ok=False))
    again = LineView(PageSettings(shifts=["00:00"]), first.counters(), now=clock)
    third = LineView(PageSettings(shifts=["00:00"]), again.counters(), now=clock)
    take(third, verdict(3))
    assert view(third)["shift"]["inspected"] == 3 and view(third)["shift"]["rejected"] == 1


def test_texts_of_others_are_only_data(line: LineView) -> None:
    evil = '<script>alert("\u2028")</script>\n\nevent: label\ndata: {}'
    made = verdict(1, part_id=evil)
    take(line, made)
    shown = line.changes()
    assert b"\n" not in shown and json.loads(shown)["stations"][0]["parts"][0]["part_id"] == evil


def test_a_part_decided_just_now_has_its_time(line: LineView) -> None:
    made: Verdict = verdict(1)
    take(line, made)
    moment = datetime.fromisoformat(view(line)["parts"][0]["decided_at"].replace("Z", "+00:00"))
    assert abs(utc_now() - moment) < timedelta(minutes=5)


def test_parts_of_the_present_are_shown_after_parts_that_a_clock_dated_ahead(line: LineView) -> None:
    ahead = [verdict(number) for number in range(1, MOST_PARTS + 6)]
    take(line, *(each.model_copy(update={"id": f"0e{each.id[2:]}"}) for each in ahead))
    take(line, verdict(1), verdict(2))
    assert [part["sequence"] for part in view(line)["parts"]] == [2, 1]
    assert view(line)["shift"]["inspected"] == MOST_PARTS + 5 + 2
    assert [part["sequence"] for part in changes(line)[KEY]["parts"]] == [2, 1]
