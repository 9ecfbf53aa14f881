"""The live view in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_page import PATIENCE, LivePage, ask, check_legible, live_page, log_in
from mosquitto import wait_until
from replier import Replier

from edge_inspect.edge.contract.health import (
    DriftHealth,
    FrameCounts,
    RecipeHealth,
    RejectHealth,
    ShadowHealth,
    StageHealth,
)
from edge_inspect.edge.contract.messages import BundleReference
from edge_inspect.edge.contract.replies import RecipeChange, ThresholdChange

HOSTILE = '<img src=x onerror="document.title=1">'
FAILED = StageHealth(state="failed", seconds=9, progress=1, reason="no frame")
MANY = RejectHealth(share=0.4, usual=0.05, evidence=9, limit=8)
HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
"""Lets a page believe that nobody sees it, or that somebody does again."""
LOST = ("net::ERR",)
"""What a browser says on its console when a server is gone."""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePage]:
    with live_page(tmp_path_factory.mktemp("page")) as page:
        yield page


def shows(page: Any, selector: str, text: str) -> None:
    page.locator(selector, has_text=text).first.wait_for()


def texts(page: Any, selector: str) -> list[str]:
    return [str(text) for text in page.locator(selector).all_text_contents()]


def test_a_wrong_password_is_refused_in_words_and_the_right_one_shows_the_line(live: LivePage) -> None:
    live.station("entry")
    with live.seen_by(None, errors=("401",)) as page:
        log_in(page, "otto", "wrong")
        shows(page, ".problem", "wrong")
        log_in(page, "otto")
        shows(page, ".card", "entry")
        shows(page, ".user", "otto")
        page.locator("button", has_text="Log out").click()
        page.locator("#user").wait_for()
        assert page.locator(".card").count() == 0


def test_verdicts_arrive_with_picture_map_and_region(live: LivePage) -> None:
    station = live.station("arrival")
    with live.seen_by("otto") as page:
        shows(page, ".card", "arrival")
        live.inspect(station, part_id="SN-1")
        shows(page, ".card:has-text('arrival') .card-last", "Accepted")
        page.locator(".card", has_text="arrival").click()
        made = live.inspect(station, ok=False, part_id="SN-2", area_name="rim")
        shows(page, ".part-panel", "SN-2")
        shows(page, ".part-panel .why", "in rim")
        page.locator(f'.stack[data-part="{made.id}"]').wait_for()
        page.locator(".regions rect.line").wait_for()
        assert page.locator(".regions").get_attribute("viewBox") == "0 0 640 480"
        rect = page.locator(".regions rect.line").first
        assert [rect.get_attribute(name) for name in ("x", "y", "width", "height")] == ["400", "300", "60", "40"]
        page.locator(".stack .map[src]").wait_for()
        boxes = [
            page.locator(f".stack {layer}").bounding_box() for layer in ("> img:not(.map)", "> .map", "> .regions")
        ]
        assert boxes[0] == boxes[1] == boxes[2] and boxes[0]["width"] > 100
        page.keyboard.press("m")
        page.locator(".stack .map").wait_for(state="hidden")
        page.keyboard.press("m")
        page.locator(".stack .map").wait_for()


def test_a_part_that_is_chosen_stays_until_the_newest_is_asked_for(live: LivePage) -> None:
    station = live.station("chosen")
    first, _ = live.inspect(station, part_id="first"), live.inspect(station, part_id="second")
    with live.seen_by("vera", f"#/station/{station.key}") as page:
        page.locator(".strip button", has_text="first").click()
        page.locator(f'.stack[data-part="{first.id}"]').wait_for()
        third = live.inspect(station, part_id="third")
        shows(page, ".part-panel", "third")
        assert page.locator(f'.stack[data-part="{first.id}"]').count() == 1
        page.keyboard.press("Escape")
        page.locator(f'.stack[data-part="{third.id}"]').wait_for()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        shows(page, ".caption", "second")


def test_the_last_reject_is_known_after_many_good_parts(live: LivePage) -> None:
    station = live.station("earlier")
    live.inspect(station, ok=False, part_id="the bad one", area_name="rim")
    for _ in range(30):
        live.inspect(station, picture=False)
    with live.seen_by("otto") as page:
        stored = f"review?station={station.key}&word=all&only=all"
        wait_until(lambda: ask(page, stored)["parts"], PATIENCE / 1000, "the server has stored the part")
        page.goto(f"{live.address}#/station/{station.key}")
        shows(page, ".part-panel:has-text('Last reject')", "the bad one")
        shows(page, ".part-panel .why", "in rim")
        page.locator("button", has_text="Show it").click()
        page.locator(".stack .regions rect.line").wait_for()


@pytest.mark.parametrize(
    ("state", "changes", "word", "advice"),
    [
        (
            "degraded",
            {"warnings": ("light_changed",), "cause": "light", "remedy": "see oven 3"},
            "Running",
            "see oven 3",
        ),
        ("degraded", {"stages": {"camera": FAILED}}, "Not inspecting", "camera's cable"),
        ("paused", {}, "Paused", ""),
        ("online", {"shadow": ShadowHealth(parts=7, wanted=90, above=1)}, "Running in shadow", ""),
        ("offline", {}, "Offline", "Check the power"),
        ("online", {"warnings": ("disk",), "disk_free_bytes": 5_000_000}, "Running", "Delete old evidence"),
        ("degraded", {"warnings": ("many_rejects",), "rejects": MANY}, "Running", "40.0%"),
    ],
)
def test_condition_and_what_to_do(live: LivePage, state: str, changes: dict[str, Any], word: str, advice: str) -> None:
    station = live.station("condition")
    with live.seen_by("vera") as page:
        station.begin(state, **changes)
        shows(page, ".card:has-text('condition') .badge", word)
        if advice:
            shows(page, ".alarms li:has-text('condition')", advice)
        else:
            assert page.locator(".alarms li", has_text="condition").count() == 0
        page.goto(f"{live.address}#/station/{station.key}")
        shows(page, ".station-head .badge", word)
        if advice:
            shows(page, ".alarms li", advice)
    station.begin()


def test_names_with_markup_stay_text(live: LivePage) -> None:
    station = live.station("<img src=x onerror=alert(1)>")
    live.inspect(station, ok=False, part_id=HOSTILE, area_name=HOSTILE)
    station.begin("degraded", remedy=HOSTILE, warnings=("score_drift",), cause="parts")
    with live.seen_by("otto") as page:
        dialogs: list[Any] = []
        page.on("dialog", lambda dialog: dialogs.append(dialog))
        shows(page, ".card h2", "<img src=x")
        shows(page, ".alarms .remedy", HOSTILE)
        page.locator(".card", has_text="<img src=x").click()
        shows(page, ".part-panel p", HOSTILE)
        shows(page, ".part-panel .why", HOSTILE)
        page.locator(".regions rect.line").wait_for()
        assert page.locator("[onerror], img[src=x]").count() == 0
        assert "<img" in page.title() and page.title() != "1"
        assert dialogs == []
    station.begin()


def test_a_command_is_confirmed_sent_and_its_reply_shown(live: LivePage) -> None:
    station = live.station("commands")
    with live.seen_by("otto", f"#/station/{station.key}") as page, Replier(live.broker.port, station) as replier:
        page.locator(".commands button", has_text="Pause").click()
        page.locator("dialog button", has_text="Cancel").click()
        page.locator(".commands button", has_text="Pause").click()
        page.locator("dialog .primary").click()
        shows(page, ".replies .tone-good", "Pause: done")
        assert [(command["command"], command["by"]) for command in replier.heard] == [("pause", "otto")]
        station.begin("paused")
        page.locator(".commands button", has_text="Resume").wait_for()
        assert page.locator(".commands summary").count() == 0, "an operator has no commands of an engineer"
    station.begin()


def test_a_refusal_is_shown_with_its_reason(live: LivePage) -> None:
    station = live.station("refusing")
    answer = {"done": False, "refusal": "impossible", "reason": "this station's camera <b>triggers</b> itself"}
    with (
        live.seen_by("otto", f"#/station/{station.key}") as page,
        Replier(live.broker.port, station, lambda command: answer),
    ):
        page.locator(".commands button", has_text="Trigger").click()
        shows(page, ".replies .tone-bad", "refused: this station's camera <b>triggers</b> itself")


def test_an_engineer_sets_the_threshold(live: LivePage) -> None:
    station = live.station("threshold")
    change = ThresholdChange(before=0.5, after=0.6, bundle=0.5)
    route, port = f"#/station/{station.key}", live.broker.port
    with (
        live.seen_by("emma", route) as page,
        Replier(port, station, lambda command: {"threshold": change}) as replier,
    ):
        page.locator(".commands summary").click()
        page.locator("#threshold-field").fill("much")
        page.keyboard.press("Enter")
        shows(page, ".replies .tone-bad", "number")
        page.locator("#threshold-field").fill("0,6")
        page.keyboard.press("Enter")
        shows(page, "dialog", "0.6000")
        page.locator("dialog .primary").click()
        shows(page, ".replies .tone-good", "from 0.5000 to 0.6000")
        assert [command["value"] for command in replier.heard] == [0.6]


def test_an_operator_changes_the_recipe(live: LivePage) -> None:
    station, names = live.station("recipes"), ("bottle", "jar", "box")
    change = RecipeChange(before="bottle", after="jar")
    with (
        live.seen_by("otto", f"#/station/{station.key}") as page,
        Replier(live.broker.port, station, lambda command: {"recipe": change}) as replier,
    ):
        page.locator(".commands button", has_text="Pause").wait_for()
        assert not page.locator("#recipe-field").is_visible(), "the station has no recipes"
        station.begin(recipe=RecipeHealth(requested="bottle", active="bottle", state="active", names=names))
        page.locator("#recipe-field").wait_for()
        assert texts(page, "#recipe-field option") == ["jar", "box"]
        page.locator(".commands button", has_text="Change over").click()
        shows(page, "dialog", "from bottle to jar")
        page.locator("dialog .primary").click()
        shows(page, ".replies .tone-good", "from bottle to jar")
        assert [(command["command"], command["name"]) for command in replier.heard] == [("recipe", "jar")]
        station.begin(recipe=RecipeHealth(requested="jar", active="jar", state="active", names=names))
        page.locator("#recipe-field option", has_text="bottle").wait_for(state="attached")
        assert texts(page, "#recipe-field option") == ["bottle", "box"]
    station.begin()


def test_two_browsers_see_the_same(live: LivePage) -> None:
    station = live.station("both")
    route = f"#/station/{station.key}"
    with live.seen_by("otto", route) as one, live.seen_by("vera", route) as other:
        for number in range(3):
            live.inspect(station, ok=number != 1, part_id=f"both-{number}")
            for page in (one, other):
                shows(page, ".part-panel", f"both-{number}")
        assert texts(one, ".strip-name") == texts(other, ".strip-name")


def test_broker_and_page_come_back_and_the_picture_says_how_old_it_was(live: LivePage) -> None:
    station = live.station("again")
    live.inspect(station, part_id="before")
    with live.seen_by("otto", f"#/station/{station.key}", errors=LOST) as page:
        shows(page, ".part-panel", "before")
        live.broker.stop()
        shows(page, ".banner", "lost the broker")
        live.restart_broker()
        page.locator(".banner").wait_for(state="detached")
        station = live.station("again")
        live.inspect(station, part_id="between")
        shows(page, ".part-panel", "between")
        live.kill()
        shows(page, ".banner", "No connection to the page's server")
        live.start()
        page.locator(".banner").wait_for(state="detached")
        live.inspect(station, part_id="after")
        shows(page, ".part-panel", "after")


def test_a_page_that_nobody_looks_at_gives_its_connection_back(live: LivePage) -> None:
    station = live.station("hidden")
    with live.seen_by("otto") as page:
        shows(page, ".card", "hidden")
        page.evaluate(HIDE, True)
        live.inspect(station, ok=False, picture=False)
        page.evaluate(HIDE, False)
        shows(page, ".card:has-text('hidden') .card-last", "Rejected")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_readable_and_touchable(live: LivePage, scheme: str) -> None:
    station = live.station("legible")
    live.inspect(station, ok=False, area_name="rim")
    live.inspect(station, part_id="a part with a long name " * 6)
    station.begin("degraded", warnings=("light_changed", "disk"), cause="light", remedy="check the lamp")
    with live.seen_by("emma", color_scheme=scheme) as page:
        shows(page, ".card", "legible")
        check_legible(page)
        page.goto(f"{live.address}#/station/{station.key}")
        page.locator(".strip button").first.wait_for()
        page.locator(".commands summary").click()
        page.locator("#bundle-field").wait_for()
        check_legible(page)
    station.begin()


def test_the_switch_changes_the_colours_and_is_remembered(live: LivePage) -> None:
    with live.seen_by(None, color_scheme="light") as page:
        ground = "() => getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(ground)
        page.locator("[aria-label='Change between light and dark']").click()
        dark = page.evaluate(ground)
        assert light != dark
        page.reload()
        assert page.evaluate(ground) == dark


def test_the_keyboard_alone_is_enough(live: LivePage) -> None:
    station = live.station("keys")
    with live.seen_by("otto") as page:
        shows(page, ".card", "keys")
        for _ in range(60):
            page.keyboard.press("Tab")
            if "keys" in page.evaluate("() => document.activeElement.querySelector('h2')?.textContent ?? ''"):
                break
        outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineWidth")
        assert outline == "3px"
        page.keyboard.press("Enter")
        shows(page, ".station-head h1", "keys")
        page.locator(".commands button", has_text="Pause").focus()
        page.keyboard.press("Enter")
        page.locator("dialog").wait_for()
        assert page.evaluate("() => document.activeElement.value") == "no"
        page.keyboard.press("Escape")
        page.locator("dialog").wait_for(state="detached")
    assert station.sequence == 0


def test_a_quick_line_loads_few_pictures_and_keeps_few_elements(live: LivePage) -> None:
    station = live.station("quick")
    with live.seen_by("vera", f"#/station/{station.key}") as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url) if "/api/pictures/" in request.url else None)
        page.locator(".station").wait_for()
        for _ in range(80):
            made = live.inspect(station)
        shows(page, ".part-panel", str(made.sequence))
        page.locator(f'.stack[data-part="{made.id}"]').wait_for()
        assert page.locator(".strip li").count() == 24
        large = [address for address in asked if "width=160" not in address]
        assert 0 < len(large) < 60


def test_a_display_without_login_shows_and_cannot_act(tmp_path: Path, live: LivePage) -> None:
    # Its own page beside the other one, at the same broker.
    other = LivePage(tmp_path, live._browser, display_without_login=True)  # noqa: SLF001
    try:
        other.start()
        station = other.station("wall")
        with other.seen_by(None) as page:
            shows(page, ".user", "Display only")
            assert texts(page, "nav a:visible") == ["Line", "Review"]
            page.goto(f"{other.address}#/station/{station.key}")
            shows(page, ".commands", "Log in as operator")
            assert page.locator(".commands button").count() == 0
    finally:
        other.close()


def test_the_fleet_as_a_table_that_is_sorted(live: LivePage) -> None:
    counts = FrameCounts(inspected=900, accepted=900, rejected=0, dropped=0)
    for name, share, drift in (("fleet-1", 0.04, 0.1), ("fleet-2", 0.3, -0.9), ("fleet-3", 0.02, 0.2)):
        rejects = RejectHealth(share=share, usual=0.05, evidence=1, limit=9)
        bundle = BundleReference(name=f"bundle of {name}", digest=f"{name[-1]}" * 64)
        warnings = ("score_drift",) if abs(drift) > 0.5 else ()
        changes = {"rejects": rejects, "bundle": bundle, "frames": counts, "drift": DriftHealth(shift=drift, limit=0.5)}
        live.station(name).begin("online", warnings=warnings, **changes)
    with live.seen_by("vera") as page:
        shows(page, ".fleet tr:has-text('fleet-2')", "bundle of fleet-2")
        cells = texts(page, ".fleet tbody tr:has-text('fleet-2') td")
        assert cells[1:5] == ["bundle of fleet-2", "2" * 12, "fp32", "0.5000"]
        assert cells[6].startswith("30.0% (limit ") and cells[7] == "-0.90 (limit 0.50)"
        assert cells[8] == "Scores have moved"
        assert page.locator(".fleet tbody tr:has-text('fleet-2') .noticeable").count() == 3
        assert texts(page, ".fleet tbody tr:has-text('fleet-1') td")[8] == "Good"

        def order() -> list[str]:
            return [name for name in texts(page, ".fleet tbody th") if "fleet-" in name]

        page.locator(".fleet th button", has_text="Rejects").click()
        assert order() == [f"plant/line1/fleet-{n}" for n in (3, 1, 2)]
        page.locator(".fleet th button", has_text="Rejects").click()
        assert order() == [f"plant/line1/fleet-{n}" for n in (2, 1, 3)]
        assert page.locator(".fleet [aria-sort=descending]").inner_text().startswith("Rejects")
        page.locator(".fleet th button", has_text="Bundle").click()
        assert order() == [f"plant/line1/fleet-{n}" for n in (1, 2, 3)]
