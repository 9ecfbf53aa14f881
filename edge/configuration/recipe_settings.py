"""The setting `recipes` of a station: its products, the bundle of each, and the part ids by which it is recognised."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from edge_inspect.edge.configuration.section import Level, Section


class RecipeSettings(Section):
    """A recipe: a product, and the bundle that judges its parts."""

    name: Level = Field(description="name of the recipe, usually that of the product; at most 64 characters")
    bundle: Path = Field(description="bundle of the product, a folder or a .zip")
    part_ids: list[str] = Field(
        default_factory=list,
        max_length=100,
        description="patterns of part ids; a part whose id matches is judged by this recipe, whichever is in force; * "
        "stands for any characters, ? for one, [abc] for one of these; if several recipes match, the first of the list "
        "judges; default: none",
    )
