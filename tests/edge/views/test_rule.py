from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from views_parts import accepts, seen

from edge_inspect.edge.views.rule import Rule
from edge_inspect.edge.views.settings import RuleSettings

NAMES = ["a", "b", "c"]


def decided(rule: Rule, oks: dict[str, bool]) -> bool:
    verdicts = {name: seen(1, ok=ok) for name, ok in oks.items()}
    return verdicts[rule.decisive(verdicts)].ok


@pytest.mark.parametrize(
    ("fields", "deciding", "votes"),
    [
        ({}, NAMES, 1),
        ({"reject": "all"}, NAMES, 3),
        ({"reject": "votes", "votes": 2}, NAMES, 2),
        ({"views": ["b"]}, ["b"], 1),
        ({"reject": "all", "views": ["c", "a"]}, ["a", "c"], 2),
    ],
)
def test_every_rule_on_every_outcome(fields: dict[str, object], deciding: list[str], votes: int) -> None:
    rule = RuleSettings.model_validate(fields).of(NAMES)
    for outcome in itertools.product((True, False), repeat=3):
        oks = dict(zip(NAMES, outcome, strict=True))
        assert decided(rule, oks) == accepts(oks, deciding, votes), oks


@given(
    st.lists(st.tuples(st.floats(0, 2), st.sampled_from((0.25, 0.5, 1.0))), min_size=2, max_size=6),
    st.integers(1, 6),
)
@settings(deadline=None)
def test_score_and_threshold_of_the_decisive_view_say_what_the_rule_says(
    scores: list[tuple[float, float]], votes: int
) -> None:
    names = [str(number) for number in range(len(scores))]
    rule = Rule(tuple(names), min(votes, len(names)))
    verdicts = {
        name: seen(1, ok=score <= threshold, score=score, threshold=threshold)
        for name, (score, threshold) in zip(names, scores, strict=True)
    }
    chosen = verdicts[rule.decisive(verdicts)]
    rejecting = sum(score > threshold for score, threshold in scores)
    assert (chosen.score > chosen.threshold) == (rejecting >= rule.votes) == (not chosen.ok)


def test_a_view_in_shadow_does_not_give_its_score() -> None:
    verdicts = {"a": seen(1, score=0.9, shadow=True), "b": seen(1, score=0.2)}
    assert Rule(("a", "b"), 1).decisive(verdicts) == "b"


def test_of_the_views_that_came_the_most_unusual_is_shown() -> None:
    rule = Rule(("a", "b", "c"), 3)
    assert rule.decisive({"a": seen(1, score=0.1), "b": seen(1, score=0.3)}) == "b"
    assert Rule(("c",), 1).decisive({"a": seen(1)}) == "a"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"views": ["a", "d"]}, "there is no view 'd'; the views are a, b, c"),
        ({"views": ["a", "a"]}, "view 'a' is named twice; name each once"),
        ({"reject": "votes", "votes": 4}, "4 votes, but only 3 view"),
        ({"reject": "votes", "votes": 2, "views": ["a"]}, "2 votes, but only 1 view"),
    ],
)
def test_impossible_rules_are_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        RuleSettings.model_validate(fields).of(NAMES)


def test_votes_belong_to_votes() -> None:
    for fields in ({"votes": 2}, {"reject": "votes"}, {"reject": "any", "votes": 1}):
        with pytest.raises(ValidationError, match="belong together"):
            RuleSettings.model_validate(fields)
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        RuleSettings.model_validate({"reject": "votes", "votes": 0})
