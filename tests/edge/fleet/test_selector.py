"""Which stations a selector chooses, and which topics it subscribes to."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.fleet.selector import Selectors

NAMES = st.text("ab.*?[]()|-", min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("texts", "chosen", "others"),
    [
        ([], ["plant/line/a", "p/l/s"], []),
        (["plant/*/*"], ["plant/line1/a", "plant/line2/b"], ["plant2/line1/a"]),
        (
            ["plant/line1/press-*"],
            ["plant/line1/press-7", "plant/line1/press-"],
            ["plant/line1/oven", "plant/x/press-7"],
        ),
        (["plant/line1/a", "plant/line2/*"], ["plant/line1/a", "plant/line2/z"], ["plant/line1/b"]),
        (["*1/*/[ab]"], ["plant1/l/[ab]"], ["plant1/l/a", "plant2/l/[ab]"]),
        (["a.c/l/s"], ["a.c/l/s"], ["abc/l/s"]),
    ],
)
def test_a_selector_chooses_by_names(texts: list[str], chosen: list[str], others: list[str]) -> None:
    selectors = Selectors(texts)
    assert [key for key in (*chosen, *others) if selectors.matches(key)] == chosen


@given(st.tuples(NAMES, NAMES, NAMES), st.tuples(NAMES, NAMES, NAMES))
def test_every_chosen_station_is_subscribed_to(pattern: tuple[str, ...], names: tuple[str, ...]) -> None:
    selectors, key = Selectors(["/".join(pattern)]), "/".join(names)
    (topic,) = selectors.topics(["status"])
    subscribed = re.fullmatch(re.escape(topic).replace(r"\+", "[^/]+"), f"edge-inspect/v1/{key}/status")
    assert subscribed or not selectors.matches(key)
    assert Selectors([key.replace("*", "x")]).matches(key.replace("*", "x"))


def test_topics_are_subscribed_to_once() -> None:
    assert Selectors(["p/*/a*", "p/*/b*", "p/l/c"]).topics(["status", "health"]) == [
        *("edge-inspect/v1/p/+/+/status", "edge-inspect/v1/p/+/+/health"),
        *("edge-inspect/v1/p/l/c/status", "edge-inspect/v1/p/l/c/health"),
    ]


@pytest.mark.parametrize(
    "text", ["", "plant", "plant/line", "a/b/c/d", "a//c", "+/b/c", "a/#/c", "a/b/c\n", "a/b/" + "x" * 65]
)
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--to "):
        Selectors([text])
