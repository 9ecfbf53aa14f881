"""The recipe of a part by its id, against a slow model of what the patterns mean."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspect.edge.configuration.recipe_settings import RecipeSettings
from edge_inspect.edge.station.part_id_patterns import PartIdPatterns

LETTERS = "aB-1\n\x1d"
PATTERN = st.text("aB-1*?", min_size=1, max_size=6)
TABLE = st.lists(st.lists(PATTERN, max_size=3), min_size=1, max_size=4)


def recipes(*patterns: list[str]) -> list[RecipeSettings]:
    return [RecipeSettings(name=f"r{i}", bundle=Path("/x"), part_ids=each) for i, each in enumerate(patterns)]


def means(pattern: str, text: str) -> bool:
    """Whether a pattern stands for a text: letter by letter, and for a star every number of letters."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(means(pattern[1:], text[n:]) for n in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and means(pattern[1:], text[1:])


@settings(deadline=None, max_examples=500)
@given(table=TABLE, part_id=st.text(LETTERS, max_size=8))
def test_the_first_recipe_with_a_pattern_that_means_the_id_is_chosen(table: list[list[str]], part_id: str) -> None:
    matching = [i for i, patterns in enumerate(table) if any(means(pattern, part_id) for pattern in patterns)]
    expected = f"r{matching[0]}" if matching else None
    assert PartIdPatterns(recipes(*table)).recipe_of(part_id) == expected


def test_a_part_without_an_id_has_no_recipe_of_its_own() -> None:
    assert PartIdPatterns(recipes(["*"])).recipe_of(None) is None


@pytest.mark.parametrize(("part_id", "recipe"), [("J1", "r0"), ("J2", "r0"), ("J3", None), ("j1", None), ("XJ1", None)])
def test_brackets_stand_for_one_of_their_letters(part_id: str, recipe: str | None) -> None:
    assert PartIdPatterns(recipes(["J[12]"])).recipe_of(part_id) == recipe
