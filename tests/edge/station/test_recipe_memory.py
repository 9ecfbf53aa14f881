"""Which recipes are closed when there is too little memory for all of them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspect.edge.station.recipe_memory import OpenRecipe, recipes_to_close

SIZES = {"e0": 10, "e1": 20, "e2": 40, "e3": 80}
RECIPES = st.lists(
    st.tuples(st.sampled_from(sorted(SIZES)), st.integers(0, 50), st.booleans()),
    min_size=1,
    max_size=8,
    unique_by=lambda row: row[1],
).map(
    lambda rows: [
        OpenRecipe(str(i), engine, SIZES[engine], float(used), kept) for i, (engine, used, kept) in enumerate(rows)
    ]
)


def memory(recipes: list[OpenRecipe]) -> int:
    return sum(SIZES[engine] for engine in {str(recipe.engine) for recipe in recipes})


@settings(deadline=None, max_examples=500)
@given(recipes=RECIPES, most=st.integers(0, 160))
def test_no_more_are_closed_than_needed_and_those_used_longest_ago(recipes: list[OpenRecipe], most: int) -> None:
    closed = set(recipes_to_close(recipes, most))
    left = [recipe for recipe in recipes if recipe.name not in closed]
    gone = [recipe for recipe in recipes if recipe.name in closed]
    assert all(recipe in left for recipe in recipes if recipe.kept)
    # An engine is closed with all of its recipes, or with none.
    assert not {recipe.engine for recipe in left} & {recipe.engine for recipe in gone}
    if memory(left) > most:
        kept = {recipe.engine for recipe in recipes if recipe.kept}
        assert {recipe.engine for recipe in left} == kept

    def last_used(engine: object) -> float:
        return max(recipe.used for recipe in recipes if recipe.engine == engine)

    if gone:
        newest = max((recipe.engine for recipe in gone), key=last_used)
        assert memory(left) + SIZES[str(newest)] > most, "one less would have done"
        free = {recipe.engine for recipe in left} - {recipe.engine for recipe in recipes if recipe.kept}
        assert all(last_used(engine) >= last_used(newest) for engine in free)
