"""The review, the teaching and the log in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_page import LivePage, check_legible, live_page
from mosquitto import Subscriber, wait_until
from page_parts import Station

HOSTILE = '<img src=x onerror="document.title=1">'
LOST = ("net::ERR",)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePage]:
    with live_page(tmp_path_factory.mktemp("page")) as page:
        yield page


def inspect(live: LivePage, name: str, *scores: float) -> tuple[Station, list[str]]:
    """A station that has published a part with a picture for each score; returns it and the ids."""
    station = live.station(name)
    return station, [live.inspect(station, ok=score <= 0.5, score=score).id for score in scores]


def open_queue(page: Any, live: LivePage, station: Station, count: int, **filters: str) -> None:
    """Open the review of a station when the server has stored its parts; wait until the queue has so many."""

    def listed() -> int:
        return len(ask(page, f"review?station={station.key}&word=all&only=all&limit=100")["parts"])

    wait_until(lambda: listed() == station.sequence, 60)
    page.goto(f"{live.address}#/review/{station.key}")
    for name, value in filters.items():
        page.locator(f"#filter-{name}").select_option(value)
    page.locator(f".strip li:nth-child({count})").wait_for()


def ask(page: Any, path: str) -> Any:
    return page.evaluate("async (path) => (await fetch(path)).json()", f"api/{path}")


def stored(page: Any, station: Station) -> dict[str, tuple[str, str | None]]:
    """Word and class of each part that the server has stored."""
    parts = ask(page, f"review?station={station.key}&word=labelled&only=all&limit=100")["parts"]
    return {part["id"]: (part["label"]["word"], part["label"]["class"]) for part in parts}


def shown_part(page: Any) -> str:
    return str(page.locator(".strip button[aria-current]").get_attribute("aria-label"))


def wait_for_part(page: Any, identity: str) -> None:
    page.locator(f'.stack[data-part="{identity}"]').wait_for()


def test_twenty_parts_are_labelled_with_keys(live: LivePage) -> None:
    station, ids = inspect(live, "twenty", *[0.6 + number / 100 for number in range(20)])
    heard = Subscriber(live.broker.port, station.topics.label)
    newest_first = ids[::-1]
    with live.seen_by("otto") as page:
        open_queue(page, live, station, 20)
        wait_for_part(page, newest_first[0])
        for key in "GGGGGGGU":
            page.keyboard.press(key)
        page.keyboard.press("d")
        page.locator("dialog").wait_for()
        page.keyboard.type("deep <b>scratch</b>")
        page.keyboard.press("Enter")
        page.locator("dialog").wait_for(state="detached")
        for _ in range(6):
            page.keyboard.press("1")
        page.keyboard.press("d")
        page.locator("dialog").wait_for()
        page.keyboard.press("0")
        page.locator("dialog").wait_for(state="detached")
        for key in "gugu":
            page.keyboard.press(key)
        scratch = ("defect", "deep <b>scratch</b>")
        good, unsure = ("good", None), ("unsure", None)
        said = [good] * 7 + [unsure] + [scratch] * 7 + [("defect", None), good, unsure, good, unsure]
        page.locator(".note", has_text="All parts of this list have a label").wait_for()
        wait_until(lambda: len(stored(page, station)) == 20, 60)
        assert stored(page, station) == dict(zip(newest_first, said, strict=True))
        assert page.locator(".recent b").count() == 0
        assert "9 good" in page.locator(".counts").text_content()
    wait_until(lambda: len(heard.messages) == 20, 60)
    published = [json.loads(message.payload) for message in heard.messages]
    assert {label["verdict"]["id"]: label["word"] for label in published} == {
        identity: word for identity, (word, _) in zip(newest_first, said, strict=True)
    }
    assert {label["by"] for label in published} == {"otto"}
    heard.close()


def test_undo_takes_back_the_last_label_and_shows_its_part(live: LivePage) -> None:
    station, ids = inspect(live, "undo", 0.6, 0.7, 0.8)
    with live.seen_by("otto") as page:
        open_queue(page, live, station, 3)
        wait_for_part(page, ids[2])
        page.keyboard.press("g")
        wait_for_part(page, ids[1])
        page.keyboard.press("u")
        wait_for_part(page, ids[0])
        wait_until(lambda: len(stored(page, station)) == 2, 60)
        page.keyboard.press("z")
        wait_for_part(page, ids[1])
        page.locator(".review-side .badge.medium", has_text="Not labelled").wait_for()
        wait_until(lambda: stored(page, station) == {ids[2]: ("good", None)}, 60)
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("u")  # another word for the same part
        wait_until(lambda: stored(page, station) == {ids[2]: ("unsure", None)}, 60)
        page.keyboard.press("z")
        wait_until(lambda: stored(page, station) == {ids[2]: ("good", None)}, 60)
        page.locator(".strip-label", has_text="Good").wait_for()


def test_the_slider_shows_false_rejects_and_escapes_as_it_moves(live: LivePage) -> None:
    station, ids = inspect(live, "slider", 0.2, 0.3, 0.48, 0.52, 0.6, 0.8)
    with live.seen_by("otto") as page:
        open_queue(page, live, station, 6, only="all")
        wait_for_part(page, ids[5])
        # Newest first: 0.8 and 0.6 are defects, 0.52 is good, 0.48 a defect, 0.3 and 0.2 are good.
        for key in ("d0", "d0", "g", "d0", "g", "g"):
            for each in key:
                page.keyboard.press(each)
            page.locator("dialog").wait_for(state="detached")
        wait_until(lambda: len(stored(page, station)) == 6, 60)
        page.locator("button", has_text="Threshold").first.click()
        count = page.locator("[data-result=false_rejects] .share")
        count.filter(has_text="1").wait_for()

        def counts() -> list[str]:
            names = ("false_rejects", "escapes", "rejected")
            return [str(page.locator(f"[data-result={name}] .share").text_content()) for name in names]

        def move_to(threshold: float) -> list[str]:
            slider = page.locator("#threshold-slider")
            slider.fill(str(round(threshold * 1000)))  # the scale ends at twice the threshold, which is 0.5
            return counts()

        assert counts() == ["1", "1", "3"]
        assert move_to(0.55) == ["0", "1", "2"]
        assert move_to(0.7) == ["0", "2", "1"]
        assert move_to(0.25) == ["2", "0", "5"]
        assert page.locator("[data-result=false_rejects]").get_attribute("data-change") == "more"
        page.locator("#threshold-slider").focus()
        page.keyboard.press("Home")
        assert counts() == ["3", "0", "6"]
        page.locator("button", has_text="Back to the one in force").click()
        assert counts() == ["1", "1", "3"]
        page.locator(".mistakes img").first.wait_for()
        assert page.locator("button", has_text="Set on the station").count() == 1
        assert not page.locator("button", has_text="Set on the station").is_visible(), "an operator sets no threshold"


def test_two_browsers_see_the_label(live: LivePage) -> None:
    station, _ = inspect(live, "together", 0.7, 0.8)
    with live.seen_by("otto") as one, live.seen_by("vera", f"#/station/{station.key}") as other:
        open_queue(one, live, station, 2)
        other.locator(".strip li:nth-child(2)").wait_for()
        one.keyboard.press("g")
        other.locator(".strip-label", has_text="Good").wait_for()
        open_queue(other, live, station, 1, word="good")
        other.locator(".review-side .badge.medium", has_text="Good, by otto").wait_for()
        assert not other.locator(".word").first.is_visible(), "a viewer says nothing"


def test_what_is_said_while_the_page_is_down_is_sent_later(live: LivePage) -> None:
    station, ids = inspect(live, "killed", 0.6, 0.7, 0.8, 0.9)
    with live.seen_by("otto", errors=LOST) as page:
        open_queue(page, live, station, 4)
        wait_for_part(page, ids[3])
        page.keyboard.press("g")
        wait_until(lambda: len(stored(page, station)) == 1, 60)
        live.kill()
        page.keyboard.press("u")
        page.keyboard.press("g")
        page.locator(".banner", has_text="2 labels are not stored yet").wait_for()
        live.start()
        page.locator(".banner").first.wait_for(state="detached")
        wait_until(lambda: len(stored(page, station)) == 3, 60)
        assert stored(page, station) == {ids[3]: ("good", None), ids[2]: ("unsure", None), ids[1]: ("good", None)}


def test_what_is_said_outlives_the_page_in_the_browser(live: LivePage) -> None:
    station, ids = inspect(live, "reloaded", 0.6, 0.7)
    with live.seen_by("otto", errors=LOST) as page:
        open_queue(page, live, station, 2)
        wait_for_part(page, ids[1])
        page.context.set_offline(True)
        page.keyboard.press("g")
        page.locator(".banner", has_text="1 label is not stored yet").wait_for()
        page.on("dialog", lambda dialog: dialog.accept())
        page.context.set_offline(False)
        page.reload()
        wait_until(lambda: stored(page, station) == {ids[1]: ("good", None)}, 60)


def test_a_label_that_is_refused_is_taken_back_with_the_reason(live: LivePage) -> None:
    station, ids = inspect(live, "refused", 0.6, 0.7)
    with live.seen_by("otto", errors=("404",)) as page:
        open_queue(page, live, station, 2)
        wait_for_part(page, ids[1])
        folder = Path(live.config).parent / "data"
        for file in folder.rglob(f"*{ids[1]}*"):
            file.unlink()
        page.keyboard.press("g")
        page.locator(".problem", has_text=ids[1]).wait_for()
        assert "Not labelled" in page.locator(".review-side .badge.medium").text_content() or shown_part(page)
        page.locator(".strip li").nth(0).locator(".strip-label").wait_for(state="hidden")
        assert stored(page, station) == {}


def test_filters_and_similar_parts(live: LivePage) -> None:
    station, ids = inspect(live, "filters", 0.3, 0.49, 0.51, 0.9)
    with live.seen_by("otto") as page:
        open_queue(page, live, station, 4, only="all")
        page.locator("#filter-only").select_option("rejected")
        page.locator(".stepper", has_text="1 / 2").wait_for()
        page.locator("#filter-only").select_option("borderline")
        page.locator(".more-filters summary").click()
        page.locator("#filter-score_min").fill("0.5")
        page.keyboard.press("Enter")
        page.locator(".stepper", has_text="1 / 1").wait_for()
        wait_for_part(page, ids[2])
        page.locator("#filter-since").fill("2099-01-01T00:00")
        page.keyboard.press("Tab")
        page.locator(".note", has_text="No part fits these filters").wait_for()
        page.locator("#filter-since").fill("")
        page.locator("#filter-score_min").fill("")
        page.locator("#filter-only").select_option("all")
        page.locator(".stepper", has_text="1 / 4").wait_for()
        page.locator(".stage").click()
        page.keyboard.press("s")
        page.locator(".note", has_text="The parts most like").wait_for()
        page.locator("button", has_text="Back to the queue").click()
        page.locator(".stepper", has_text="1 / 4").wait_for()


def test_new_parts_come_into_a_finished_queue(live: LivePage) -> None:
    station, _ = inspect(live, "finished", 0.6)
    with live.seen_by("otto") as page:
        open_queue(page, live, station, 1)
        page.keyboard.press("g")
        page.locator(".note", has_text="All parts of this list have a label").wait_for()
        made = live.inspect(station, ok=False)
        wait_for_part(page, made.id)


def test_names_with_markup_stay_text(live: LivePage) -> None:
    station = live.station("<img src=x>")
    live.inspect(station, ok=False, part_id=HOSTILE, area_name=HOSTILE)
    with live.seen_by("otto") as page:
        page.goto(f"{live.address}#/review")
        page.locator("#filter-station").select_option(station.key)
        page.locator(".review-side .soft", has_text=HOSTILE).wait_for()
        page.keyboard.press("d")
        page.locator("dialog").wait_for()
        page.keyboard.type("<img src=x>")
        page.locator(".class-list", has_text="<img src=x>").wait_for()
        page.keyboard.press("Escape")
        page.locator("dialog").wait_for(state="detached")
        assert page.locator("[onerror], img[src=x]").count() == 0
        assert page.title().startswith("Review")


def test_an_engineer_reads_the_log(live: LivePage) -> None:
    station, _ = inspect(live, "logged", 0.7)
    with live.seen_by("emma") as page:
        open_queue(page, live, station, 1)
        page.keyboard.press("u")
        wait_until(lambda: len(stored(page, station)) == 1, 60)
        page.goto(f"{live.address}#/log")
        page.locator("#log-filter").fill("logged")
        row = page.locator("tbody tr").first
        row.wait_for()
        assert row.locator("td").all_text_contents()[1:3] == ["emma", "Label"]
        assert "unsure" in row.text_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_readable_and_touchable(live: LivePage, scheme: str) -> None:
    station, _ = inspect(live, "legible", 0.3, 0.7, 0.8)
    with live.seen_by("emma", color_scheme=scheme) as page:
        open_queue(page, live, station, 1)
        page.locator(".keys summary").click()
        page.locator(".more-filters summary").click()
        check_legible(page)
        page.keyboard.press("d")
        page.locator("dialog").wait_for()
        check_legible(page)
        page.keyboard.press("Escape")
        page.locator("button", has_text="Threshold").first.click()
        page.locator(".result").first.wait_for()
        check_legible(page)
        page.goto(f"{live.address}#/teaching/{station.key}")
        page.locator(".choice").first.wait_for()
        check_legible(page)
        page.goto(f"{live.address}#/log")
        page.locator("tbody tr").first.wait_for()
        check_legible(page)
