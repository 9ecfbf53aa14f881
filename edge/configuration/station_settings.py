"""The settings of a station: its camera, its bundle, its trigger, and what it does with its parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from edge_inspect.edge.cameras.opening import check_uri
from edge_inspect.edge.cameras.registry import CAMERAS
from edge_inspect.edge.configuration.picture_settings import PictureSettings
from edge_inspect.edge.configuration.recipe_settings import RecipeSettings
from edge_inspect.edge.configuration.section import Level, Section
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.errors import CameraError, TriggerError
from edge_inspect.edge.triggers import TRIGGERS, parse_trigger


class ShadowSettings(Section):
    """The shadow: a station with a new bundle rejects nothing until it has collected the scores of its parts."""

    parts: int = Field(
        ge=1, le=1_000_000, description="number of parts that are inspected in shadow before any part is rejected"
    )
    frames: int = Field(
        default=200,
        ge=0,
        le=100_000,
        description="number of frames, spread evenly over these parts, that are saved if evidence is configured",
    )


class StationSettings(Section):
    """A station: one camera, and the bundle that inspects its frames."""

    name: Level = Field(description="name of the station, and the last level of its topics")
    camera: str = Field(
        description=f"URI of the camera: {', '.join(f'{scheme}:' for scheme in CAMERAS)}; "
        "docs/cameras.md has the options"
    )
    bundle: Path = Field(
        description="bundle of the product, a folder or a .zip; with recipes it is left out, and is that of the first"
    )
    recipes: list[RecipeSettings] = Field(
        default_factory=list,
        max_length=100,
        description="products that the station can inspect, each with its bundle, instead of bundle; the first one is "
        "in force until another is asked for; default: none",
    )
    recipe_memory_mb: float = Field(
        default=1024.0,
        ge=0,
        le=1e9,
        description="memory in MB that the engines of this station's recipes may take together; beyond it, the bundles "
        "of recipes that were used longest ago are closed; the recipe in force stays open in any case",
    )
    precision: Precision | None = Field(
        default=None, description="precision in which the network runs; default: as engine.precision says"
    )
    policy: Literal["latest", "every"] = Field(
        default="latest",
        description="what happens when frames come faster than they are inspected; latest: the oldest waiting frame is "
        "dropped and counted; every: no frame is dropped, camera and trigger wait",
    )
    trigger: str = Field(
        default=TRIGGERS[0].form,
        description=f"when a frame is taken: {'; '.join(f'{kind.form}: {kind.about}' for kind in TRIGGERS)}; "
        "docs/cameras.md has the options",
    )
    queue: int = Field(
        default=4, ge=1, le=256, description="number of frames that may wait for the engine, and of waiting triggers"
    )
    mm_per_px: float | None = Field(
        default=None, ge=1e-6, le=1e6, description="size of a pixel of the frame on the part, in mm; adds areas in mm²"
    )
    min_region_px: float | None = Field(
        default=None,
        gt=0,
        le=1e12,
        description="regions of a rejected part with a smaller area than this are not listed, in pixels of the frame",
    )
    min_region_mm2: float | None = Field(
        default=None, gt=0, le=1e12, description="as min_region_px, but in mm²; needs mm_per_px"
    )
    defect_share: float = Field(
        default=0.02,
        ge=0,
        le=0.5,
        description="share of bad parts that is normal on this line; more rejects than that raise a warning",
    )
    shadow: ShadowSettings | None = Field(
        default=None,
        description="begin with a new bundle in shadow: inspect, reject nothing, collect scores; default: no shadow",
    )
    pictures: PictureSettings | None = Field(
        default=None,
        description="publish pictures of rejected parts, and of a share of the others, with their anomaly maps; "
        "default: none are published",
    )

    @property
    def bundles(self) -> list[Path]:
        """Paths of all bundles that the configuration of the station names."""
        return [recipe.bundle for recipe in self.recipes] or [self.bundle]

    @property
    def min_area_px(self) -> float:
        """Area in pixels of the frame below which a region is not listed."""
        scale = self.mm_per_px or 1.0
        return max(self.min_region_px or 0.0, (self.min_region_mm2 or 0.0) / scale**2)

    @model_validator(mode="before")
    @classmethod
    def _bundle_of_the_first_recipe(cls, fields: Any) -> Any:
        recipes = fields.get("recipes") if isinstance(fields, dict) else None
        first = recipes[0] if isinstance(recipes, list) and recipes else None
        if not isinstance(first, dict) or "bundle" not in first or "bundle" in fields:
            return fields
        return {**fields, "bundle": first["bundle"]}

    # Of the field, because pydantic examines a whole model only if all of its fields are right.
    @field_validator("recipes")
    @classmethod
    def _recipes_fit_together(cls, recipes: list[RecipeSettings], info: ValidationInfo) -> list[RecipeSettings]:
        bundle = info.data.get("bundle")
        if not recipes and bundle is None:
            raise ValueError("recipes is empty; list a recipe, or leave it out and name a bundle")
        if recipes and bundle is not None and bundle != recipes[0].bundle:
            raise ValueError("'recipes' name the bundles of this station; leave 'bundle' out")
        names = [recipe.name for recipe in recipes]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"several 'recipes' are named {', '.join(twice)}; give each recipe its own name")
        return recipes

    @model_validator(mode="after")
    def _square_millimetres_need_a_scale(self) -> StationSettings:
        if self.min_region_mm2 is not None and self.mm_per_px is None:
            raise ValueError(
                "'min_region_mm2' needs the size of a pixel; give 'mm_per_px' too, or 'min_region_px' instead"
            )
        return self

    @field_validator("camera")
    @classmethod
    def _camera_is_known(cls, uri: str) -> str:
        try:
            check_uri(uri)
        except CameraError as error:
            raise ValueError(str(error)) from error
        return uri

    @field_validator("trigger")
    @classmethod
    def _trigger_is_known(cls, text: str) -> str:
        try:
            parse_trigger(text)
        except TriggerError as error:
            raise ValueError(str(error)) from error
        return text
