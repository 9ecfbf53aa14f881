"""The newest lines of the log: numbers that stay valid, pages that are bounded, characters that are escaped."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspect.edge.contract.commands import Refused
from edge_inspect.edge.contract.reports import LONGEST_LINE, MOST_BYTES, MOST_ROWS, LogPage
from edge_inspect.edge.log_limit import LogLimit
from edge_inspect.edge.log_ring import LogRing


def say(ring: LogRing, text: str, *arguments: object, **more: object) -> None:
    record = logging.LogRecord("edge.x", logging.INFO, "x.py", 1, text, arguments, more.get("exc_info"))  # type: ignore[arg-type]
    assert ring.filter(record)


def all_pages(ring: LogRing) -> list[LogPage]:
    pages = [ring.page()]
    while pages[-1].next is not None:
        pages.append(ring.page(pages[-1].next))
    return pages


def test_pages_join_to_all_lines_that_are_kept() -> None:
    ring = LogRing(kept=450)
    for number in range(1, 1001):
        say(ring, "line %d", number)
    pages = all_pages(ring)
    lines = [line for page in pages for line in page.lines]
    assert [line.number for line in lines] == list(range(551, 1001))
    assert [line.text for line in lines] == [f"INFO edge.x: line {number}" for number in range(551, 1001)]
    assert [page.skipped for page in pages] == [550, 0, 0] and len(pages[0].lines) == MOST_ROWS
    assert LogRing().page() == LogPage(lines=(), skipped=0, next=None)


def test_a_cursor_says_how_many_lines_were_dropped_since() -> None:
    ring = LogRing(kept=300)
    for number in range(300):
        say(ring, "a %d", number)
    cursor = ring.page().next
    for number in range(250):
        say(ring, "b %d", number)
    page = ring.page(cursor)
    assert page.skipped == 50 and page.lines[0].number == 251
    # A cursor of an earlier process does not skip lines of this one.
    other = LogRing()
    say(other, "a new start")
    assert (after := other.page(cursor)).skipped is None and after.lines[0].number == 1


@pytest.mark.parametrize("cursor", ["x", "1", "/", "0123456789ab/", "0123456789ab/-1", "0123456789AB/1", "é/1"])
def test_a_cursor_of_something_else_is_refused(cursor: str) -> None:
    with pytest.raises(Refused, match=r"after: .*leave it out to begin") as refused:
        LogRing().page(cursor)
    assert refused.value.refusal == "impossible"


@settings(deadline=None, max_examples=30)
@given(st.text(max_size=128))
def test_any_cursor_gives_a_page_or_a_refusal(cursor: str) -> None:
    ring = LogRing()
    say(ring, "one")
    try:
        assert len(ring.page(cursor).lines) <= 1
    except Refused as refused:
        assert refused.refusal == "impossible"


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text(max_size=40) | st.text(min_size=1, max_size=3).map(lambda text: text * 900), max_size=8))
def test_whatever_is_logged_can_be_shown_and_sent(texts: list[str]) -> None:
    ring = LogRing()
    for text in texts * 40:
        say(ring, "%s", text)
    for page in all_pages(ring):
        assert len(page.lines) <= MOST_ROWS and len(page.model_dump_json().encode()) < MOST_BYTES + 4096
        assert LogPage.model_validate_json(page.model_dump_json()) == page
        assert all(line.text.isprintable() and len(line.text) <= LONGEST_LINE + 1 for line in page.lines)


def test_a_traceback_is_kept_whole_and_a_wrong_message_breaks_nothing() -> None:
    ring = LogRing()
    try:
        raise ValueError("deep \x1b[31m inside")
    except ValueError as error:
        say(ring, "failed", exc_info=(ValueError, error, error.__traceback__))
    say(ring, "%d parts", "no number")
    texts = [line.text for line in ring.page().lines]
    assert texts[0] == "INFO edge.x: failed" and r"ValueError: deep \x1b[31m inside" in texts
    assert texts[-1] == "INFO edge.x: '%d parts'"


def test_lines_that_the_log_leaves_out_are_not_kept() -> None:
    ring, handler, logger = LogRing(), logging.NullHandler(), logging.Logger("limited")
    handler.handle = lambda record: handler.filter(record)  # type: ignore[method-assign,assignment,return-value]
    handler.addFilter(LogLimit())
    handler.addFilter(ring)
    logger.addHandler(handler)
    for number in range(50):
        logger.info("again %d", number)
    assert len(ring.page().lines) == 10
