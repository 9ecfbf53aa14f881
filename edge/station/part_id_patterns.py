"""Recognises the product of a part by its id: the patterns of a station's recipes."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

from edge_inspect.edge.configuration.recipe_settings import RecipeSettings


class PartIdPatterns:
    """The patterns of part ids of all recipes, in their order.

    Args:
        recipes: The recipes of a station. Letters of a pattern stand for themselves, capital or small.
    """

    def __init__(self, recipes: Iterable[RecipeSettings]) -> None:
        self._patterns = [
            (recipe.name, re.compile(fnmatch.translate(pattern))) for recipe in recipes for pattern in recipe.part_ids
        ]

    def recipe_of(self, part_id: str | None) -> str | None:
        """Return the first recipe of which a pattern matches the whole id; `None` if there is none, or no id."""
        if part_id is None:
            return None
        return next((name for name, pattern in self._patterns if pattern.match(part_id)), None)
