"""Which recipes are closed when their engines take more memory than the station may use."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple


class OpenRecipe(NamedTuple):
    """A recipe whose bundle is open.

    Attributes:
        name: Name of the recipe.
        engine: The engine of its bundle; recipes with the same bundle share one.
        bytes: Memory that the engine takes, in bytes.
        used: Time of the last part, or of the opening, in seconds of a steady clock.
        kept: Whether the recipe must stay open.
    """

    name: str | None
    engine: object
    bytes: int
    used: float
    kept: bool


def recipes_to_close(recipes: Collection[OpenRecipe], most_bytes: float) -> list[str | None]:
    """Return the recipes to close so that the engines of the others take at most `most_bytes`.

    The engine that was used longest ago is closed first, with all recipes that share it. An engine stays if one of its
    recipes must stay open, so the rest may still take more.
    """
    sharing: dict[object, list[OpenRecipe]] = {}
    for recipe in recipes:
        sharing.setdefault(recipe.engine, []).append(recipe)
    left = sum(shared[0].bytes for shared in sharing.values())
    closed: list[str | None] = []
    closable = [shared for shared in sharing.values() if not any(recipe.kept for recipe in shared)]
    for shared in sorted(closable, key=lambda shared: max(recipe.used for recipe in shared)):
        if left <= most_bytes:
            break
        left -= shared[0].bytes
        closed += [recipe.name for recipe in shared]
    return closed
